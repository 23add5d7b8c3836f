# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The sensor that waits for the next end of any run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowSensorTimeout, AirflowSkipException
from airflow_healthomics.events.watcher import utc_now
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
)
from airflow_healthomics.sensors import HealthOmicsRunEventSensor
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks
from tests.unit.kinds import RUN

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferred"])


@pytest.fixture
def sense(tasks: Tasks, context: Any, clock: Clock) -> Callable[..., Any]:
    """Run the sensor; the DAG run has just started."""
    context["dag_run"].start_date = utc_now()

    def run(**arguments: Any) -> Any:
        fields: dict[str, Any] = {
            "task_id": "a_task",
            "poke_interval": 60,
            "timeout": 86400,
            "botocore_config": ONE_ATTEMPT,
            **arguments,
        }
        return tasks.run(lambda: HealthOmicsRunEventSensor(**fields), context)

    return run


@pytest.fixture
def ends_at(omics: Control, clock: Clock) -> Callable[..., str]:
    """Let a run end after N seconds."""

    def plan(seconds: float, status: str = "COMPLETED") -> str:
        run_id = RUN.start(omics)
        clock.at(clock.elapsed + seconds, lambda: omics.advance(status, run_id=run_id))
        return run_id

    return plan


@WAYS
def test_it_waits_for_the_next_end(sense: Any, ends_at: Any, clock: Clock, deferrable: bool) -> None:
    """And returns the payload of an asset event."""
    ends_at(900, "FAILED")
    run_id = ends_at(600, "FAILED")
    payload = sense(deferrable=deferrable)
    assert (payload["runId"], payload["status"]) == (run_id, "FAILED")
    assert 600 <= clock.elapsed < 700
    assert "parameters" not in payload


@WAYS
def test_it_waits_for_what_matches(sense: Any, ends_at: Any, deferrable: bool) -> None:
    """Another end does not end it."""
    ends_at(60, "FAILED")
    run_id = ends_at(600)
    assert sense(deferrable=deferrable, statuses=["COMPLETED"])["runId"] == run_id


@WAYS
def test_an_end_before_the_dag_run_does_not_count(
    sense: Any, ends_at: Any, clock: Clock, context: Any, deferrable: bool
) -> None:
    """Unless ``since`` says so."""
    before = utc_now()
    early = ends_at(1)
    clock.advance(1)
    clock.advance(30)
    context["dag_run"].start_date = utc_now()
    late = ends_at(600)
    assert sense(deferrable=deferrable)["runId"] == late
    assert sense(deferrable=deferrable, since=before.isoformat())["runId"] == early


@WAYS
@pytest.mark.parametrize("soft_fail", [False, True])
def test_it_times_out(sense: Any, omics: Control, deferrable: bool, soft_fail: bool) -> None:
    """As any sensor."""
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        sense(deferrable=deferrable, timeout=300, soft_fail=soft_fail)


@WAYS
def test_a_refusal_on_the_worker_fails_it(sense: Any, omics: Control, deferrable: bool) -> None:
    """With the permission that is missing."""
    omics.inject_error("ListRuns", "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsApiError, match="omics:ListRuns"):
        sense(deferrable=deferrable)


@WAYS
def test_throttling_is_waited_out(sense: Any, omics: Control, ends_at: Any, deferrable: bool) -> None:
    """It says nothing about the runs."""
    omics.inject_error("ListRuns", "ThrottlingException", times=3)
    run_id = ends_at(60)
    assert sense(deferrable=deferrable)["runId"] == run_id


def test_polls_that_stay_refused_end_the_deferral(
    sense: Any, omics: Control, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``refusal_patience``, with a failure that may be retried."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__REFUSAL_PATIENCE", "600")
    at = clock.elapsed + 120
    clock.at(at, lambda: omics.inject_error("ListRuns", "AccessDeniedException", times=None))
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="ListRuns: AccessDeniedException"):
        sense(deferrable=True)
    assert 600 <= clock.elapsed - at < 900


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"since": "yesterday"}, "since"), ({"statuses": "RUNNING"}, "statuses")],
    ids=str,
)
def test_a_mistake_is_refused_before_any_call(
    sense: Any, omics: Control, arguments: dict[str, Any], named: str
) -> None:
    """It names the argument."""
    with pytest.raises(HealthOmicsRequestError, match=named):
        sense(**arguments)
    assert omics.call_counts() == {}
