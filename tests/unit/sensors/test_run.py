# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The sensor does the same in each of its modes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException, AirflowFailException, AirflowSkipException
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
    HealthOmicsRunFailedError,
)
from airflow_healthomics.publishing.resource_xcom import XCOM_KEY
from airflow_healthomics.sensors import HealthOmicsRunSensor
from airflow_healthomics.sensors.base import KEY
from tests.healthomics import Control
from tests.sdk import BaseSensorOperator, TaskDeferred, timezone
from tests.unit.conftest import (
    DAG_RUN_ID,
    HAS_STORE,
    ONE_ATTEMPT,
    SHOWN,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
)

try:
    from tests.sdk import AirflowRescheduleException
except ImportError:  # older releases of the provider
    from airflow.exceptions import AirflowRescheduleException

MODES = ["poke", "reschedule", "deferred"]
#: Seconds between two looks.
INTERVAL = 300
SOFT = [pytest.param(False, id="hard"), pytest.param(True, id="soft")]
LINKS = {
    "healthomics_run_link",
    "healthomics_run_log_link",
    "healthomics_engine_log_link",
    "healthomics_outputs_link",
}


class Sensing:
    """Runs a sensor to its end, in any mode, the way Airflow does."""

    def __init__(self, tasks: Tasks, ti: FakeTaskInstance, context: dict[str, Any]) -> None:
        self.tasks, self.ti, self.context = tasks, ti, context
        self.reschedules = 0

    def run(self, mode: str, run_id: str, **fields: Any) -> Any:
        def make() -> HealthOmicsRunSensor:
            return HealthOmicsRunSensor(
                task_id="a_task",
                run_id=run_id,
                deferrable=mode == "deferred",
                mode="reschedule" if mode == "reschedule" else "poke",
                **{
                    "botocore_config": ONE_ATTEMPT,
                    "poke_interval": INTERVAL,
                    "timeout": 7 * 24 * 3600,
                    **fields,
                },
            )

        began = self.tasks.clock.elapsed
        while True:
            try:
                return self.tasks.run(make, self.context)
            except AirflowRescheduleException as again:
                self.reschedules += 1
                wait = (again.reschedule_date - timezone.utcnow()).total_seconds()
                self.tasks.clock.advance(round(wait))
                # As if the first look was so long ago; the database keeps real times.
                elapsed = timedelta(seconds=self.tasks.clock.elapsed - began)
                self.ti.first_reschedule = timezone.utcnow() - elapsed


@pytest.fixture
def sensing(
    tasks: Tasks,
    ti: FakeTaskInstance,
    context: dict[str, Any],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> Sensing:
    """Run sensors."""
    module = sys.modules[BaseSensorOperator.__module__]
    if hasattr(module, "_orig_start_date"):  # Airflow 2 asks the database, Airflow 3 the task instance
        monkeypatch.setattr(module, "_orig_start_date", lambda **_: ti.first_reschedule)
    return Sensing(tasks, ti, {**context, "task_state_store": store} if HAS_STORE else context)


@pytest.fixture
def run_id(omics: Control, started: Callable[..., Any]) -> str:
    """A run that stays RUNNING until it is told."""
    omics.plan_run(seconds={"RUNNING": None})
    started_id: str = started()["id"]
    return started_id


# --- how it ends ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
def test_a_completed_run_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, soft_fail: bool
) -> None:
    """It returns the run's summary, as JSON values."""
    clock.at(3600, lambda: omics.advance("COMPLETED", run_id=run_id))
    summary = sensing.run(mode, run_id, soft_fail=soft_fail)
    assert (summary["id"], summary["status"]) == (run_id, "COMPLETED")
    assert {"arn", "uuid", "runOutputUri", "creationTime", "stopTime"} <= summary.keys()
    assert json.loads(json.dumps(summary)) == summary
    assert clock.elapsed <= 3600 + 2 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "DELETED"])
def test_any_other_end_fails_it_for_good(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, status: str
) -> None:
    """At once: a sensor cannot repair a run that another task started."""
    clock.at(600, lambda: omics.advance(status, run_id=run_id))
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        sensing.run(mode, run_id)
    assert (caught.value.run_id, caught.value.status) == (run_id, status)
    assert isinstance(caught.value, AirflowFailException)
    assert clock.elapsed <= 600 + 2 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "DELETED"])
