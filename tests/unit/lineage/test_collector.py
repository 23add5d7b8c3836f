# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Each task reports its run or batch to OpenLineage; no error in doing so changes the task's outcome."""

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

#: The function before the fixture below replaces it.
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
    """Turn lineage on, whether OpenLineage is installed or not."""
    monkeypatch.setattr(openlineage, "is_openlineage_on", lambda task: True)


class Reported:
    """Runs a task, and returns the lineage that its last instance would report."""

    def __init__(self, tasks: Tasks, context: Context) -> None:
        self.tasks, self.context = tasks, context
        self.error: AirflowException | None = None

    def by(self, kind: type[Any], **fields: Any) -> Lineage:
        """Run it to its end, in as many instances as that requires."""
        made: list[Any] = []

        def make() -> Any:
            made.append(kind(task_id="a_task", botocore_config=ONE_ATTEMPT, **fields))
            return made[-1]

        try:
            self.tasks.run(make, self.context)
        except AirflowException as error:
            self.error = error
        reported = made[-1].lineage.collected
        assert isinstance(reported, Lineage)
        return reported


@pytest.fixture
def reported(tasks: Tasks, context: Context) -> Reported:
    """Run tasks, and return the lineage that they report."""
    return Reported(tasks, context)


NEW: dict[str, Any] = {
    "workflow_id": WORKFLOW,
    "role_arn": ROLE,
    "output_uri": OUTPUT,
    "parameters": PARAMETERS,
    "wait_for_completion": True,
}


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_new_run(omics: Control, reported: Reported, deferrable: bool) -> None:
    """It has inputs, outputs and facts."""
    lineage = reported.by(HealthOmicsStartRunOperator, **NEW, deferrable=deferrable)
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


def test_a_parameters_file(omics: Control, bucket: Any, reported: Reported) -> None:
    """Its inputs are unknown, and the URL that GetRun returns is a credential."""
    bucket.put_object(Bucket="settings-bucket", Key="x.json", Body=b"{}")
    fields = {**NEW, "parameters": None, "parameters_uri": "s3://settings-bucket/x.json"}
    lineage = reported.by(HealthOmicsStartRunOperator, **fields)
    assert lineage.inputs == ()
    assert lineage.outputs
    assert "x.json" not in repr(lineage)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_duplicate(reported: Reported, started: Callable[..., Any], deferrable: bool) -> None:
    """Its inputs are those of its original."""
    source = started(parameters=PARAMETERS)["id"]
    given = {name: value for name, value in NEW.items() if name not in ("workflow_id", "parameters")}
    lineage = reported.by(HealthOmicsStartRunOperator, **given, run_id=source, deferrable=deferrable)
    assert set(lineage.inputs) == INPUTS
    assert lineage.facts["duplicateOf"] == source
    assert lineage.outputs


def test_a_duplicate_without_parameters_in_its_response(
    reported: Reported, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No document promises them; then the original's are read."""
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
    lineage = reported.by(HealthOmicsStartRunOperator, **given, run_id=source)
    assert set(lineage.inputs) == INPUTS


def test_a_duplicate_that_is_not_waited_for(reported: Reported, started: Callable[..., Any]) -> None:
    """GetRun has its workflow."""
    source = started(parameters=PARAMETERS)["id"]
    given = {name: value for name, value in NEW.items() if name not in ("workflow_id", "parameters")}
    given["wait_for_completion"] = False
    lineage = reported.by(HealthOmicsStartRunOperator, **given, run_id=source)
    assert (lineage.facts["workflowId"], lineage.facts["engine"]) == (WORKFLOW, "WDL")


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_run(omics: Control, reported: Reported, deferrable: bool) -> None:
    """It has inputs and no outputs, and reports its failure by the service's code alone."""
    omics.plan_run(status="FAILED", failure_reason="OUT_OF_MEMORY_ERROR", status_message=CANARY)
    lineage = reported.by(HealthOmicsStartRunOperator, **NEW, deferrable=deferrable)
    assert reported.error is not None
    assert set(lineage.inputs) == INPUTS
    assert lineage.outputs == ()
    assert (lineage.facts["status"], lineage.facts["failureReason"]) == ("FAILED", "OUT_OF_MEMORY_ERROR")
    assert CANARY not in repr(lineage)


def test_a_run_that_is_not_waited_for(omics: Control, reported: Reported) -> None:
    """Its inputs are known, and it has no outputs yet."""
    lineage = reported.by(HealthOmicsStartRunOperator, **{**NEW, "wait_for_completion": False})
    assert set(lineage.inputs) == INPUTS
    assert lineage.outputs == ()
    assert lineage.facts["status"] == "PENDING"


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_sensor(
    omics: Control, reported: Reported, started: Callable[..., Any], deferrable: bool, status: Any
) -> None:
    """It reports the same as the operator that waits."""
    omics.plan_run(status=status)
    run_id = started(parameters=PARAMETERS)["id"]
    lineage = reported.by(HealthOmicsRunSensor, run_id=run_id, deferrable=deferrable)
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
def test_a_batch(
    omics: Control, bucket: Any, reported: Reported, ti: FakeTaskInstance, deferrable: bool
) -> None:
    """The inputs of all runs, the folder of their outputs, and the manifest."""
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **BATCH, deferrable=deferrable)
    assert reported.error is None
    assert set(lineage.inputs) == BATCH_INPUTS
    manifest = ti.xcoms["manifest"].removeprefix("s3://settings-bucket/")
    assert lineage.outputs == (("s3://outputs", "results"), ("s3://settings-bucket", manifest))
    assert lineage.facts["runSummary"]["completedRunCount"] == lineage.facts["totalRuns"] == 3
    assert (lineage.facts["status"], lineage.facts["engine"]) == ("PROCESSED", "WDL")
    assert CANARY not in repr(lineage)


