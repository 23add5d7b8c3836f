# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The events of a task's outlets have the location of the outputs of its run or batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException, Asset, AssetAlias, Context
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.publishing import asset_events as outlets
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.batch_attempts import PLACE, batch_of, fail_runs, some_settings
from tests.unit.conftest import ONE_ATTEMPT, OUTPUT, ROLE, WORKFLOW, FakeTaskInstance, Tasks
from tests.unit.histories import WAYS
from tests.unit.job_attempts import DESTINATION, EXPORT, JOB_KINDS, JobKind, Stores

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2
    from airflow.utils.context import OutletEventAccessors

ASSET = Asset("s3://variants/all")
ALIAS = AssetAlias("variants")

RUN: dict[str, Any] = {"workflow_id": WORKFLOW, "role_arn": ROLE, "output_uri": OUTPUT}
BATCH: dict[str, Any] = {**RUN, "run_settings": some_settings(3)}


class Events:
    """Runs a task with two outlets, and returns the events of its last process."""

    def __init__(self, tasks: Tasks, context: Context) -> None:
        self.tasks, self.context = tasks, context
        self.outlets: list[Any] = [ASSET, ALIAS]

    def of(self, kind: type[Any], **fields: Any) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
        """Return the asset's extra, and URI and extra of the alias's events."""

        def make() -> Any:
            # No event outlives a deferral.
            self.context["outlet_events"] = OutletEventAccessors()
            return kind(task_id="a_task", botocore_config=ONE_ATTEMPT, outlets=self.outlets, **fields)

        self.tasks.run(make, self.context)
        return self.emitted()

    def emitted(self) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
        """Return the events so far."""
        accessors = self.context["outlet_events"]
        alias: Any = accessors[ALIAS]
        if hasattr(alias, "asset_alias_events"):
            found = [(each.dest_asset_key.uri, each.extra) for each in alias.asset_alias_events]
        else:  # Airflow 2
            found = [(each["dest_dataset_uri"], each["extra"]) for each in alias.dataset_alias_events]
        return accessors[ASSET].extra, found


@pytest.fixture
def events(tasks: Tasks, context: Context) -> Events:
    """Run tasks, and return their events."""
    return Events(tasks, context)


