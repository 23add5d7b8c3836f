# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run is identified by its id and its uuid, from its start to its deletion."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowFailException, Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsOutcomeLostError,
    HealthOmicsRunFailedError,
    HealthOmicsRunFailedPermanentlyError,
)
from airflow_healthomics.resources.watch import NEW_GRACE
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import (
    OUTPUT,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    needs_store,
    try_of,
)
from tests.unit.histories import WAYS, start_of, waiting


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_new_run_may_not_be_found_yet(
    omics: Control, context: Context, tasks: Tasks, deferrable: bool, times: int
) -> None:
    """A run that is not found right after StartRun has not ended."""
    omics.inject_error("GetRun", "ResourceNotFoundException", times=times)
    assert tasks.run(waiting(deferrable, waiter_delay=10), context) == omics.runs()[0]["id"]


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_new_run_that_is_never_found_has_ended(
    omics: Control, context: Context, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """After a minute."""
    omics.plan_run(seconds={"RUNNING": None})
    omics.inject_error("GetRun", "ResourceNotFoundException", times=None)
    with pytest.raises(HealthOmicsOutcomeLostError):
        tasks.run(waiting(deferrable, waiter_delay=10), context)
    assert NEW_GRACE <= clock.elapsed <= 2 * NEW_GRACE


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_run_that_was_found_once_has_no_grace_period(
    omics: Control, context: Context, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """If it is not found later, it was deleted; the error mentions retention."""
    omics.plan_run(seconds={"RUNNING": None})
    clock.at(25, lambda: omics.advance("DELETED"))
    with pytest.raises(HealthOmicsOutcomeLostError, match="retention"):
        tasks.run(waiting(deferrable, waiter_delay=10), context)
    assert clock.elapsed <= 50


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_sensor_has_no_grace_period(
    omics: Control, context: Context, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """Another task started its run, so its id is wrong or the run was deleted."""
    with pytest.raises(HealthOmicsRunFailedError, match="the run id, the account or the region") as caught:
        tasks.run(
            lambda: HealthOmicsRunSensor(task_id="a_task", run_id="1234567", deferrable=deferrable), context
        )
    assert isinstance(caught.value, AirflowFailException)
    assert clock.elapsed == 0


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("is_sensor", [False, True], ids=["operator", "sensor"])
def test_another_run_with_the_id_is_an_error(
    omics: Control,
    context: Context,
    tasks: Tasks,
    clock: Clock,
    started: Callable[..., Any],
    deferrable: bool,
    is_sensor: bool,
) -> None:
    """It has both uuids, and is permanent on a worker and after a deferral."""
    omics.set_options(reuse_run_ids=True)
    omics.plan_run(seconds={"RUNNING": None})
    uuids: list[str] = []

    def replace() -> None:
        (run,) = omics.runs()
        omics.advance("DELETED", run_id=run["id"])
        uuids.extend([run["uuid"], started()["uuid"]])

    clock.at(100, replace)
    run_id = started()["id"] if is_sensor else None

    def task() -> Any:
        if run_id is None:
            return waiting(deferrable, waiter_delay=10)()
        return HealthOmicsRunSensor(task_id="a_task", run_id=run_id, deferrable=deferrable, poke_interval=30)

    with pytest.raises(HealthOmicsApiError, match="belongs to a different run now") as caught:
        tasks.run(task, context)
    assert isinstance(caught.value, AirflowFailException)
    assert all(uuid in str(caught.value) for uuid in uuids)


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("shown", [True, False])
def test_a_deleted_run_ends_the_wait_whether_it_is_shown_or_not(
    omics: Control,
    context: Context,
    ti: FakeTaskInstance,
    tasks: Tasks,
    clock: Clock,
    deferrable: bool,
    shown: bool,
) -> None:
    """AWS documents both a status and an error."""
    omics.set_options(show_deleted_runs=shown)
    omics.plan_run(seconds={"RUNNING": None})
    clock.at(100, lambda: omics.advance("DELETED"))
    with pytest.raises(HealthOmicsOutcomeLostError, match="no longer exists"):
        tasks.run(waiting(deferrable, waiter_delay=10), context)
    assert not ti.xcoms.get("summary")


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", None])
def test_the_manifest_of_a_removed_run_has_its_end(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool, end: Any
) -> None:
    """Retention mode REMOVE may delete a record before the next poll; that does not repeat the run."""
    omics.plan_run(seconds={"RUNNING": None})

    def remove() -> None:
        if end:
            omics.advance(end)
        omics.advance("DELETED", run_id=omics.runs()[0]["id"])

    clock.at(100, remove)
    ti = FakeTaskInstance(max_tries=2)
    context = try_of(ti, Store())
    if end == "COMPLETED":
        assert tasks.run(waiting(deferrable, waiter_delay=10), context) == omics.runs()[0]["id"]
        assert ti.xcoms["summary"]["runOutputUri"] == f"{OUTPUT}/{omics.runs()[0]['id']}"
    else:
        error = HealthOmicsRunFailedError if end else HealthOmicsOutcomeLostError
        with pytest.raises(error):
            tasks.run(waiting(deferrable, waiter_delay=10), context)


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", None])
def test_a_sensor_reads_the_manifest_of_a_removed_run(
    omics: Control, context: Context, tasks: Tasks, clock: Clock, deferrable: bool, end: Any
) -> None:
    """A completed run is a success, even if its record was deleted."""
    omics.plan_run(seconds={"RUNNING": None})
    run_id = start_of().execute(try_of(FakeTaskInstance()))

    def remove() -> None:
        if end:
            omics.advance(end)
        omics.advance("DELETED", run_id=run_id)

    clock.at(100, remove)

    def sensor() -> HealthOmicsRunSensor:
        return HealthOmicsRunSensor(
            task_id="a_task", run_id=run_id, deferrable=deferrable, poke_interval=60, report_usage=False
        )

    if end == "COMPLETED":
        tasks.run(sensor, context)
    else:
        with pytest.raises(HealthOmicsRunFailedPermanentlyError, match=end or "was not found"):
            tasks.run(sensor, context)


def test_the_trigger_has_the_uuid(omics: Control, context: Context, tasks: Tasks) -> None:
    """It identifies its run from the first poll on."""
    omics.plan_run(seconds={"RUNNING": 60})
    tasks.run(waiting(True), context)
    _, arguments = tasks.deferrals[0].trigger.serialize()
    assert json.loads(json.dumps(arguments))["uuid"] == omics.runs()[0]["uuid"]
