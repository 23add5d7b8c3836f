# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The sensors of runs and of batches do the same, in each of their modes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.batches.report import ReportPlan
from airflow_healthomics.compat import AirflowException, AirflowFailException, AirflowSkipException, Context
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError, HealthOmicsRequestError
from tests.healthomics import Control
from tests.sdk import AirflowRescheduleException, TaskDeferred, timezone
from tests.unit.conftest import DAG_RUN_ID, ONE_ATTEMPT, SHOWN, Clock, calls_of, needs_store
from tests.unit.kinds import BATCH, KINDS, RUN, Kind

from .conftest import INTERVAL, MODES, SOFT, Sensing

# --- the outcome ---

IN_SUMMARY = {
    RUN: {"arn", "uuid", "runOutputUri", "creationTime", "stopTime"},
    BATCH: {"arn", "uuid", "name", "totalRuns", "submissionSummary", "runSummary", "processedTime"},
}


@KINDS
@MODES
@SOFT
def test_a_success_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str, soft_fail: bool
) -> None:
    """It returns the summary as JSON values."""
    resource_id = kind.start(omics)
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    summary = sensing.run(kind, mode, resource_id, soft_fail=soft_fail)
    assert (summary["id"], summary["status"]) == (resource_id, kind.succeeded)
    assert IN_SUMMARY[kind] <= summary.keys()
    assert json.loads(json.dumps(summary)) == summary
    assert clock.elapsed <= 3600 + 2 * INTERVAL


@KINDS
@MODES
def test_an_earlier_success_ends_it_at_once(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str
) -> None:
    """It returns the summary."""
    resource_id = kind.start(omics)
    kind.end(omics, kind.succeeded)
    omics.advance("COMPLETED")
    assert sensing.run(kind, mode, resource_id)["status"] == kind.succeeded
    assert clock.elapsed == 0


@MODES
@pytest.mark.parametrize(
    ("option", "at_once"),
    [(None, True), (None, False), ("soft_fail", True), ("soft_fail", False), ("never_fail", True)],
)
@pytest.mark.parametrize(
    ("kind", "status"), [(kind, status) for kind in (RUN, BATCH) for status in kind.failures], ids=str
)
def test_any_other_end_fails_it_permanently(
    omics: Control,
    sensing: Sensing,
    clock: Clock,
    kind: Kind,
    mode: str,
    option: str | None,
    at_once: bool,
    status: str,
) -> None:
    """Or skips it, in every mode. A sensor cannot repair a run that another task started."""
    resource_id = kind.start(omics)
    omics.set_options(manual=True)
    clock.at(0 if at_once else 600, lambda: kind.end(omics, status))
    clock.advance(0)
    if option:
        with pytest.raises(AirflowSkipException):
            sensing.run(kind, mode, resource_id, **{option: True})
    else:
        with pytest.raises(kind.error) as caught:
            sensing.run(kind, mode, resource_id)
        error: Any = caught.value
        assert issubclass(caught.type, AirflowFailException)
        assert (getattr(error, kind.id_argument), error.status) == (resource_id, status)
        assert " of 0" not in str(error)
    if at_once:
        assert (clock.elapsed, sensing.tasks.deferrals) == (0, [])
    assert clock.elapsed <= 600 + 2 * INTERVAL


@KINDS
@MODES
@SOFT
def test_a_timeout_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str, soft_fail: bool
) -> None:
    """After the same time in every mode, as a failure or a skip."""
    resource_id = kind.start(omics)
    with pytest.raises(AirflowException) as caught:
        sensing.run(kind, mode, resource_id, timeout=1800, soft_fail=soft_fail)
    assert isinstance(caught.value, AirflowSkipException) == soft_fail
    assert 1800 <= clock.elapsed <= 1800 + 2 * INTERVAL


@KINDS
@MODES
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
def test_it_survives_throttling(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str, code: str
) -> None:
    """From the first poll on."""
    resource_id = kind.start(omics)
    omics.inject_error(kind.get, code, times=5)
    clock.at(1200, lambda: omics.advance("COMPLETED"))
    assert sensing.run(kind, mode, resource_id)["status"] == kind.succeeded


@needs_store
@KINDS
@MODES
@SOFT
@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
def test_a_missing_permission_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str, soft_fail: bool, later: bool
) -> None:
    """After an hour and retryably, in every mode; ``soft_fail`` does not hide it."""
    resource_id = kind.start(omics)
    clock.at(600, lambda: omics.inject_error(kind.get, "AccessDeniedException", times=None))
    if not later:
        clock.advance(600)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match=f"omics:{kind.get}") as caught:
        sensing.run(kind, mode, resource_id, soft_fail=soft_fail)
    assert not isinstance(caught.value, AirflowFailException)
    assert 600 + 3600 <= clock.elapsed <= 600 + 3600 + 3 * INTERVAL


@needs_store
@KINDS
@MODES
def test_a_restored_permission_ends_nothing(
    omics: Control, sensing: Sensing, clock: Clock, logged: Callable[[], str], kind: Kind, mode: str
) -> None:
    """From the first poll on, with a warning every ten minutes and a line at the end."""
    resource_id = kind.start(omics)
    omics.inject_error(kind.get, "AccessDeniedException", times=None)
    clock.at(1500, omics.clear_faults)
    clock.at(5000, lambda: omics.advance("COMPLETED"))
    assert sensing.run(kind, mode, resource_id)["status"] == kind.succeeded
    text = logged()
    assert 2 * SHOWN <= text.count("refused") - text.count("of refusals") <= 4 * SHOWN
    assert text.count("succeed again") == SHOWN