def test_a_batch_of_a_sheet(omics: Control, bucket: Any, reported: Reported) -> None:
    """The sheet and the URIs in it are inputs, too."""
    sheet = "sample,fastq\n" + "".join(f"{CANARY}-{number},s3://reads/{number}\n" for number in range(3))
    bucket.put_object(Bucket="settings-bucket", Key="sheet.csv", Body=sheet.encode())
    given = {name: value for name, value in BATCH.items() if name != "run_settings"}
    lineage = reported.by(
        HealthOmicsStartRunBatchOperator,
        **given,
        sample_sheet="s3://settings-bucket/sheet.csv",
        columns={"run_setting_id": "sample", "parameters.reads": "fastq"},
        deferrable=True,
    )
    assert set(lineage.inputs) == {*BATCH_INPUTS, ("s3://settings-bucket", "sheet.csv")}


def test_a_batch_with_outputs_of_single_runs(omics: Control, bucket: Any, reported: Reported) -> None:
    """The outputs are reported as their common folder."""
    settings = [{**each, "output_uri": f"s3://own/runs/{n}"} for n, each in enumerate(SETTINGS)]
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **{**BATCH, "run_settings": settings})
    assert ("s3://own", "runs") in lineage.outputs
    assert len(lineage.outputs) == 3


def test_a_batch_of_an_earlier_try(
    omics: Control, bucket: Any, reported: Reported, ti: FakeTaskInstance
) -> None:
    """The status is the batch's own, not the one that the task derives from it."""
    fields = {**BATCH, "wait_for_completion": False}
    first = reported.by(HealthOmicsStartRunBatchOperator, **fields)
    ti.try_number = 2
    second = reported.by(HealthOmicsStartRunBatchOperator, **fields)
    assert first.facts["batchId"] == second.facts["batchId"]
    for lineage in (first, second):
        assert lineage.facts["status"] in batch_states.ACTIVE | batch_states.MEASURED
    omics.advance_clock(3600)
    ti.try_number = 3
    assert reported.by(HealthOmicsStartRunBatchOperator, **fields).facts["status"] == "PROCESSED"


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_batch(omics: Control, bucket: Any, reported: Reported, deferrable: bool) -> None:
    """Some of its runs have completed."""
    fail_runs(omics, f"{CANARY}-0")
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **BATCH, deferrable=deferrable)
    assert reported.error is not None
    assert set(lineage.inputs) == BATCH_INPUTS
    assert ("s3://outputs", "results") in lineage.outputs
    assert lineage.facts["runSummary"]["failedRunCount"] == 1


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_sensor(omics: Control, reported: Reported, context: Context, deferrable: bool) -> None:
    """It reports the common settings of the runs."""
    batch_id = batch_of(parameters=BATCH["parameters"], run_settings=SETTINGS).execute(context)
    lineage = reported.by(HealthOmicsRunBatchSensor, batch_id=batch_id, deferrable=deferrable)
    assert lineage.inputs == (("s3://references", "hg38.fa"),)
    assert lineage.outputs == (("s3://outputs", "results"),)
    assert lineage.facts["batchId"] == batch_id


# --- the switch ---


