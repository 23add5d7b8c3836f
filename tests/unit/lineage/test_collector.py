# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Each task tells OpenLineage of its run or batch, and nothing of it costs the task its end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final

import airflow
import jsonschema
import pytest
from airflow.serialization.helpers import serialize_template_field
from pydantic import JsonValue, TypeAdapter

from airflow_healthomics.batches import sample_sheet
from airflow_healthomics.batches.sample_sheet import read_sample_sheet
from airflow_healthomics.batches.settings import RunSettings
from airflow_healthomics.compat import AirflowException, Context
from airflow_healthomics.hooks import best_effort
from airflow_healthomics.hooks.best_effort import LONGEST_CALL_SECONDS, READ_TIMEOUT, BestEffortClient
from airflow_healthomics.lineage import collector as openlineage
from airflow_healthomics.lineage.datasets import _BATCH_FACTS, _RUN_FACTS, Lineage
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from airflow_healthomics.service import batch_states
from airflow_healthomics.templating.private import Private, unwrap
from tests.healthomics import Control
from tests.unit.batch_attempts import PLACE, batch_of, fail_runs
from tests.unit.conftest import (
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    Clock,
    FakeTaskInstance,
    Tasks,
    calls_of,
)
from tests.unit.histories import WAYS

HAS_OPENLINEAGE = (
    find_spec("openlineage") is not None and find_spec("airflow.providers.openlineage") is not None
)

#: Before the fixture below replaces it.
is_openlineage_on = openlineage.is_openlineage_on

needs_openlineage = pytest.mark.skipif(
    not HAS_OPENLINEAGE, reason="The OpenLineage provider is not installed"
)

CANARY = "canary-patient-7"

READ_SET = "omics://123456789012.storage.us-east-1.amazonaws.com/1234567890/readSet/5678901234/source1"
PARAMETERS = {"sample": CANARY, "reads": ["s3://reads/a_1.fastq.gz", READ_SET], "depth": 30}
INPUTS = {
    ("s3://reads", "a_1.fastq.gz"),
    ("omics://123456789012.storage.us-east-1.amazonaws.com", "1234567890/readSet/5678901234"),
}


@pytest.fixture(autouse=True)
def _openlineage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn it on, whether it is installed or not."""
    monkeypatch.setattr(openlineage, "is_openlineage_on", lambda task: True)


class Told:
    """Runs a task, and gives what its last instance would tell."""

    def __init__(self, tasks: Tasks, context: Context) -> None:
        self.tasks, self.context = tasks, context
        self.error: AirflowException | None = None

    def by(self, kind: type[Any], **fields: Any) -> Lineage:
        """Run it to its end, in as many instances as it takes."""
        made: list[Any] = []

        def make() -> Any:
            made.append(kind(task_id="a_task", botocore_config=ONE_ATTEMPT, **fields))
            return made[-1]

        try:
            self.tasks.run(make, self.context)
        except AirflowException as error:
            self.error = error
        told = made[-1].lineage.collected
        assert isinstance(told, Lineage)
        return told


@pytest.fixture
def told(tasks: Tasks, context: Context) -> Told:
    """Run tasks, and see what they tell."""
    return Told(tasks, context)


NEW: dict[str, Any] = {
    "workflow_id": WORKFLOW,
    "role_arn": ROLE,
    "output_uri": OUTPUT,
    "parameters": PARAMETERS,
    "wait_for_completion": True,
}


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_new_run(omics: Control, told: Told, deferrable: bool) -> None:
    """Its inputs, its outputs, and what it was."""
    lineage = told.by(HealthOmicsStartRunOperator, **NEW, deferrable=deferrable)
    (run,) = omics.runs()
    assert set(lineage.inputs) == INPUTS
    assert lineage.outputs == (("s3://outputs", f"results/{run['id']}"),)
    assert (
        lineage.facts.items()
        >= {
            "runId": run["id"],
            "status": "COMPLETED",
            "workflowId": WORKFLOW,
            "engine": "WDL",
            "storageType": "DYNAMIC",
        }.items()
    )
    assert {"uuid", "arn", "digest", "startTime", "stopTime"} <= lineage.facts.keys()
    assert lineage.facts["durationSeconds"] > 0


def test_a_parameters_file(omics: Control, bucket: Any, told: Told) -> None:
    """Its inputs are not known, and the URL that GetRun answers with is a credential."""
    bucket.put_object(Bucket="settings-bucket", Key="x.json", Body=b"{}")
    fields = {**NEW, "parameters": None, "parameters_uri": "s3://settings-bucket/x.json"}
    lineage = told.by(HealthOmicsStartRunOperator, **fields)
    assert lineage.inputs == ()
    assert lineage.outputs
    assert "x.json" not in repr(lineage)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_duplicate(told: Told, started: Callable[..., Any], deferrable: bool) -> None:
    """It reads what its original has read."""
    source = started(parameters=PARAMETERS)["id"]
    given = {name: value for name, value in NEW.items() if name not in ("workflow_id", "parameters")}
    lineage = told.by(HealthOmicsStartRunOperator, **given, run_id=source, deferrable=deferrable)
    assert set(lineage.inputs) == INPUTS
    assert lineage.facts["duplicateOf"] == source
    assert lineage.outputs


def test_a_duplicate_that_does_not_tell_its_parameters(
    told: Told, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody documents that it does; then its original is asked."""
    source = started(parameters=PARAMETERS)["id"]
    given = {name: value for name, value in NEW.items() if name not in ("workflow_id", "parameters")}
    client = BestEffortClient._client

    def forgetful(self: Any, service: str) -> Any:
        made = client(self, service)
        made.meta.events.register(
            "after-call.omics.GetRun",
            lambda parsed, **_: parsed.pop("parameters", None) if "runId" in parsed else None,
        )
        return made

    monkeypatch.setattr(BestEffortClient, "_client", forgetful)
    lineage = told.by(HealthOmicsStartRunOperator, **given, run_id=source)
    assert set(lineage.inputs) == INPUTS