def test_soft_fail_skips_in_every_mode(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, status: str
) -> None:
    """When the run ends badly while it is waited for."""
    clock.at(600, lambda: omics.advance(status, run_id=run_id))
    with pytest.raises(AirflowSkipException):
        sensing.run(mode, run_id, soft_fail=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "DELETED"])
@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
def test_soft_fail_skips_when_the_run_had_failed_before(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, status: str, option: str
) -> None:
    """The first look is like any other, and nothing is deferred."""
    omics.advance(status, run_id=run_id)
    with pytest.raises(AirflowSkipException):
        sensing.run(mode, run_id, **{option: True})
    assert clock.elapsed == 0
    assert sensing.tasks.deferrals == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "DELETED"])
def test_a_run_that_had_failed_before_fails_it_at_once(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, status: str
) -> None:
    """Without deferring."""
    omics.advance(status, run_id=run_id)
    with pytest.raises(HealthOmicsRunFailedError):
        sensing.run(mode, run_id)
    assert clock.elapsed == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_had_completed_before_ends_it_at_once(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str
) -> None:
    """With the summary."""
    omics.advance("COMPLETED", run_id=run_id)
    assert sensing.run(mode, run_id)["status"] == "COMPLETED"
    assert clock.elapsed == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
def test_a_timeout_ends_it(sensing: Sensing, clock: Clock, run_id: str, mode: str, soft_fail: bool) -> None:
    """After the same time in every mode, as a failure or a skip."""
    with pytest.raises(AirflowException) as caught:
        sensing.run(mode, run_id, timeout=1800, soft_fail=soft_fail)
    assert isinstance(caught.value, AirflowSkipException) == soft_fail
    assert 1800 <= clock.elapsed <= 1800 + 2 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
def test_stopping_is_waited_out(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str
) -> None:
    """It tells success from failure as little as RUNNING does."""
    omics.set_options(stopping_seconds=1e9)
    clock.at(600, lambda: omics.advance("STOPPING", run_id=run_id))
    clock.at(1200, lambda: omics.advance("COMPLETED", run_id=run_id))
    assert sensing.run(mode, run_id)["status"] == "COMPLETED"
    assert clock.elapsed >= 1200


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
def test_it_survives_a_service_that_refuses_for_a_while(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, code: str
) -> None:
    """From the first look on."""
    omics.inject_error("GetRun", code, times=5)
    clock.at(1200, lambda: omics.advance("COMPLETED", run_id=run_id))
    assert sensing.run(mode, run_id)["status"] == "COMPLETED"


@needs_store
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
def test_no_permission_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, soft_fail: bool, later: bool
) -> None:
    """After an hour and retryably, in every mode; ``soft_fail`` does not hide it."""
    clock.at(600, lambda: omics.inject_error("GetRun", "AccessDeniedException", times=None))
    if not later:
        clock.advance(600)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetRun") as caught:
        sensing.run(mode, run_id, soft_fail=soft_fail)
    assert not isinstance(caught.value, AirflowFailException)
    assert 600 + 3600 <= clock.elapsed <= 600 + 3600 + 3 * INTERVAL


@needs_store
@pytest.mark.parametrize("mode", MODES)
def test_a_permission_that_comes_back_ends_nothing(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, logged: Callable[[], str]
) -> None:
    """From the first poll on, with a warning each ten minutes and a line when it is over."""
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    clock.at(1500, omics.clear_faults)
    clock.at(5000, lambda: omics.advance("COMPLETED", run_id=run_id))
    assert sensing.run(mode, run_id)["status"] == "COMPLETED"
    text = logged()
    assert 2 * SHOWN <= text.count("refused") - text.count("of refusals") <= 4 * SHOWN
    assert text.count("succeed again") == SHOWN


@needs_store
@pytest.mark.parametrize("mode", MODES)
def test_a_run_id_that_was_given_away_is_no_success(
    omics: Control,
    sensing: Sensing,
    clock: Clock,
    run_id: str,
    started: Callable[..., Any],
    mode: str,
) -> None:
    """Also between two pokes of a rescheduled sensor, which remembers the uuid."""
    omics.set_options(reuse_run_ids=True)

    def replace() -> None:
        omics.advance("DELETED", run_id=run_id)
        assert started()["id"] == run_id
        omics.advance("COMPLETED", run_id=run_id)

    clock.at(1000, replace)
    with pytest.raises(HealthOmicsApiError, match="belongs to a different run now"):
        sensing.run(mode, run_id)