def expected_of(run: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """Return the events of a run."""
    extra = {
        "runId": run["id"],
        "uuid": run["uuid"],
        "runOutputUri": run["runOutputUri"],
        "workflowId": WORKFLOW,
    }
    return extra, [(run["runOutputUri"], extra)]


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("wait", [True, False])
def test_an_operator(omics: Control, client: Any, events: Events, deferrable: bool, wait: bool) -> None:
    """One event for each outlet, whether it waits or not."""
    emitted = events.of(HealthOmicsStartRunOperator, **RUN, wait_for_completion=wait, deferrable=deferrable)
    (run,) = omics.runs()
    assert emitted == expected_of(client.get_run(id=run["id"]))


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_sensor(
    client: Any, events: Events, started: Callable[..., dict[str, Any]], deferrable: bool
) -> None:
    """The same in every mode; a rescheduled sensor ends in another process, like a deferred one."""
    run_id = started()["id"]
    emitted = events.of(HealthOmicsRunSensor, run_id=run_id, deferrable=deferrable)
    assert emitted == expected_of(client.get_run(id=run_id))


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_a_failed_run_emits_no_event(
    omics: Control, events: Events, started: Callable[..., Any], kind: str, deferrable: bool
) -> None:
    """It has no outputs."""
    omics.plan_run(status="FAILED")
    task: tuple[type[Any], dict[str, Any]] = (HealthOmicsRunSensor, {"run_id": started()["id"]})
    if kind == "operator":
        omics.plan_run(status="FAILED")
        task = (HealthOmicsStartRunOperator, {**RUN, "wait_for_completion": True})
    with pytest.raises(AirflowException):
        events.of(task[0], **task[1], deferrable=deferrable)
    assert events.emitted() == ({}, [])


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch(omics: Control, bucket: Any, events: Events, ti: FakeTaskInstance, deferrable: bool) -> None:
    """One event with the URI of the manifest, however many runs."""
    emitted = events.of(
        HealthOmicsStartRunBatchOperator,
        **BATCH,
        settings_s3_uri=PLACE,
        wait_for_completion=True,
        deferrable=deferrable,
    )
    (batch,) = omics.batches()
    extra = {
        "batchId": batch["id"],
        "uuid": ti.xcoms["batch"]["uuid"],
        "workflowId": WORKFLOW,
        "outputUri": OUTPUT,
        "manifest": ti.xcoms["manifest"],
    }
    assert emitted == (extra, [(ti.xcoms["manifest"], extra)])


def test_a_batch_without_a_manifest(omics: Control, events: Events) -> None:
    """An alias gets an event for the folder of the outputs."""
    extra, aliased = events.of(HealthOmicsStartRunBatchOperator, **BATCH, wait_for_completion=True)
    assert "manifest" not in extra
    assert aliased == [(OUTPUT, extra)]


def test_a_batch_that_is_not_waited_for(omics: Control, events: Events) -> None:
    """StartRunBatch's response does not have the location of its outputs."""
    extra, aliased = events.of(HealthOmicsStartRunBatchOperator, **BATCH)
    assert extra.keys() == {"batchId", "uuid", "workflowId"}
    assert aliased == []


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_sensor(omics: Control, events: Events, context: Context, deferrable: bool) -> None:
    """Its event has the folder, as it knows of no manifest."""
    batch_id = batch_of().execute(context)
    extra, aliased = events.of(HealthOmicsRunBatchSensor, batch_id=batch_id, deferrable=deferrable)
    assert extra.keys() == {"batchId", "uuid", "workflowId", "outputUri"}
    assert aliased == [(OUTPUT, extra)]


def test_a_failed_batch_emits_no_event(omics: Control, bucket: Any, events: Events) -> None:
    """Too few runs have completed."""
    fail_runs(omics, "sample-0")
    with pytest.raises(AirflowException):
        events.of(HealthOmicsStartRunBatchOperator, **BATCH, wait_for_completion=True)
    assert events.emitted() == ({}, [])


def test_extras_of_the_dag_author_are_kept(omics: Control, context: Context) -> None:
    """For instance those of a pre_execute."""
    context["outlet_events"] = OutletEventAccessors()
    context["outlet_events"][ASSET].extra["night"] = 7
    HealthOmicsStartRunOperator(task_id="a_task", outlets=[ASSET], **RUN).execute(context)
    assert {"night", "runId"} <= context["outlet_events"][ASSET].extra.keys()


def test_other_outlets_are_left_alone(omics: Control, context: Context) -> None:
    """Without outlets, no call is made."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", **RUN)
    operator.outlets = [object()]
    assert operator.execute(context)


def test_a_uri_that_airflow_refuses_loses_its_event(
    omics: Control, events: Events, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    """A completed run does not fail for it, and the log does not have the URI."""

    def refuse(uri: str) -> Asset:
        raise ValueError(uri)

    monkeypatch.setattr(outlets, "Asset", type("Refusing", (Asset,), {"__new__": lambda _, uri: refuse(uri)}))
    events.outlets = [ALIAS]
    _, aliased = events.of(HealthOmicsStartRunOperator, **RUN, wait_for_completion=True)
    assert aliased == []
    text = logged()
    assert "Asset alias variants gets no event" in text
    assert not [line for line in text.splitlines() if "for its alias" in line and "s3://" in line]


def test_a_failed_look_up_of_an_asset_loses_its_event(
    omics: Control, context: Context, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    """The run has completed nevertheless."""
    definitions = pytest.importorskip("airflow.sdk.definitions.asset")
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    def refuse(*_: Any) -> Any:
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.ASSET_NOT_FOUND))

    monkeypatch.setattr(OutletEventAccessors, "_resolve_asset_ref", refuse)
    context["outlet_events"] = OutletEventAccessors()
    operator = HealthOmicsStartRunOperator(task_id="a_task", **RUN)
    operator.outlets = [definitions.AssetNameRef("gone")]
    assert operator.execute(context)
    assert "has no extras" in logged()


@JOB_KINDS
@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_job_has_its_results(
    omics: Control, context: Context, events: Events, kind: JobKind, wait: bool, deferrable: bool
) -> None:
    """The alias of an export has its folder."""
    stores = Stores(omics)
    arguments = stores.arguments(kind, wait_for_completion=wait, deferrable=deferrable)
    # Events adds these arguments.
    del arguments["task_id"], arguments["botocore_config"]
    extra, of_alias = events.of(kind.operator, **arguments)
    (job,) = stores.jobs(kind)
    expected: dict[str, Any] = {"jobId": job["id"], kind.store_field: stores.ids[kind.store]}
    if wait:
        name = "referenceIds" if kind.results == "reference_ids" else "readSetIds"
        task_instance: Any = context["ti"]
        expected[name] = task_instance.xcoms[kind.results]
    if kind is EXPORT:
        expected["destination"] = f"{DESTINATION}/"
    assert extra == expected
    # Airflow removes the slash from the URI of an asset.
    assert of_alias == ([(DESTINATION, expected)] if kind is EXPORT else [])