@pytest.fixture
def without_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set ``[healthomics] lineage_inputs``."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__LINEAGE_INPUTS", "False")


@pytest.mark.usefixtures("without_inputs")
def test_inputs_can_be_left_out(omics: Control, bucket: Any, reported: Reported) -> None:
    """Of a run and of a batch; everything else is still reported."""
    of_a_run = reported.by(HealthOmicsStartRunOperator, **NEW)
    of_a_batch = reported.by(HealthOmicsStartRunBatchOperator, **BATCH, sample_sheet=None)
    assert (of_a_run.inputs, of_a_batch.inputs) == ((), ())
    assert of_a_run.outputs
    assert of_a_batch.outputs
    assert {"status", "engine"} <= of_a_run.facts.keys() & of_a_batch.facts.keys()


def test_it_is_off_without_a_transport(
    omics: Control, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then no call is made, and nothing is reported."""
    monkeypatch.setattr(openlineage, "is_openlineage_on", lambda task: False)
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "wait_for_completion": False})
    operator.execute(context)
    assert (calls_of(omics, "GetRun"), calls_of(omics, "GetWorkflow")) == (0, 0)
    assert operator.get_openlineage_facets_on_complete(None) is None
    assert operator.get_openlineage_facets_on_failure(None) is None


# --- failures ---


@pytest.mark.parametrize(
    "error", ["AccessDeniedException", "ThrottlingException", "ResourceNotFoundException"]
)
@pytest.mark.parametrize("operation", ["GetRun", "GetWorkflow"])
def test_a_refusal_costs_a_line_in_the_log(
    omics: Control, context: Context, logged: Callable[[], str], operation: str, error: str
) -> None:
    """The task succeeds, and reports everything that does not need the call."""
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", botocore_config=ONE_ATTEMPT, **{**NEW, "wait_for_completion": False}
    )
    omics.inject_error(operation, error, times=None)
    run_id = operator.execute(context)
    reported = operator.lineage.collected
    assert reported is not None
    assert reported.facts["runId"] == run_id
    assert bool(reported.inputs) == (operation == "GetWorkflow")
    lines = [line for line in logged().splitlines() if "The lineage of run" in line]
    assert lines
    assert all(f"omics:{operation}" in line for line in lines)


@pytest.mark.parametrize("error", [ValueError("the vault"), RuntimeError("is closed"), KeyError("a")])
def test_no_error_fails_the_task(
    omics: Control,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
    error: Exception,
) -> None:
    """Neither an unreachable secrets backend nor a bug in the collector."""

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
    """The task and the rest of the lineage are unaffected."""
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, {**run, **times})
    assert sensor.lineage.collected is not None
    assert set(sensor.lineage.collected.inputs) == INPUTS


@pytest.mark.parametrize("setting", ["of_no_kind", "s3://"])
def test_an_invalid_setting_disables_lineage(
    omics: Control,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    started: Callable[..., Any],
    setting: str,
) -> None:
    """Inputs that must not be reported might be."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__LINEAGE_INPUTS", setting)
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, run)
    assert sensor.lineage.collected is None


# --- duration ---


def test_no_call_is_made_when_the_task_is_about_to_time_out(
    omics: Control, context: Context, started: Callable[..., Any]
) -> None:
    """A completed run must not fail; everything that needs no call is reported."""
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(
        task_id="a_task", run_id=run["id"], execution_timeout=timedelta(seconds=LONGEST_CALL_SECONDS)
    )
    sensor.lineage.collect_run(context, {**run, "status": "COMPLETED"})
    assert (calls_of(omics, "GetRun"), calls_of(omics, "GetWorkflow")) == (0, 0)
    assert sensor.lineage.collected is not None
    assert sensor.lineage.collected.outputs


def test_calls_end_after_some_seconds(
    omics: Control,
    context: Context,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    started: Callable[..., Any],
) -> None:
    """However slow each response is."""
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
    """Counts the reads of a batch's sheet."""

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


def test_a_sheet_is_not_read_twice_by_one_process(omics: Control, reported: Reported, sheet: Sheet) -> None:
    """A task that waits on the worker has it in memory."""
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **sheet.batch)
    assert set(lineage.inputs) == {*BATCH_INPUTS, ("s3://settings-bucket", "sheet.csv")}
    assert len(sheet.patience) == 1


def test_a_sheet_is_read_again_with_short_timeouts(omics: Control, reported: Reported, sheet: Sheet) -> None:
    """After a deferral."""
    reported.by(HealthOmicsStartRunBatchOperator, **sheet.batch, deferrable=True)
    first, second = sheet.patience
    assert "read_timeout" not in first
    assert second["read_timeout"] == READ_TIMEOUT