def test_a_duplicate_that_is_not_waited_for(told: Told, started: Callable[..., Any]) -> None:
    """GetRun tells its workflow."""
    source = started(parameters=PARAMETERS)["id"]
    given = {name: value for name, value in NEW.items() if name not in ("workflow_id", "parameters")}
    given["wait_for_completion"] = False
    lineage = told.by(HealthOmicsStartRunOperator, **given, run_id=source)
    assert (lineage.facts["workflowId"], lineage.facts["engine"]) == (WORKFLOW, "WDL")


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_run(omics: Control, told: Told, deferrable: bool) -> None:
    """It has read its inputs, has written nothing, and tells why by the service's code alone."""
    omics.plan_run(status="FAILED", failure_reason="OUT_OF_MEMORY_ERROR", status_message=CANARY)
    lineage = told.by(HealthOmicsStartRunOperator, **NEW, deferrable=deferrable)
    assert told.error is not None
    assert set(lineage.inputs) == INPUTS
    assert lineage.outputs == ()
    assert (lineage.facts["status"], lineage.facts["failureReason"]) == ("FAILED", "OUT_OF_MEMORY_ERROR")
    assert CANARY not in repr(lineage)


def test_a_run_that_is_not_waited_for(omics: Control, told: Told) -> None:
    """What it reads is known, and that it has written nothing yet."""
    lineage = told.by(HealthOmicsStartRunOperator, **{**NEW, "wait_for_completion": False})
    assert set(lineage.inputs) == INPUTS
    assert lineage.outputs == ()
    assert lineage.facts["status"] == "PENDING"


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_sensor(
    omics: Control, told: Told, started: Callable[..., Any], deferrable: bool, status: Any
) -> None:
    """It tells the same as the operator that waits."""
    omics.plan_run(status=status)
    run_id = started(parameters=PARAMETERS)["id"]
    lineage = told.by(HealthOmicsRunSensor, run_id=run_id, deferrable=deferrable)
    assert set(lineage.inputs) == INPUTS
    assert bool(lineage.outputs) == (status == "COMPLETED")
    assert (lineage.facts["runId"], lineage.facts["engine"]) == (run_id, "WDL")


