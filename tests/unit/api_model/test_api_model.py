# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The supplement of the API model, for sessions of this package beside an older botocore."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import boto3
import botocore
import pytest
from botocore.loaders import Loader

from airflow_healthomics import api_model
from dev.api_model import DIGESTS, digests, facts, supplement

KNOWN: Final = json.loads(DIGESTS.read_text())

#: Prints the API that a session knows, in a separate process, since the fixtures here share parsed models.
DIGESTS_OF_A_CLIENT: Final = """
import json, sys
from {module} import {name}
from dev.api_model import digests
session = {expression}
model = session._session.get_component("data_loader").load_service_model("omics", "service-2")
client = session.client("omics")
print("digests", json.dumps({{
    "model": dict(digests(model)),
    "operations": list(client.meta.service_model.operation_names),
    "paginators": [name for name in {paginated} if hasattr(client, name) and client.can_paginate(name)],
    "waiters": client.waiter_names,
}}))
"""


PAGINATED: Final = ("list_runs", "list_batch", "list_runs_in_batch")


def knowledge_of(module: str, name: str, expression: str) -> Any:
    """Return the API that a session made by an expression knows, in a separate process."""
    code = DIGESTS_OF_A_CLIENT.format(module=module, name=name, expression=expression, paginated=PAGINATED)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("digests "))
    return json.loads(line.removeprefix("digests "))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("airflow_healthomics.hooks.omics", "HealthOmicsHook"),
        ("airflow_healthomics.hooks.polling", "PollingHook"),
    ],
)
def test_our_clients_know_the_whole_api(module: str, name: str) -> None:
    """With each botocore from 1.37.3 on, each operation is that of the newest model."""
    knowledge = knowledge_of(module, name, f"{name}(region_name='us-east-1').get_session('us-east-1')")
    assert {key: value for key, value in knowledge["model"].items() if KNOWN.get(key) != value} == {}
    assert knowledge["model"].keys() >= KNOWN.keys()
    assert {f"operations/{name}" for name in knowledge["operations"]} >= {
        name for name in KNOWN if name.startswith("operations/")
    }
    assert knowledge["paginators"] == list(PAGINATED)
    assert "workflow_version_active" in knowledge["waiters"]


@pytest.mark.skipif(not api_model.is_needed(), reason="the installed botocore lacks nothing")
def test_other_sessions_are_left_alone() -> None:
    """A session of other code has botocore's own model."""
    knowledge = knowledge_of("boto3", "Session", "Session(region_name='us-east-1')")
    assert knowledge["model"] != KNOWN


def test_the_supplement_is_that_of_a_release() -> None:
    """Its folder is named after its botocore, and a newer botocore does not use it."""
    older = ".".join(map(str, (*map(int, api_model.SOURCE.split(".")[:2]), 0)))
    for version, needed in ((older, True), (api_model.SOURCE, False), ("1.999.0", False), ("2.0.0", False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore, "__version__", version)
            assert api_model.is_needed() is needed


@pytest.mark.skipif(botocore.__version__ != api_model.SOURCE, reason="another botocore is installed")
def test_the_supplement_is_up_to_date() -> None:
    """Its digests match the botocore release of its source."""
    model = Loader(include_default_extras=False).load_service_model("omics", "service-2")
    assert dict(digests(model)) == KNOWN


@pytest.mark.parametrize("path", sorted(api_model.DATA.rglob("*.json")), ids=lambda path: path.name)
def test_the_supplement_has_no_documentation(path: Path) -> None:
    """Botocore's documentation is not copied."""
    text = path.read_text()
    assert json.loads(text) == facts(json.loads(text))
    assert "<p>" not in text


def test_extending_a_session_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is added once, before botocore loads the model."""
    monkeypatch.setattr(botocore, "__version__", "1.37.3")
    session = boto3.session.Session(region_name="us-east-1")
    for _ in range(2):
        api_model.extend_session(session)
    paths = session._session.get_component("data_loader").search_paths
    assert paths.count(str(api_model.DATA)) == 1


def test_the_difference_of_two_models_makes_the_newer_one() -> None:
    """It has additions and changes only; a removal cannot be expressed."""
    old = {"a": {"b": 1, "c": [1]}, "d": 1}
    assert supplement({"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": {}}, old) == {"a": {"c": [1, 2]}, "e": {}}
    with pytest.raises(ValueError, match="lacks d"):
        supplement({"a": old["a"]}, old)