@KINDS
@MODES
@SOFT
def test_a_bad_id_is_refused(
    omics: Control, sensing: Sensing, kind: Kind, mode: str, soft_fail: bool
) -> None:
    """Before any call, in every mode."""
    with pytest.raises(AirflowSkipException if soft_fail else HealthOmicsRequestError) as caught:
        sensing.run(kind, mode, DAG_RUN_ID, soft_fail=soft_fail)
    assert soft_fail or kind.id_argument in str(caught.value)
    assert soft_fail or kind is BATCH or "not the DAG-run ID" in str(caught.value)
    assert omics.calls() == []


@KINDS
@MODES
def test_an_unknown_id_ends_it(omics: Control, sensing: Sensing, kind: Kind, mode: str) -> None:
    """A deletion and a wrong id look alike, and the message mentions both."""
    with pytest.raises(kind.error) as caught:
        sensing.run(kind, mode, "999")
    assert caught.value.status == "DELETED"
    assert "999" in str(caught.value)
    assert "region" in str(caught.value)


# --- polling ---


@KINDS
@MODES
def test_it_polls_once_in_each_interval(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str
) -> None:
    """``poke_interval`` applies in every mode, and a poll is one call."""
    resource_id = kind.start(omics)
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    sensing.run(kind, mode, resource_id)
    assert 3600 / INTERVAL <= calls_of(omics, kind.get) <= 3600 / INTERVAL + 3
    assert not {"GetRun", "ListRuns", "ListRunsInBatch"}.difference({kind.get}) & omics.call_counts().keys()


@KINDS
@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"poke_interval": 0}, 10),
        ({"poke_interval": 5}, 10),
        ({"poke_interval": 1, "exponential_backoff": True}, 10),
        ({"poke_interval": 300, "exponential_backoff": True, "max_wait": 2}, 10),
        ({"poke_interval": 11}, 11),
    ],
    ids=str,
)
def test_rescheduled_pokes_are_at_least_ten_seconds_apart(
    omics: Control, sensing: Sensing, kind: Kind, options: dict[str, Any], seconds: float
) -> None:
    """Airflow may fail a sensor that is rescheduled sooner (apache/airflow#71172)."""
    arguments = {"task_id": "a_task", **kind.by_id(kind.start(omics)), "mode": "reschedule", **options}
    sensor = kind.sensor(**arguments, deferrable=False)
    began = timezone.utcnow()
    with pytest.raises(AirflowRescheduleException) as caught:
        sensor.execute(sensing.context)
    pause = timedelta(seconds=seconds)
    assert began + pause <= caught.value.reschedule_date <= timezone.utcnow() + pause


@KINDS
@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_other_modes_poll_at_the_given_interval(
    omics: Control, sensing: Sensing, clock: Clock, kind: Kind, mode: str
) -> None:
    """Only rescheduled pokes are slower than ``poke_interval``."""
    resource_id = kind.start(omics)
    clock.at(30, lambda: omics.advance("COMPLETED"))
    sensing.run(kind, mode, resource_id, poke_interval=2)
    assert calls_of(omics, kind.get) >= 30 / 2


@KINDS
def test_it_defers_with_its_timeout(omics: Control, context: Context, client: Any, kind: Kind) -> None:
    """And with its connection."""
    resource_id = kind.start(omics)
    sensor = kind.sensor(
        task_id="a_task",
        **kind.by_id(resource_id),
        deferrable=True,
        timeout=1800,
        poke_interval=7,
        aws_conn_id=None,
        region_name="us-east-1",
        verify=False,
        botocore_config=ONE_ATTEMPT,
    )
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(context)
    assert caught.value.timeout == timedelta(seconds=1800)
    if kind is RUN:
        run = client.get_run(id=resource_id)
        more = {
            "uuid": run["uuid"],
            "creation_time": run["creationTime"].isoformat(),
            "list_filter": None,
        }
    else:
        report = ReportPlan(success_policy="all").as_json()
        more = {"uuid": omics.batches()[0]["uuid"], "report": report}
    assert caught.value.trigger.serialize()[1] == {
        **kind.by_id(resource_id),
        **more,
        "waiter_delay": 7,
        "grace": 0.0,
        "is_deletion": False,
        "cancel_on_kill": False,
        "aws_conn_id": None,
        "region_name": "us-east-1",
        "verify": False,
        "botocore_config": ONE_ATTEMPT,
    }


@KINDS
def test_it_never_cancels(omics: Control, sensing: Sensing, kind: Kind) -> None:
    """Only the task that started the resource does."""
    with pytest.raises(AirflowException):
        sensing.run(kind, "deferred", kind.start(omics), timeout=600)
    assert calls_of(omics, kind.operation("Cancel")) == 0


@KINDS
@pytest.mark.parametrize("event", [None, {}], ids=str)
def test_a_resume_without_an_event_is_an_error(context: Context, kind: Kind, event: Any) -> None:
    """It is not a success."""
    sensor = kind.sensor(task_id="a_task", **kind.by_id("1"), deferrable=True)
    with pytest.raises((AirflowException, KeyError)):
        sensor.resume_execution("execute_complete", {"event": event}, context)