SETTINGS = [
    {"run_setting_id": f"{CANARY}-{number}", "parameters": {"reads": f"s3://reads/{number}", "id": CANARY}}
    for number in range(3)
]
BATCH: dict[str, Any] = {
    "workflow_id": WORKFLOW,
    "role_arn": ROLE,
    "output_uri": OUTPUT,
    "parameters": {"reference": "s3://references/hg38.fa", "sample": CANARY},
    "run_settings": SETTINGS,
    "settings_s3_uri": PLACE,
    "wait_for_completion": True,
}
BATCH_INPUTS = {("s3://references", "hg38.fa"), *((("s3://reads", str(number))) for number in range(3))}


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch(omics: Control, bucket: Any, told: Told, ti: FakeTaskInstance, deferrable: bool) -> None:
    """The inputs of all runs, the folder of their outputs, and the manifest."""
    lineage = told.by(HealthOmicsStartRunBatchOperator, **BATCH, deferrable=deferrable)
    assert told.error is None
    assert set(lineage.inputs) == BATCH_INPUTS
    manifest = ti.xcoms["manifest"].removeprefix("s3://settings-bucket/")
    assert lineage.outputs == (("s3://outputs", "results"), ("s3://settings-bucket", manifest))
    assert lineage.facts["runSummary"]["completedRunCount"] == lineage.facts["totalRuns"] == 3
    assert (lineage.facts["status"], lineage.facts["engine"]) == ("PROCESSED", "WDL")
    assert CANARY not in repr(lineage)


def test_a_batch_of_a_sheet(omics: Control, bucket: Any, told: Told) -> None:
    """The sheet is an input, too, and so is what it names."""
    sheet = "sample,fastq\n" + "".join(f"{CANARY}-{number},s3://reads/{number}\n" for number in range(3))
    bucket.put_object(Bucket="settings-bucket", Key="sheet.csv", Body=sheet.encode())
    given = {name: value for name, value in BATCH.items() if name != "run_settings"}
    lineage = told.by(
        HealthOmicsStartRunBatchOperator,
        **given,
        sample_sheet="s3://settings-bucket/sheet.csv",
        columns={"run_setting_id": "sample", "parameters.reads": "fastq"},
        deferrable=True,
    )
    assert set(lineage.inputs) == {*BATCH_INPUTS, ("s3://settings-bucket", "sheet.csv")}


def test_a_batch_with_outputs_of_the_runs_own(omics: Control, bucket: Any, told: Told) -> None:
    """They are told by the folder that they have in common."""
    settings = [{**each, "output_uri": f"s3://own/runs/{n}"} for n, each in enumerate(SETTINGS)]
    lineage = told.by(HealthOmicsStartRunBatchOperator, **{**BATCH, "run_settings": settings})
    assert ("s3://own", "runs") in lineage.outputs
    assert len(lineage.outputs) == 3


def test_a_batch_that_an_earlier_try_has_started(
    omics: Control, bucket: Any, told: Told, ti: FakeTaskInstance
) -> None:
    """Its status is the batch's own, not what that means to the task."""
    fields = {**BATCH, "wait_for_completion": False}
    first = told.by(HealthOmicsStartRunBatchOperator, **fields)
    ti.try_number = 2
    second = told.by(HealthOmicsStartRunBatchOperator, **fields)
    assert first.facts["batchId"] == second.facts["batchId"]
    for lineage in (first, second):
        assert lineage.facts["status"] in batch_states.ACTIVE | batch_states.MEASURED
    omics.advance_clock(3600)
    ti.try_number = 3
    assert told.by(HealthOmicsStartRunBatchOperator, **fields).facts["status"] == "PROCESSED"


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_batch(omics: Control, bucket: Any, told: Told, deferrable: bool) -> None:
    """Of which some runs have completed."""
    fail_runs(omics, f"{CANARY}-0")
    lineage = told.by(HealthOmicsStartRunBatchOperator, **BATCH, deferrable=deferrable)
    assert told.error is not None
    assert set(lineage.inputs) == BATCH_INPUTS
    assert ("s3://outputs", "results") in lineage.outputs
    assert lineage.facts["runSummary"]["failedRunCount"] == 1


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_sensor(omics: Control, told: Told, context: Context, deferrable: bool) -> None:
    """It knows what the runs have in common."""
    batch_id = batch_of(parameters=BATCH["parameters"], run_settings=SETTINGS).execute(context)
    lineage = told.by(HealthOmicsRunBatchSensor, batch_id=batch_id, deferrable=deferrable)
    assert lineage.inputs == (("s3://references", "hg38.fa"),)
    assert lineage.outputs == (("s3://outputs", "results"),)
    assert lineage.facts["batchId"] == batch_id


