# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the reference that are read from the package: ``{generated} configuration`` and so on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import botocore.session
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from airflow_healthomics.provider_info import get_provider_info
from airflow_healthomics.reports.remedies import REMEDIES
from airflow_healthomics.requests.run import BUILT_IN_DEFAULTS, DEFAULTABLE
from airflow_healthomics.service import batch_states, jobs, run_states
from airflow_healthomics.testing.omics.models import OmicsBackend
from airflow_healthomics.testing.omics.unavailable import is_closed


def configuration() -> Iterator[str]:
    """Return the options of Airflow's configuration, as a list of definitions."""
    for section, content in get_provider_info()["config"].items():
        for name, option in content["options"].items():
            variable = f"AIRFLOW__{section.upper()}__{name.upper()}"
            yield f"`{name}`"
            yield f": {option['description']}"
            yield f"  Type: {option['type']}. Default: `{option['default']}`. Variable: `{variable}`."
            yield ""


def connection() -> Iterator[str]:
    """Return the keys of the connection's extra, with the defaults that the hook has."""
    rows = [
        (f"`{name}`", f"`{BUILT_IN_DEFAULTS[name]}`" if name in BUILT_IN_DEFAULTS else "none")
        for name in sorted(DEFAULTABLE)
    ]
    yield from _table(("Key of `service_config.omics`", "Default of the hook"), rows)


def run_state_sets() -> Iterator[str]:
    """Return the sets of run states."""
    sets = {"active": run_states.ACTIVE, "succeeded": run_states.SUCCEEDED, "failed": run_states.FAILED}
    yield from _table(("Set", "States"), [(name, _codes(states)) for name, states in sets.items()])


def batch_state_sets() -> Iterator[str]:
    """Return the sets of batch states."""
    sets = {
        "active": batch_states.ACTIVE,
        "active, and can be cancelled": batch_states.CANCELLABLE,
        "ended; `success_policy` decides": batch_states.MEASURED,
        "ended as a failure": batch_states.TERMINAL - batch_states.MEASURED,
    }
    yield from _table(("Set", "States"), [(name, _codes(states)) for name, states in sets.items()])


def job_state_sets() -> Iterator[str]:
    """Return the sets of states of jobs of stores."""
    sets = {"active": jobs.ACTIVE, "succeeded": jobs.SUCCEEDED, "failed": jobs.FAILED}
    yield from _table(("Set", "States"), [(name, _codes(states)) for name, states in sets.items()])


def failure_reasons() -> Iterator[str]:
    """Return what the package does about each documented reason of a failed run."""
    rows = [
        (f"`{reason}`", "yes" if remedy.retry else "no", remedy.next_step)
        for reason, remedy in REMEDIES.items()
    ]
    yield from _table(("`failureReason`", "Retried", "Next step in the error"), rows)


def local_operations() -> Iterator[str]:
    """Return what the local HealthOmics does for each operation, and the names of the others."""
    names = botocore.session.get_session().get_service_model("omics").operation_names
    backend = OmicsBackend("us-east-1", "123456789012")
    actions = {name: action for name in names if (action := backend.action(name)) is not None}
    rows = [(f"`{name}`", _first_paragraph(action)) for name, action in actions.items()]
    yield from _table(("Operation", "What the local HealthOmics does"), rows)
    yield ""
    others = set(names) - set(actions)  # none, unless botocore is newer
    closed = {name for name in others if is_closed(name)}
    yield (
        f"The {len(closed)} operations on annotation stores and variant stores, which are closed to new "
        f"customers, answer `AccessDeniedException` (403): {_codes(closed)}."
    )
    if unknown := others - closed:
        yield ""
        yield f"The other {len(unknown)} answer `NotSupportedOperationException` (501): {_codes(unknown)}."


PARTS = {
    "local-operations": local_operations,
    "configuration": configuration,
    "connection": connection,
    "run-states": run_state_sets,
    "batch-states": batch_state_sets,
    "job-states": job_state_sets,
    "failure-reasons": failure_reasons,
}


def _first_paragraph(function: Callable[..., Any]) -> str:
    """Return the first paragraph of a docstring, in Markdown."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].replace("``", "`").split())


def _codes(states: Iterable[str]) -> str:
    return ", ".join(f"`{state}`" for state in sorted(states))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


class Generated(SphinxDirective):
    """A part of :data:`PARTS`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parsed part."""
        container = nodes.container()
        source = StringList(list(PARTS[self.arguments[0]]()), source=self.get_location())
        self.state.nested_parse(source, self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
