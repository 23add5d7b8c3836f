# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the additions in ``airflow_healthomics.api_model`` from the installed botocore: ``make api-model``.

They include shapes, operations, constraints, paginators and waiters, but no documentation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import botocore
import botocore.session
from botocore.loaders import Loader

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "airflow_healthomics" / "api_model"
#: Digests of the whole model, for tests with an older botocore.
DIGESTS: Final = ROOT / "tests" / "unit" / "api_model" / "digests.json"

#: The parts of a service model that clients need.
PARTS: Final = ("service-2", "paginators-1", "waiters-2")

#: Keys of documentation.
_PROSE: Final = frozenset({"documentation", "description", "deprecatedMessage"})


def facts(value: Any) -> Any:
    """Return a part of a model without its documentation."""
    if isinstance(value, Mapping):
        return {
            key: facts(item) for key, item in value.items() if not (key in _PROSE and isinstance(item, str))
        }
    return [facts(item) for item in value] if isinstance(value, list) else value


def supplement(new: Any, old: Any) -> Any:
    """Return the difference that turns ``old`` into ``new`` when merged."""
    if not isinstance(new, Mapping) or not isinstance(old, Mapping):
        return new
    if gone := sorted(old.keys() - new.keys()):
        # Merging cannot remove anything.
        raise ValueError(
            f"the newer model lacks {', '.join(gone)}: drop older releases, or keep the old model"
        )
    return {
        key: supplement(value, old[key]) if key in old else value
        for key, value in new.items()
        if key not in old or value != old[key]
    }


def digests(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a digest for each operation and shape of a service model."""
    for kind in ("operations", "shapes"):
        for name, fact in model[kind].items():
            # The order of an operation's errors differs between releases.
            known = facts(fact) | {"errors": sorted(error["shape"] for error in fact.get("errors", ()))}
            text = json.dumps(known, sort_keys=True)
            yield f"{kind}/{name}", hashlib.sha256(text.encode()).hexdigest()[:12]


def load(part: str, data_path: Path | None = None) -> dict[str, Any]:
    """Return a part of the omics model, from the installed botocore or another data folder."""
    paths = None if data_path is None else [str(data_path)]
    loader = Loader(
        extra_search_paths=paths, include_default_search_paths=paths is None, include_default_extras=False
    )
    model: dict[str, Any] = loader.load_service_model("omics", part)
    return model


def main() -> None:
    """Compare the installed botocore with an old one, and write the additions."""
    parser = argparse.ArgumentParser(prog="python -m dev.api_model", description=main.__doc__)
    parser.add_argument("base", type=Path, help="the botocore/data folder of the oldest supported release")
    base = parser.parse_args().base
    for older in PACKAGE.glob("botocore-*"):
        shutil.rmtree(older)
    folder = PACKAGE / f"botocore-{botocore.__version__}" / "omics" / "2022-11-28"
    folder.mkdir(parents=True)
    for part in PARTS:
        merge = supplement(facts(load(part)), facts(load(part, base)))
        text = json.dumps({"version": 1.0, "merge": merge}, indent=1, sort_keys=True)
        (folder / f"{part}.sdk-extras.json").write_text(text + "\n")
    session = botocore.session.get_session()
    regions = [session.get_available_regions("omics", each) for each in session.get_available_partitions()]
    (folder.parents[1] / "regions.json").write_text(json.dumps(sorted(chain(*regions)), indent=1) + "\n")
    known = dict(digests(load("service-2")))
    DIGESTS.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