# --- the switch ---


@pytest.fixture
def without_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set ``[healthomics] lineage_inputs``."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__LINEAGE_INPUTS", "False")


@pytest.mark.usefixtures("without_inputs")
def test_inputs_can_be_left_out(omics: Control, bucket: Any, told: Told) -> None:
    """Of a run and of a batch; the rest is told all the same."""
    of_a_run = told.by(HealthOmicsStartRunOperator, **NEW)
    of_a_batch = told.by(HealthOmicsStartRunBatchOperator, **BATCH, sample_sheet=None)
    assert (of_a_run.inputs, of_a_batch.inputs) == ((), ())
    assert of_a_run.outputs
    assert of_a_batch.outputs
    assert {"status", "engine"} <= of_a_run.facts.keys() & of_a_batch.facts.keys()


def test_it_is_off_without_a_transport(
    omics: Control, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is asked for, and nothing is told."""
    monkeypatch.setattr(openlineage, "is_openlineage_on", lambda task: False)
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "wait_for_completion": False})
    operator.execute(context)
    assert (calls_of(omics, "GetRun"), calls_of(omics, "GetWorkflow")) == (0, 0)
    assert operator.get_openlineage_facets_on_complete(None) is None
    assert operator.get_openlineage_facets_on_failure(None) is None


# --- what goes wrong ---


@pytest.mark.parametrize(
    "error", ["AccessDeniedException", "ThrottlingException", "ResourceNotFoundException"]
)
@pytest.mark.parametrize("operation", ["GetRun", "GetWorkflow"])
def test_a_refusal_costs_a_line_in_the_log(
    omics: Control, context: Context, logged: Callable[[], str], operation: str, error: str
) -> None:
    """The task succeeds, and what is known without the call is told."""
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", botocore_config=ONE_ATTEMPT, **{**NEW, "wait_for_completion": False}
    )
    omics.inject_error(operation, error, times=None)
    run_id = operator.execute(context)
    told = operator.lineage.collected
    assert told is not None
    assert told.facts["runId"] == run_id
    assert bool(told.inputs) == (operation == "GetWorkflow")
    lines = [line for line in logged().splitlines() if "The lineage of run" in line]
    assert lines
    assert all(f"omics:{operation}" in line for line in lines)


@pytest.mark.parametrize("error", [ValueError("the vault"), RuntimeError("is closed"), KeyError("a")])
def test_nothing_that_goes_wrong_fails_the_task(
    omics: Control,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
    error: Exception,
) -> None:
    """Not a secrets backend that is out of reach, nor a mistake in here."""

    def broken(self: Any, service: str) -> Any:
        raise error

    monkeypatch.setattr(BestEffortClient, "_client", broken)
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "wait_for_completion": False})
    assert operator.execute(context)
    assert operator.lineage.collected is None
    assert "is skipped" in logged()


@pytest.mark.parametrize(
    "times",
    [
        {"startTime": "yesterday", "stopTime": "today"},
        {"startTime": datetime(2026, 11, 22), "stopTime": datetime(2026, 11, 22, tzinfo=UTC)},
    ],
)
def test_odd_times_cost_the_duration_at_most(
    omics: Control, context: Context, started: Callable[..., Any], times: dict[str, Any]
) -> None:
    """Neither the task nor what else there is to tell."""
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, {**run, **times})
    assert sensor.lineage.collected is not None
    assert set(sensor.lineage.collected.inputs) == INPUTS


@pytest.mark.parametrize("setting", ["of_no_kind", "s3://"])
def test_a_setting_that_cannot_be_read_costs_the_lineage(
    omics: Control,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    started: Callable[..., Any],
    setting: str,
) -> None:
    """As inputs that should not be told must not be."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__LINEAGE_INPUTS", setting)
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, run)
    assert sensor.lineage.collected is None


