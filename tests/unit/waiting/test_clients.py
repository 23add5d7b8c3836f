# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The client of a task that polls on its worker."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.clients import client_of
from tests.healthomics import Control
from tests.unit.histories import start_of
from tests.unit.simulated_omics import EXPIRED, Records


@pytest.fixture
def task(omics: Control) -> Any:
    """A task that polls a run."""
    return start_of()


def watch_of(*, is_refused: bool) -> RunWatch:
    """Return the state of a wait whose last poll may have been refused."""
    watch = RunWatch("1", log=Records())
    if is_refused:
        watch.record_error(EXPIRED("GetRun"), "GetRun")
    return watch


def test_a_client_is_kept_until_a_poll_is_refused(task: Any) -> None:
    """A new one reads the credentials of the connection again."""
    known = task.hook.conn
    assert client_of(task, watch_of(is_refused=False)) is known
    assert client_of(task, watch_of(is_refused=True)) is not known


@pytest.mark.parametrize("has_client", [True, False])
def test_a_refused_poll_survives_a_failing_connection(
    task: Any, monkeypatch: pytest.MonkeyPatch, has_client: bool
) -> None:
    """The known client may work again; without one the error is raised."""
    known = task.hook.conn if has_client else None
    with monkeypatch.context() as patch:
        patch.setattr(type(start_of().hook), "get_connection", fail)
        if has_client:
            assert client_of(task, watch_of(is_refused=True)) is known
            assert task.hook.conn is known
        else:
            with pytest.raises(ConnectionError):
                client_of(task, watch_of(is_refused=True))
    assert client_of(task, watch_of(is_refused=True)) is not known


def fail(*_: Any, **__: Any) -> Any:
    """Simulate an API server that is down."""
    raise ConnectionError("the API server is down")