@needs_store
def test_another_attempt_does_not_remember(sensing: Sensing, store: Store, run_id: str) -> None:
    """A Clear after a replacement accepts the new run."""
    store.set(KEY, {"attempt": f"7 {run_id}", "uuid": "another", "refusals": None, "time": 0})
    with pytest.raises(AirflowException, match="timed out"):
        sensing.run("reschedule", run_id, timeout=1800)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
def test_a_bad_run_id_is_refused(omics: Control, sensing: Sensing, mode: str, soft_fail: bool) -> None:
    """Before any call, alike in every mode."""
    with pytest.raises(AirflowSkipException if soft_fail else HealthOmicsRequestError) as caught:
        sensing.run(mode, DAG_RUN_ID, soft_fail=soft_fail)
    if not soft_fail:
        assert "not the DAG-run ID" in str(caught.value)
    assert omics.calls() == []


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_nobody_knows_ends_it(omics: Control, sensing: Sensing, mode: str) -> None:
    """A deleted run and a wrong id look alike, and the message says both."""
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        sensing.run(mode, "999")
    assert caught.value.status == "DELETED"
    assert "999" in str(caught.value)
    assert "region" in str(caught.value)


@pytest.mark.parametrize("mode", MODES)
def test_the_reason_of_the_failure_is_said(omics: Control, sensing: Sensing, run_id: str, mode: str) -> None:
    """AWS's code and text, and where to look."""
    omics.advance("FAILED", run_id=run_id, failure_reason="EXPORT_FAILED", status_message="no such bucket")
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        sensing.run(mode, run_id)
    error = caught.value
    assert (error.failure_reason, error.status_message) == ("EXPORT_FAILED", "no such bucket")
    for word in ("EXPORT_FAILED", "no such bucket", "console"):
        assert word in str(error)


# --- how it waits ---


@pytest.mark.parametrize("mode", MODES)
def test_it_asks_once_in_each_interval(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str
) -> None:
    """``poke_interval`` holds in every mode."""
    clock.at(3600, lambda: omics.advance("COMPLETED", run_id=run_id))
    sensing.run(mode, run_id, poke_interval=300)
    assert 3600 / 300 <= calls_of(omics, "GetRun") <= 3600 / 300 + 3


def test_it_defers_with_its_timeout(
    omics: Control, context: dict[str, Any], run_id: str, client: Any
) -> None:
    """And with the connection that it was given."""
    sensor = HealthOmicsRunSensor(
        task_id="a_task",
        run_id=run_id,
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
    _, arguments = caught.value.trigger.serialize()
    assert arguments == {
        "run_id": run_id,
        "uuid": client.get_run(id=run_id)["uuid"],
        "waiter_delay": 7,
        "creation_time": client.get_run(id=run_id)["creationTime"].isoformat(),
        "grace": 0.0,
        "cancel_on_kill": False,
        "aws_conn_id": None,
        "region_name": "us-east-1",
        "verify": False,
        "botocore_config": ONE_ATTEMPT,
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_its_links_work_while_it_waits(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, do_xcom_push: bool
) -> None:
    """From the first look on."""
    seen: list[set[str]] = []
    clock.at(1, lambda: seen.append(set(sensing.ti.xcoms)))
    clock.at(600, lambda: omics.advance("COMPLETED", run_id=run_id))
    sensing.run(mode, run_id, do_xcom_push=do_xcom_push)
    assert seen[0] == LINKS | {XCOM_KEY}
    assert {link.xcom_key for link in HealthOmicsRunSensor.operator_extra_links} == LINKS


def test_it_never_cancels(omics: Control, sensing: Sensing, run_id: str) -> None:
    """Whoever started the run does that."""
    with pytest.raises(AirflowException):
        sensing.run("deferred", run_id, timeout=600)
    assert calls_of(omics, "CancelRun") == 0


@pytest.mark.parametrize("event", [None, {}], ids=str)
def test_a_resume_without_an_event_is_an_error(
    omics: Control, context: dict[str, Any], run_id: str, event: Any
) -> None:
    """And not a success."""
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run_id, deferrable=True)
    with pytest.raises((AirflowException, KeyError)):
        sensor.resume_execution("execute_complete", {"event": event}, context)