# --- how long it takes ---


def test_nothing_is_asked_when_the_task_is_about_to_time_out(
    omics: Control, context: Context, started: Callable[..., Any]
) -> None:
    """A run that has completed is not put at risk; what is known without a call is told."""
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(
        task_id="a_task", run_id=run["id"], execution_timeout=timedelta(seconds=LONGEST_CALL_SECONDS)
    )
    sensor.lineage.collect_run(context, {**run, "status": "COMPLETED"})
    assert (calls_of(omics, "GetRun"), calls_of(omics, "GetWorkflow")) == (0, 0)
    assert sensor.lineage.collected is not None
    assert sensor.lineage.collected.outputs


def test_asking_ends_after_some_seconds(
    omics: Control,
    context: Context,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    started: Callable[..., Any],
) -> None:
    """However slow each answer is."""
    run = started(parameters=PARAMETERS)
    monkeypatch.setattr(best_effort, "monotonic", clock.monotonic)
    client = BestEffortClient._client

    def slow(self: Any, service: str) -> Any:
        clock.advance(openlineage.MAX_SECONDS)
        return client(self, service)

    monkeypatch.setattr(BestEffortClient, "_client", slow)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, run)
    assert (calls_of(omics, "GetRun"), calls_of(omics, "GetWorkflow")) == (1, 0)
    assert sensor.lineage.collected is not None
    assert set(sensor.lineage.collected.inputs) == INPUTS


class Sheet:
    """Counts how often a batch's sheet is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bucket: Any) -> None:
        text = "sample,fastq\n" + "".join(f"{CANARY}-{number},s3://reads/{number}\n" for number in range(3))
        bucket.put_object(Bucket="settings-bucket", Key="sheet.csv", Body=text.encode())
        self.patience: list[dict[str, Any]] = []

        def read(*args: Any, **kwargs: Any) -> Any:
            self.patience.append(kwargs["botocore_config"])
            return read_sample_sheet(*args, **kwargs)

        monkeypatch.setattr(sample_sheet, "read_sample_sheet", read)

    batch: Final = {
        **{name: value for name, value in BATCH.items() if name != "run_settings"},
        "sample_sheet": "s3://settings-bucket/sheet.csv",
        "columns": {"run_setting_id": "sample", "parameters.reads": "fastq"},
    }


@pytest.fixture
def sheet(monkeypatch: pytest.MonkeyPatch, bucket: Any) -> Sheet:
    """A sheet in S3."""
    return Sheet(monkeypatch, bucket)


def test_a_sheet_is_not_read_again_by_who_has_read_it(omics: Control, told: Told, sheet: Sheet) -> None:
    """A task that waits on the worker has it in memory."""
    lineage = told.by(HealthOmicsStartRunBatchOperator, **sheet.batch)
    assert set(lineage.inputs) == {*BATCH_INPUTS, ("s3://settings-bucket", "sheet.csv")}
    assert len(sheet.patience) == 1


def test_a_sheet_is_read_again_with_little_patience(omics: Control, told: Told, sheet: Sheet) -> None:
    """After a deferral."""
    told.by(HealthOmicsStartRunBatchOperator, **sheet.batch, deferrable=True)
    first, second = sheet.patience
    assert "read_timeout" not in first
    assert second["read_timeout"] == READ_TIMEOUT


def test_a_sheet_is_not_read_again_when_time_is_short(omics: Control, told: Told, sheet: Sheet) -> None:
    """Its rows are left out."""
    timeout = timedelta(minutes=1)
    operator = HealthOmicsStartRunBatchOperator(task_id="a_task", **sheet.batch)
    assert operator._settings.for_lineage(timeout) == ()
    assert not sheet.patience


def test_a_template_that_breaks_meanwhile_costs_its_inputs_only(
    omics: Control, told: Told, sheet: Sheet, logged: Callable[[], str]
) -> None:
    """After a deferral everything is rendered anew."""
    lineage = told.by(HealthOmicsStartRunBatchOperator, **sheet.batch)
    operator = HealthOmicsStartRunBatchOperator(
        task_id="a_task", **{**sheet.batch, "columns": BrokenTemplate("is undefined")}
    )
    operator.finish_without_waiting(
        told.context, {"id": lineage.facts["batchId"], "uuid": lineage.facts["uuid"]}
    )
    assert operator.lineage.collected is not None
    assert set(operator.lineage.collected.inputs) == {
        ("s3://references", "hg38.fa"),
        ("s3://settings-bucket", "sheet.csv"),
    }
    assert "is incomplete: reading its run settings failed" in logged()


@pytest.mark.usefixtures("without_inputs")
@pytest.mark.parametrize(("has_outputs", "reads"), [(False, 1), (True, 2)])
def test_without_inputs_a_sheet_is_read_again_for_outputs_only(
    omics: Control, told: Told, sheet: Sheet, bucket: Any, has_outputs: bool, reads: int
) -> None:
    """If it has any."""
    fields = dict(sheet.batch)
    if has_outputs:
        text = f"sample,fastq,out\n{CANARY},s3://reads/1,s3://own/runs\n"
        bucket.put_object(Bucket="settings-bucket", Key="sheet.csv", Body=text.encode())
        fields["columns"] = {**fields["columns"], "output_uri": "out"}
    lineage = told.by(HealthOmicsStartRunBatchOperator, **fields, deferrable=True)
    assert lineage.inputs == ()
    assert (("s3://own", "runs") in lineage.outputs) == has_outputs
    assert len(sheet.patience) == reads


def test_a_sheet_that_is_gone_costs_its_inputs_only(
    omics: Control, bucket: Any, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The common parameters and the outputs are told."""
    read = RunSettings._read
    calls = iter([True])

    def once(self: Any, **_: Any) -> Any:
        if next(calls, False):
            return read(self)
        raise FileNotFoundError(CANARY)

    monkeypatch.setattr(RunSettings, "_read", once)
    lineage = told.by(HealthOmicsStartRunBatchOperator, **BATCH, deferrable=True)
    assert told.error is None
    assert lineage.inputs == (("s3://references", "hg38.fa"),)
    assert ("s3://outputs", "results") in lineage.outputs