def test_a_sheet_is_not_read_again_when_time_is_short(
    omics: Control, reported: Reported, sheet: Sheet
) -> None:
    """Its rows are left out."""
    timeout = timedelta(minutes=1)
    operator = HealthOmicsStartRunBatchOperator(task_id="a_task", **sheet.batch)
    assert operator._settings.for_lineage(timeout) == ()
    assert not sheet.patience


def test_a_template_that_breaks_meanwhile_loses_its_inputs_only(
    omics: Control, reported: Reported, sheet: Sheet, logged: Callable[[], str]
) -> None:
    """After a deferral, all fields are rendered again."""
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **sheet.batch)
    operator = HealthOmicsStartRunBatchOperator(
        task_id="a_task", **{**sheet.batch, "columns": BrokenTemplate("is undefined")}
    )
    operator.finish_without_waiting(
        reported.context, {"id": lineage.facts["batchId"], "uuid": lineage.facts["uuid"]}
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
    omics: Control, reported: Reported, sheet: Sheet, bucket: Any, has_outputs: bool, reads: int
) -> None:
    """If it has columns of outputs."""
    fields = dict(sheet.batch)
    if has_outputs:
        text = f"sample,fastq,out\n{CANARY},s3://reads/1,s3://own/runs\n"
        bucket.put_object(Bucket="settings-bucket", Key="sheet.csv", Body=text.encode())
        fields["columns"] = {**fields["columns"], "output_uri": "out"}
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **fields, deferrable=True)
    assert lineage.inputs == ()
    assert (("s3://own", "runs") in lineage.outputs) == has_outputs
    assert len(sheet.patience) == reads


def test_a_deleted_sheet_loses_its_inputs_only(
    omics: Control, bucket: Any, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The common parameters and the outputs are reported."""
    read = RunSettings._read
    calls = iter([True])

    def once(self: Any, **_: Any) -> Any:
        if next(calls, False):
            return read(self)
        raise FileNotFoundError(CANARY)

    monkeypatch.setattr(RunSettings, "_read", once)
    lineage = reported.by(HealthOmicsStartRunBatchOperator, **BATCH, deferrable=True)
    assert reported.error is None
    assert lineage.inputs == (("s3://references", "hg38.fa"),)
    assert ("s3://outputs", "results") in lineage.outputs


def test_another_run_with_the_same_id_is_not_reported(
    omics: Control, context: Context, started: Callable[..., Any]
) -> None:
    """HealthOmics may give the id of a deleted run to a new one."""
    run = started(parameters=PARAMETERS)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"])
    sensor.lineage.collect_run(context, {"id": run["id"], "uuid": "another", "status": "COMPLETED"})
    assert sensor.lineage.collected is not None
    assert sensor.lineage.collected.inputs == ()


# --- OpenLineage itself ---


def test_the_main_environment_has_it() -> None:
    """Otherwise every environment might skip these tests."""
    assert HAS_OPENLINEAGE or tuple(map(int, airflow.__version__.split(".")[:2])) < (3, 3)


def schema_of(name: str) -> dict[str, Any]:
    """Return the properties that this package adds to a facet."""
    schema = json.loads((files("airflow_healthomics.lineage") / "facets.json").read_text())
    own: dict[str, Any] = schema["$defs"][name]["allOf"][1]
    return own


@pytest.mark.parametrize(
    ("name", "facts"), [("HealthOmicsRunRunFacet", _RUN_FACTS), ("HealthOmicsBatchRunFacet", _BATCH_FACTS)]
)
def test_the_schema_has_every_fact(name: str, facts: dict[str, str]) -> None:
    """It has no other property."""
    assert schema_of(name)["properties"].keys() == {*facts, "durationSeconds", "inputsTruncated"}


@pytest.fixture
def facets() -> Any:
    """The module that requires OpenLineage."""
    pytest.importorskip("airflow.providers.openlineage")
    from airflow_healthomics.lineage import facets as openlineage_facets

    return openlineage_facets


@needs_openlineage
def test_facets_follow_their_schema(omics: Control, bucket: Any, reported: Reported, facets: Any) -> None:
    """They also follow OpenLineage's rules for custom facets."""
    from openlineage.client.serde import Serde

    for kind, fields, names in (
        (HealthOmicsStartRunOperator, NEW, ("healthOmics_run", "HealthOmicsRunRunFacet")),
        (HealthOmicsStartRunBatchOperator, BATCH, ("healthOmics_batch", "HealthOmicsBatchRunFacet")),
    ):
        lineage = facets.operator_lineage(reported.by(kind, **fields))
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
    """Its own extractor calls them on success and failure; on start there is nothing to report."""
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "wait_for_completion": False})
    extractor = DefaultExtractor(operator)
    assert not extractor.extract().inputs
    assert extractor.extract_on_complete(None) is None
    operator.execute(context)
    for reported in (extractor.extract_on_complete(None), extractor.extract_on_failure(None)):
        assert {(each.namespace, each.name) for each in reported.inputs} == INPUTS
        assert CANARY not in repr(reported)