def test_another_run_of_the_same_id_is_not_told(
    omics: Control, context: Context, started: Callable[..., Any]
) -> None:
    """HealthOmics may give the id of a deleted run to a new one."""
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, {"id": run["id"], "uuid": "another", "status": "COMPLETED"})
    assert sensor.lineage.collected is not None
    assert sensor.lineage.collected.inputs == ()


# --- OpenLineage's own ---


def test_the_main_environment_has_it() -> None:
    """So that nothing here is skipped everywhere."""
    assert HAS_OPENLINEAGE or tuple(map(int, airflow.__version__.split(".")[:2])) < (3, 3)


def schema_of(name: str) -> dict[str, Any]:
    """Return what our own part of a facet may have."""
    schema = json.loads((files("airflow_healthomics.lineage") / "facets.json").read_text())
    own: dict[str, Any] = schema["$defs"][name]["allOf"][1]
    return own


@pytest.mark.parametrize(
    ("name", "facts"), [("HealthOmicsRunRunFacet", _RUN_FACTS), ("HealthOmicsBatchRunFacet", _BATCH_FACTS)]
)
def test_the_schema_has_every_fact(name: str, facts: dict[str, str]) -> None:
    """And nothing else."""
    assert schema_of(name)["properties"].keys() == {*facts, "durationSeconds", "inputsTruncated"}


@pytest.fixture
def facets() -> Any:
    """The module that needs OpenLineage."""
    pytest.importorskip("airflow.providers.openlineage")
    from airflow_healthomics.lineage import facets as openlineage_facets

    return openlineage_facets