RENDERED = {"sample": "{{ '" + CANARY + "' }}", "depth": 30}


@pytest.mark.parametrize("parameters", [RENDERED, CANARY, [CANARY], {"a": {"b": CANARY}}], ids=repr)
def test_rendered_parameters_are_private(context: Context, parameters: Any) -> None:
    """A consumer that serializes a task, such as OpenLineage's provider, writes no values of parameters."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": parameters})
    operator.render_template_fields(context)
    assert CANARY not in json.dumps(
        {"parameters": operator.parameters}, default=lambda value: type(value).__name__
    )
    assert CANARY not in repr(operator.parameters)
    view = serialize_template_field(operator.parameters, "parameters")
    # The Rendered Template view shows them, but Airflow 2 has no API for it.
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
    """Airflow 3.0 passes values on unchanged, and its API accepts only JSON."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": parameters})
    operator.render_template_fields(context)
    assert isinstance(operator.parameters, Private)
    TypeAdapter(JsonValue).validate_python(serialize_template_field(operator.parameters, "parameters"))
    shown = operator.parameters.serialize()
    assert isinstance(shown, (dict, list, str))
    TypeAdapter(JsonValue).validate_python(shown)


def test_values_of_parameters_in_another_field_are_private(context: Context) -> None:
    """Airflow does not say which field it renders."""
    same = {"sample": CANARY}
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", **{**NEW, "parameters": same}, engine_settings=same
    )
    operator.render_template_fields(context)
    assert isinstance(operator.parameters, Private)
    assert operator.engine_settings == same


def test_private_parameters_read_and_change_as_a_dict(context: Context) -> None:
    """For subclasses and pre_execute; they stay private."""
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
    """They are sent as rendered, also after another rendering."""
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", **{**NEW, "parameters": RENDERED, "wait_for_completion": False}
    )
    for _ in range(2):
        operator.render_template_fields(context)
    assert unwrap(operator.parameters) == {"sample": CANARY, "depth": 30}
    run_id = operator.execute(context)
    assert client.get_run(id=run_id)["parameters"] == {"sample": CANARY, "depth": 30}


@needs_openlineage
def test_the_facet_of_the_task_has_no_parameter(context: Context) -> None:
    """Airflow's own facet has the ``parameters`` of any operator."""
    from airflow.providers.openlineage.utils.utils import TaskInfo
    from openlineage.client.serde import Serde

    for task in (
        HealthOmicsStartRunOperator(task_id="a_task", **{**NEW, "parameters": RENDERED}),
        HealthOmicsStartRunBatchOperator(task_id="a_task", **{**BATCH, "parameters": RENDERED}),
    ):
        task.render_template_fields(context)
        reported = Serde.to_json(TaskInfo(task))
        # Older releases of that provider omit them.
        assert ("non-serializable" in reported) is ('"parameters"' in reported)
        assert CANARY not in reported


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
    """It is off without a transport, with invalid settings, and when disabled globally or for a task."""
    # The provider caches its settings for the life of the process.
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__OPENLINEAGE__{name}", value)
    assert is_openlineage_on(HealthOmicsRunSensor(task_id="a_task", run_id="1")) == expected


@needs_openlineage
def test_a_single_task_may_be_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``selective_enable``."""
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage

    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", CONSOLE["TRANSPORT"])
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE", "True")
    assert is_openlineage_on(enable_lineage(HealthOmicsRunSensor(task_id="a_task", run_id="1")))


def test_nothing_is_imported_without_it() -> None:
    """The package does not require the provider, and imports no part of it."""
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
    """Even if it is installed."""
    code = """
import sys
import airflow_healthomics.operators, airflow_healthomics.sensors
names = ("openlineage.", "airflow.providers.openlineage.", "airflow_healthomics.lineage.facets")
print([name for name in sys.modules if name.startswith(names) and "info" not in name])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1:] == ["[]"]