@needs_openlineage
def test_facets_follow_their_schema(omics: Control, bucket: Any, told: Told, facets: Any) -> None:
    """And OpenLineage's rules for custom facets."""
    from openlineage.client.serde import Serde

    for kind, fields, names in (
        (HealthOmicsStartRunOperator, NEW, ("healthOmics_run", "HealthOmicsRunRunFacet")),
        (HealthOmicsStartRunBatchOperator, BATCH, ("healthOmics_batch", "HealthOmicsBatchRunFacet")),
    ):
        lineage = facets.operator_lineage(told.by(kind, **fields))
        ((key, facet),) = lineage.run_facets.items()
        assert (key, type(facet).__name__) == names
        told_facet = json.loads(Serde.to_json(facet))
        schema = {**schema_of(names[1]), "additionalProperties": False}
        schema["properties"] = {**schema["properties"], "_producer": {}, "_schemaURL": {"format": "uri"}}
        jsonschema.validate(told_facet, schema)
        assert re.fullmatch(
            rf"pkg:pypi/[a-z-]+@[^#]+facets\.json#/\$defs/{names[1]}", told_facet["_schemaURL"]
        )
        assert all(dataset.namespace and dataset.name for dataset in [*lineage.inputs, *lineage.outputs])


@needs_openlineage
@pytest.mark.parametrize("name", ["HealthOmicsRunRunFacet", "HealthOmicsBatchRunFacet"])
def test_a_facet_has_the_fields_of_its_schema(facets: Any, name: str) -> None:
    """One for each."""
    own = {field.name for field in getattr(facets, name).__attrs_attrs__ if not field.name.startswith("_")}
    assert own == schema_of(name)["properties"].keys()


@needs_openlineage
def test_the_provider_finds_the_methods(omics: Control, context: Context, facets: Any) -> None:
    """By its own extractor, on success and on failure; before the end there is nothing to tell."""
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "wait_for_completion": False})
    extractor = DefaultExtractor(operator)
    assert not extractor.extract().inputs
    assert extractor.extract_on_complete(None) is None
    operator.execute(context)
    for told in (extractor.extract_on_complete(None), extractor.extract_on_failure(None)):
        assert {(each.namespace, each.name) for each in told.inputs} == INPUTS
        assert CANARY not in repr(told)


RENDERED = {"sample": "{{ '" + CANARY + "' }}", "depth": 30}


@pytest.mark.parametrize("parameters", [RENDERED, CANARY, [CANARY], {"a": {"b": CANARY}}], ids=repr)
def test_rendered_parameters_are_private(context: Context, parameters: Any) -> None:
    """Whoever writes down what a task has, as OpenLineage's provider does, writes no values of parameters."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": parameters})
    operator.render_template_fields(context)
    assert CANARY not in json.dumps(
        {"parameters": operator.parameters}, default=lambda value: type(value).__name__
    )
    assert CANARY not in repr(operator.parameters)
    view = serialize_template_field(operator.parameters, "parameters")
    # The Rendered Template view shows them, but Airflow 2 has no way to ask for it.
    assert (CANARY in str(view)) == (view != "<private>") == (not airflow.__version__.startswith("2."))


UNFIT = [
    {"when": datetime(2026, 11, 22, tzinfo=UTC)},
    {"a": "{{ nothing_like_it }}"},
    {"a": (1, 2), 3: 4},
    "{{ 5 }}",
    "{{ none }}",
    "{{ (1, 2) }}",
]


@pytest.mark.parametrize("parameters", UNFIT, ids=repr)
def test_any_value_can_be_shown(context: Context, parameters: Any) -> None:
    """Airflow 3.0 passes on what it gets, and its API takes nothing but JSON."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": parameters})
    operator.render_template_fields(context)
    assert isinstance(operator.parameters, Private)
    TypeAdapter(JsonValue).validate_python(serialize_template_field(operator.parameters, "parameters"))
    shown = operator.parameters.serialize()
    assert isinstance(shown, (dict, list, str))
    TypeAdapter(JsonValue).validate_python(shown)


def test_parameters_that_another_field_has_too_are_private(context: Context) -> None:
    """Though Airflow does not say which field it renders."""
    same = {"sample": CANARY}
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", **{**NEW, "parameters": same}, engine_settings=same
    )
    operator.render_template_fields(context)
    assert isinstance(operator.parameters, Private)
    assert operator.engine_settings == same


def test_private_parameters_read_and_change_as_a_dict(context: Context) -> None:
    """For a subclass or a pre_execute, and stay private."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": {"a": 1, "b": 2}})
    operator.render_template_fields(context)
    parameters: Any = operator.parameters
    copy = parameters.copy()
    copy["a"] = 3
    del copy["b"]
    assert (copy, parameters) == ({"a": 3}, {"a": 1, "b": 2})
    for merged, expected in (
        (parameters | {"a": 4}, {"a": 4, "b": 2}),
        ({"a": 4, "c": 5} | parameters, {"a": 1, "b": 2, "c": 5}),
    ):
        assert merged == expected
        assert unwrap(merged) == expected
        assert repr(merged) == "<private>"


def test_private_parameters_are_sent(omics: Control, context: Context, client: Any) -> None:
    """As they were rendered, also after another rendering."""
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", **{**NEW, "parameters": RENDERED, "wait_for_completion": False}
    )
    for _ in range(2):
        operator.render_template_fields(context)
    assert unwrap(operator.parameters) == {"sample": CANARY, "depth": 30}
    run_id = operator.execute(context)
    assert client.get_run(id=run_id)["parameters"] == {"sample": CANARY, "depth": 30}


@needs_openlineage
def test_the_facet_of_the_task_tells_no_parameter(context: Context) -> None:
    """Airflow's own, which has the ``parameters`` of any operator."""
    from airflow.providers.openlineage.utils.utils import TaskInfo
    from openlineage.client.serde import Serde

    for task in (
        HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": RENDERED}),
        HealthOmicsStartRunBatchOperator(task_id="a_task", **{**BATCH, "parameters": RENDERED}),
    ):
        task.render_template_fields(context)
        told = Serde.to_json(TaskInfo(task))
        # Older releases of that provider leave them out altogether.
        assert ("non-serializable" in told) is ('"parameters"' in told)
        assert CANARY not in told


CONSOLE = {"TRANSPORT": '{"type": "console"}'}
OPERATOR = "airflow_healthomics.sensors.run.HealthOmicsRunSensor"


@needs_openlineage
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False),
        (CONSOLE, True),
        ({**CONSOLE, "DISABLED": "True"}, False),
        ({**CONSOLE, "DISABLED_FOR_OPERATORS": OPERATOR}, False),
        ({**CONSOLE, "DISABLED_FOR_OPERATORS": "another.Operator"}, True),
        ({**CONSOLE, "SELECTIVE_ENABLE": "True"}, False),
        ({"TRANSPORT": '{"type":'}, False),
        ({"TRANSPORT": "[]"}, False),
        ({**CONSOLE, "DISABLED": "perhaps"}, False),
    ],
)
def test_it_is_on_when_there_is_a_transport(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], expected: bool
) -> None:
    """And off without one, when it is disabled as a whole or for a task, or with settings of no sense."""
    # The provider keeps its settings for good, but not in a test.
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__OPENLINEAGE__{name}", value)
    assert is_openlineage_on(HealthOmicsRunSensor(task_id="a_task", run_id="1")) == expected


@needs_openlineage
def test_a_task_may_be_enabled_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``selective_enable``."""
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", CONSOLE["TRANSPORT"])
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", "True")
    assert is_openlineage_on(enable_lineage(HealthOmicsRunSensor(task_id="a_task", run_id="1")))


def test_nothing_is_imported_without_it() -> None:
    """The package does not need the provider, and does not load what of it is there."""
    code = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        # Airflow itself reads what providers there are.
        if name.startswith(("openlineage", "airflow.providers.openlineage.")) and "info" not in name:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import airflow_healthomics.operators, airflow_healthomics.sensors
from airflow_healthomics.service import batch_states
from airflow_healthomics.hooks import best_effort
from airflow_healthomics.lineage import collector as openlineage
assert not openlineage.is_openlineage_on(None)
assert "airflow_healthomics.lineage.facets" not in sys.modules
print("fine")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.split()[-1:] == ["fine"], result.stderr


def test_importing_the_package_loads_nothing_of_it() -> None:
    """Though it may be installed."""
    code = """
import sys
import airflow_healthomics.operators, airflow_healthomics.sensors
names = ("openlineage.", "airflow.providers.openlineage.", "airflow_healthomics.lineage.facets")
print([name for name in sys.modules if name.startswith(names) and "info" not in name])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1:] == ["[]"]
