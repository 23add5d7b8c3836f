# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A batch starts from arguments, run settings or a sample sheet, and publishes the results of its runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import AirflowException, AirflowFailException, Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsRequestError,
    HealthOmicsRunBatchFailedError,
)
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.requests.batch import BATCH_ARGUMENTS
from tests.healthomics import Control
from tests.unit.batch_attempts import (
    BUCKET,
    CANARY,
    PLACE,
    Attempts,
    batch_of,
    crashing,
    fail_runs,
    object_at,
    objects,
    setting_ids,
    some_settings,
)
from tests.unit.conftest import (
    DAG_RUN_ID,
    OUTPUT,
    ROLE,
    WORKFLOW,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    intercepting,
    try_of,
)
from tests.unit.histories import STORES, WAYS
from tests.unit.operators.test_start_run import camel
from tests.unit.requests.test_batch import BATCH_SHAPE, DEFAULT_SHAPE, EVERY_ARGUMENT, EVERY_SETTING_FIELD

# --- start ---


def sent_by(operator: Any, context: Context) -> dict[str, Any]:
    """Return the body of the StartRunBatch request that an operator sends."""
    bodies: list[dict[str, Any]] = []
    operator.hook.conn_without_retries.meta.events.register(
        "before-send.omics.StartRunBatch", lambda request, **_: bodies.append(json.loads(request.body))
    )
    with suppress(HealthOmicsApiError):  # the local HealthOmics has no version v1
        operator.execute(context)
    (body,) = bodies
    return body


def test_it_starts_a_batch_and_returns_its_id(omics: Control, context: Context, client: Any) -> None:
    """One call, one batch with all settings."""
    batch_id = batch_of().execute(context)
    (batch,) = omics.batches()
    assert batch_id == batch["id"]
    assert calls_of(omics, "StartRunBatch") == 1
    assert setting_ids(client, batch_id) == ["sample-0", "sample-1", "sample-2"]


def test_it_does_not_wait_by_default(omics: Control, context: Context, clock: Any) -> None:
    """The sensor does that."""
    batch_of(deferrable=True).execute(context)
    assert (clock.elapsed, calls_of(omics, "GetBatch")) == (0, 0)


def test_every_argument_arrives(omics: Control, context: Context) -> None:
    """The request has the common settings of all runs as given, with their types."""
    body = sent_by(batch_of(**EVERY_ARGUMENT, run_settings=[EVERY_SETTING_FIELD]), context)
    (setting,) = body.pop("batchRunSettings")["inlineSettings"]
    sent = {**body.pop("defaultRunSetting"), **body}
    assert {key: repr(value) for key, value in sent.items()} == {
        camel(name): repr(value) for name, value in EVERY_ARGUMENT.items()
    }
    assert {key: repr(value) for key, value in setting.items()} == {
        camel(name): repr(value) for name, value in EVERY_SETTING_FIELD.items()
    }


def test_every_field_of_start_run_batch_is_an_argument() -> None:
    """Of the installed botocore, under the names that a single run uses."""
    fields = BATCH_SHAPE.members.keys() - {"defaultRunSetting", "batchRunSettings"}
    arguments = inspect.signature(HealthOmicsStartRunBatchOperator.__init__).parameters
    assert {camel(name) for name in arguments} >= fields | DEFAULT_SHAPE.members.keys()
    of_a_run = inspect.signature(HealthOmicsStartRunOperator.__init__).parameters
    for name in arguments.keys() & of_a_run.keys() - {"self", "kwargs", "workflow_id"}:
        assert arguments[name].default == of_a_run[name].default, name


def test_every_argument_can_be_templated() -> None:
    """Everything that a DAG author may want to template."""
    fields = set(HealthOmicsStartRunBatchOperator.template_fields)
    inputs = {"run_settings", "sample_sheet", "columns", "types", "settings_s3_uri", "success_policy"}
    assert fields >= inputs | set(BATCH_ARGUMENTS)


@pytest.mark.parametrize("name", [*BATCH_ARGUMENTS, "run_settings", "sample_sheet", "output_uris"])
def test_an_argument_is_an_attribute(name: str) -> None:
    """Constructors only assign arguments."""
    marker = object()
    assert getattr(batch_of(**{name: marker}), name) is marker


def test_the_defaults_of_the_connection_are_used(
    omics: Control, context: Context, with_defaults: None
) -> None:
    """As well as those of the hook, as for a single run."""
    operator = HealthOmicsStartRunBatchOperator(
        task_id="a_task", workflow_id=WORKFLOW, run_settings=some_settings(1)
    )
    body = sent_by(operator, context)["defaultRunSetting"]
    assert (body["roleArn"], body["outputUri"]) == (ROLE, OUTPUT)
    assert (body["retentionMode"], body["storageType"]) == ("REMOVE", "DYNAMIC")


def test_the_request_id_begins_with_the_dag_run_id(omics: Control, context: Context) -> None:
    """The batch's name is the same, so ListBatch finds it."""
    batch_of().execute(context)
    (batch,) = omics.batches()
    assert batch["requestId"].startswith(f"{DAG_RUN_ID}.")
    assert batch["name"] == batch["requestId"]


def test_an_explicit_request_id_and_name_are_used(omics: Control, context: Context) -> None:
    """They are sent unchanged."""
    batch_of(request_id="mine", batch_name="my batch").execute(context)
    (batch,) = omics.batches()
    assert (batch["requestId"], batch["name"]) == ("mine", "my batch")


def test_a_batch_and_a_run_of_two_tasks_are_separate(omics: Control) -> None:
    """Each mapped task has its own batch."""
    ids = {batch_of().execute(try_of(FakeTaskInstance(map_index=index))) for index in range(3)}
    assert len(ids) == len(omics.batches()) == 3


def test_the_batch_is_pushed(omics: Control, context: Context, ti: FakeTaskInstance, client: Any) -> None:
    """XCom ``batch`` distinguishes it from any other."""
    batch_id = batch_of().execute(context)
    found = client.get_batch(batchId=batch_id)
    assert ti.xcoms["batch"] == {
        "id": batch_id,
        "arn": found["arn"],
        "uuid": found["uuid"],
        "requestId": omics.batches()[0]["requestId"],
    }


# --- where the settings are stored ---


def test_a_hundred_settings_are_sent_inline(
    omics: Control, context: Context, bucket: Any, client: Any
) -> None:
    """Nothing is written to S3 for them."""
    batch_id = batch_of(run_settings=some_settings(100), settings_s3_uri=PLACE).execute(context)
    assert len(setting_ids(client, batch_id)) == 100
    assert objects() == {}


@pytest.mark.parametrize("place", [PLACE, f"{PLACE}/", f"s3://{BUCKET}", f"s3://{BUCKET}/"])
def test_more_settings_are_written_to_s3(
    omics: Control, context: Context, bucket: Any, client: Any, place: str
) -> None:
    """They are submitted by reference, as HealthOmics requires."""
    settings = some_settings(101, parameters={"größe": "ü", "n": 1})
    batch_id = batch_of(run_settings=settings, settings_s3_uri=place).execute(context)
    omics.advance_batch("SUBMITTING")
    ((key, written),) = objects().items()
    assert not key.startswith("/")
    assert "//" not in key
    assert [entry["runSettingId"] for entry in written] == [entry["run_setting_id"] for entry in settings]
    assert written[0]["parameters"] == {"größe": "ü", "n": 1}
    assert setting_ids(client, batch_id) == [entry["runSettingId"] for entry in written]


def test_large_settings_are_written_to_s3_if_a_location_is_set(
    omics: Control, context: Context, bucket: Any
) -> None:
    """No document says how large a request may be."""
    settings = some_settings(40, parameters={"a": "x" * 40_000})
    batch_of(run_settings=settings, settings_s3_uri=PLACE).execute(context)
    assert len(objects()) == 1


def test_two_tasks_have_two_locations(omics: Control, bucket: Any) -> None:
    """One ``settings_s3_uri`` serves a whole deployment."""
    for index in range(2):
        operator = batch_of(run_settings=some_settings(101), settings_s3_uri=PLACE)
        operator.execute(try_of(FakeTaskInstance(map_index=index)))
    assert len(objects()) == 2


@pytest.mark.parametrize(
    ("one", "another"), [("a b", "a-b"), ("cohort/1", "cohort:1"), ("größe", "gräße"), ("ü", "é")]
)
def test_similar_request_ids_have_two_locations(omics: Control, bucket: Any, one: str, another: str) -> None:
    """Otherwise a batch might have the runs of another one."""
    for request_id, name in ((one, "x"), (another, "y")):
        settings = [{"run_setting_id": f"{name}-{number}"} for number in range(101)]
        operator = batch_of(request_id=request_id, run_settings=settings, settings_s3_uri=PLACE)
        operator.execute(try_of(FakeTaskInstance()))
    assert {content[0]["runSettingId"] for content in objects().values()} == {"x-0", "y-0"}


@pytest.mark.parametrize(
    ("code", "word"), [("AccessDenied", "s3:PutObject"), ("NoSuchBucket", "settings-bucket")]
)
def test_settings_that_cannot_be_written_are_reported(
    omics: Control, context: Context, code: str, word: str
) -> None:
    """S3 has refused, not StartRunBatch, and the advice is about S3."""
    error = ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")
    with crashing("PutObject", error=error), pytest.raises(HealthOmicsApiError, match=code) as caught:
        batch_of(run_settings=some_settings(101), settings_s3_uri=PLACE).execute(context)
    assert word in str(caught.value)
    assert "omics:StartRunBatch" not in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)
    assert omics.batches() == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_conflicting_write_of_the_settings_is_repeated(
    omics: Control, tasks: Tasks, bucket: Any, times: int
) -> None:
    """S3 has written nothing then; the worker repeats it first, and delayed attempts later."""
    conflicts = iter(range(times))

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if operation == "PutObject" and next(conflicts, None) is not None:
            raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, operation)
        return call()

    attempts = Attempts(tasks, run_settings=some_settings(101), settings_s3_uri=PLACE, output_uris=False)
    with intercepting(respond):
        attempts.again()
    assert [batch["status"] for batch in omics.batches()] == ["PROCESSED"]


# --- sample sheets ---

SHEETS: dict[str, str] = {
    "csv": "sample,fastq,depth\nA1,s3://in/a.fq,30\nB2,s3://in/b.fq,0042\n",
    "tsv": "sample\tfastq\tdepth\nA1\ts3://in/a.fq\t30\nB2\ts3://in/b.fq\t0042\n",
    "json": json.dumps(
        [
            {"sample": "A1", "fastq": "s3://in/a.fq", "depth": "30"},
            {"sample": "B2", "fastq": "s3://in/b.fq", "depth": "0042"},
        ]
    ),
}
COLUMNS = {"run_setting_id": "sample", "parameters.reads": "fastq", "parameters.depth": "depth"}


@pytest.mark.parametrize("format", SHEETS)
@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_sample_sheet_has_a_row_for_each_run(
    omics: Control, context: Context, bucket: Any, tmp_path: Path, format: str, where: str
) -> None:
    """In each format, from disk or from S3; a cell remains text."""
    (tmp_path / f"sheet.{format}").write_text(SHEETS[format])
    bucket.put_object(Bucket=BUCKET, Key=f"sheet.{format}", Body=SHEETS[format].encode())
    sheet = {"local": str(tmp_path / f"sheet.{format}"), "s3": f"s3://{BUCKET}/sheet.{format}"}[where]
    body = sent_by(batch_of(sample_sheet=sheet, columns=COLUMNS), context)
    assert body["batchRunSettings"]["inlineSettings"] == [
        {"runSettingId": "A1", "parameters": {"reads": "s3://in/a.fq", "depth": "30"}},
        {"runSettingId": "B2", "parameters": {"reads": "s3://in/b.fq", "depth": "0042"}},
    ]


def test_the_types_of_a_sheet_can_be_declared(omics: Control, context: Context, tmp_path: Path) -> None:
    """HealthOmics checks JSON types."""
    (tmp_path / "sheet.csv").write_text("sample,depth\nA1,30\n")
    operator = batch_of(
        sample_sheet=str(tmp_path / "sheet.csv"),
        columns={"run_setting_id": "sample", "parameters.depth": "depth"},
        types={"parameters.depth": "integer"},
    )
    (setting,) = sent_by(operator, context)["batchRunSettings"]["inlineSettings"]
    assert setting["parameters"] == {"depth": 30}


def test_a_large_sheet_goes_to_s3(omics: Control, context: Context, bucket: Any, tmp_path: Path) -> None:
    """A cohort is a single argument."""
    (tmp_path / "sheet.csv").write_text("sample\n" + "".join(f"S{n}\n" for n in range(1500)))
    columns = {"run_setting_id": "sample"}
    operator = batch_of(sample_sheet=str(tmp_path / "sheet.csv"), columns=columns, settings_s3_uri=PLACE)
    operator.execute(context)
    ((_, written),) = objects().items()
    assert len(written) == 1500


# --- bad input ---


def twice(*ids: str) -> list[dict[str, Any]]:
    return [{"run_setting_id": each} for each in ids]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "duplicate ids": ({"run_settings": twice("a", CANARY, CANARY)}, "run_setting_id"),
    "no id": ({"run_settings": [{"name": "x"}]}, "run_setting_id"),
    "empty id": ({"run_settings": twice("")}, "run_setting_id"),
    "no settings": ({"run_settings": []}, "empty"),
    "text": ({"run_settings": "[]"}, "must be a list"),
    "a mapping": ({"run_settings": {"run_setting_id": CANARY}}, "must be a list"),
    "a list of texts": ({"run_settings": [CANARY]}, "must be a mapping"),
    "run_id in a setting": ({"run_settings": [{"run_setting_id": "a", "run_id": "1"}]}, "run_id"),
    "a batch field in a setting": (
        {"run_settings": [{"run_setting_id": "a", "storage_type": "DYNAMIC"}]},
        "whole batch",
    ),
    "READY2RUN": ({"workflow_type": "READY2RUN"}, "READY2RUN"),
    "too large": ({"run_settings": some_settings(2, parameters={"a": CANARY * 5000})}, "50,000"),
    "too many": ({"run_settings": some_settings(100_001), "settings_s3_uri": PLACE}, "100,000"),
    "too many inline": ({"run_settings": some_settings(101)}, "settings_s3_uri"),
    "neither": ({"run_settings": None}, "either run_settings or sample_sheet"),
    "both": (
        {"run_settings": some_settings(1), "sample_sheet": "s.csv"},
        "either run_settings or sample_sheet",
    ),
    "policy above": ({"success_policy": 4}, "success_policy"),
    "policy of nothing": ({"success_policy": 0}, "success_policy"),
    "policy of words": ({"success_policy": "most"}, "success_policy"),
    "no S3 URI": ({"settings_s3_uri": "/tmp/x", "run_settings": some_settings(101)}, "settings_s3_uri"),
    "no S3 URI for the manifest": ({"settings_s3_uri": "https://bucket/x"}, "settings_s3_uri"),
    "storage": ({"storage_type": "STATIC"}, "storage_capacity"),
    "role": ({"role_arn": None}, "role_arn"),
    "output": ({"output_uri": None}, "output_uri"),
    "workflow": ({"workflow_id": "nonsense"}, "workflow_id"),
    "name": ({"batch_name": ""}, "batch_name"),
    "request": ({"request_id": ""}, "request_id"),
    "parameters": ({"parameters": CANARY}, "parameters"),
    "template": (
        {"run_settings": [{"run_setting_id": "a", "parameters": {"x": float("nan")}}]},
        "parameters.x",
    ),
}


def refused(operator: Any, ti: FakeTaskInstance, logged: Callable[[], str]) -> str:
    """Return the error of a start that stored nothing, not even a record."""
    store = Store()
    with pytest.raises(HealthOmicsRequestError) as caught:
        operator.execute(try_of(ti, store))
    assert isinstance(caught.value, AirflowFailException)
    assert store.values == {}
    assert CANARY not in str(caught.value) + logged()
    return str(caught.value)


@pytest.mark.parametrize(("fields", "word"), BAD.values(), ids=BAD)
def test_bad_input_starts_nothing(
    omics: Control,
    ti: FakeTaskInstance,
    bucket: Any,
    logged: Callable[[], str],
    fields: dict[str, Any],
    word: str,
) -> None:
    """It is refused permanently; the error names the argument and never a value."""
    operator = batch_of(**{"run_settings": some_settings(3), **fields})
    assert word in refused(operator, ti, logged)
    assert (omics.batches(), objects()) == ([], {})


def test_a_run_to_duplicate_is_no_argument() -> None:
    """A batch has new runs only."""
    # Airflow 2.11 raises its own error.
    with pytest.raises((TypeError, AirflowException), match="run_id"):
        batch_of(run_id="1")


BAD_SHEETS: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty": ("", {}, "sample sheet"),
    "a header only": ("sample,fastq\n", {}, "no rows"),
    "a missing column": (f"sample,fasta\n{CANARY},x\n", {}, "'fastq'"),
    "an empty id": ("sample,fastq\n,x\n", {}, "run_setting_id is empty"),
    "a duplicate id": (f"sample,fastq\n{CANARY},x\n{CANARY},y\n", {}, "row 2"),
    "a wrong type": (
        f"sample,fastq\nA,{CANARY}\n",
        {"types": {"parameters.reads": "integer"}},
        "whole number",
    ),
    "no columns": ("sample\nA\n", {"columns": None}, "columns"),
    "no id": ("sample,fastq\nA,x\n", {"columns": {"name": "sample"}}, "run_setting_id"),
    "an unknown target": (
        "sample,fastq\nA,x\n",
        {"columns": {"run_setting_id": "sample", "role": "fastq"}},
        "role",
    ),
}


@pytest.mark.parametrize(("text", "fields", "word"), BAD_SHEETS.values(), ids=BAD_SHEETS)
def test_a_bad_sheet_starts_nothing(
    omics: Control,
    ti: FakeTaskInstance,
    bucket: Any,
    tmp_path: Path,
    logged: Callable[[], str],
    text: str,
    fields: dict[str, Any],
    word: str,
) -> None:
    """The error names row and column, never the content of a cell."""
    (tmp_path / "sheet.csv").write_text(text)
    columns = {"run_setting_id": "sample", "parameters.reads": "fastq"}
    operator = batch_of(**{"sample_sheet": str(tmp_path / "sheet.csv"), "columns": columns, **fields})
    assert word in refused(operator, ti, logged)
    assert (omics.batches(), objects()) == ([], {})


def test_mixed_types_in_a_json_sheet_start_nothing(
    omics: Control, ti: FakeTaskInstance, tmp_path: Path, logged: Callable[[], str]
) -> None:
    """A column has one type."""
    rows = [{"sample": "A", "depth": 30}, {"sample": "B", "depth": CANARY}]
    (tmp_path / "sheet.json").write_text(json.dumps(rows))
    columns = {"run_setting_id": "sample", "parameters.depth": "depth"}
    assert "depth" in refused(
        batch_of(sample_sheet=str(tmp_path / "sheet.json"), columns=columns), ti, logged
    )
    assert omics.batches() == []


@pytest.mark.parametrize("sheet", [f"s3://{BUCKET}/no.csv", "s3://no-such-bucket/no.csv", "/no/such.csv"])
def test_a_sheet_that_cannot_be_read_starts_nothing(
    omics: Control, ti: FakeTaskInstance, bucket: Any, logged: Callable[[], str], sheet: str
) -> None:
    """The error names it."""
    operator = batch_of(sample_sheet=sheet, columns={"run_setting_id": "sample"})
    assert sheet in refused(operator, ti, logged)
    assert omics.batches() == []


@pytest.mark.parametrize(
    "code", ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"]
)
def test_a_refused_start_fails_at_once(omics: Control, context: Context, clock: Any, code: str) -> None:
    """Another try would get the same response."""
    omics.inject_error("StartRunBatch", code, times=None)
    with pytest.raises(HealthOmicsApiError, match=f"StartRunBatch.*{code}") as caught:
        batch_of().execute(context)
    assert isinstance(caught.value, AirflowFailException)
    assert (calls_of(omics, "StartRunBatch"), clock.elapsed) == (1, 0)


# --- results ---


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_summary_has_the_counts(
    omics: Control, tasks: Tasks, client: Any, with_store: bool, deferrable: bool
) -> None:
    """XCom ``summary`` describes the finished batch."""
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable)
    batch_id = attempts.again()
    summary = attempts.ti.xcoms["summary"]
    assert (summary["id"], summary["status"], summary["totalRuns"]) == (batch_id, "PROCESSED", 3)
    assert (summary["batchIds"], summary["counts"]) == ([batch_id], {"COMPLETED": 3})
    assert summary["runSummary"]["completedRunCount"] == 3
    assert "parameters" not in json.dumps(summary)


#: An hour of each run, after ten minutes in the queue.
AN_HOUR = {"PENDING": 600, "STARTING": 0, "RUNNING": 3600, "STOPPING": 0}


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_usage_of_all_runs_of_all_tries_is_summed(
    omics: Control, tasks: Tasks, logged: Callable[[], str], with_store: bool, deferrable: bool
) -> None:
    """A run that failed and was repeated has a cost, too. This needs no call."""
    omics.plan_run(run_setting_id="sample-1", status="FAILED", seconds=AN_HOUR)
    omics.plan_run(times=None, seconds=AN_HOUR)
    attempts = Attempts(
        tasks, with_store=with_store, deferrable=deferrable, storage_type="STATIC", storage_capacity=1200
    )
    with pytest.raises(HealthOmicsRunBatchFailedError):
        attempts.again()
    # three runs, then sample-1 again
    for count in (3, 4):
        use = attempts.ti.xcoms["summary"]["usage"]
        assert use["runs"] == count
        assert use["runHours"] == count
        assert use["seconds"] == {"queued": 600.0 * count, "running": 3600.0 * count}
        assert use["storage"] == {"STATIC": {"runs": count, "requestedGiBHours": 1200.0 * count}}
        assert [run["seconds"] for run in use["longestRuns"]] == [3600.0] * 3
        assert use["isPartial"] is False
        assert f"{count}.0 hours running" in logged()
        if count == 3:
            attempts.again()
    assert calls_of(omics, "ListRunTasks") == 0


def test_the_usage_of_deleted_runs_is_unknown(omics: Control, tasks: Tasks, clock: Any) -> None:
    """The sums of the others are "at least"."""
    omics.plan_run(times=None, seconds=AN_HOUR)

    def remove() -> None:
        omics.advance("DELETED", run_id=omics.runs()[0]["id"])

    clock.at(4000, remove)
    attempts = Attempts(tasks, success_policy="any", output_uris=False)
    attempts.again()
    use = attempts.ti.xcoms["summary"]["usage"]
    assert (use["runs"], use["runHours"], use["isPartial"]) == (2, 2.0, True)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_task_can_be_mapped_over_the_successes(
    omics: Control, tasks: Tasks, client: Any, deferrable: bool
) -> None:
    """Each completed run has the id of its setting, its own, and the location of its outputs."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, deferrable=deferrable, success_policy=2)
    attempts.again()
    successes = attempts.ti.xcoms["successes"]
    assert [each["runSettingId"] for each in successes] == ["sample-0", "sample-2"]
    for each in successes:
        run = client.get_run(id=each["runId"])
        assert (run["status"], run["runOutputUri"]) == ("COMPLETED", each["runOutputUri"])
        assert each["runOutputUri"]


def test_output_uris_can_be_left_out(omics: Control, tasks: Tasks) -> None:
    """They cost a GetRun call for each run."""
    attempts = Attempts(tasks, output_uris=False)
    attempts.again()
    assert "runOutputUri" not in attempts.ti.xcoms["successes"][0]
    assert calls_of(omics, "GetRun") == 0


def test_the_manifest_has_every_run(omics: Control, tasks: Tasks, bucket: Any) -> None:
    """Also those that failed or were not started."""
    fail_runs(omics, "sample-1")
    omics.fail_submission(["sample-2"])
    attempts = Attempts(tasks, settings_s3_uri=PLACE, success_policy="any")
    attempts.again()
    manifest = object_at(attempts.ti.xcoms["manifest"])
    assert [(each["runSettingId"], each["status"]) for each in manifest] == [
        ("sample-0", "COMPLETED"),
        ("sample-1", "FAILED"),
        ("sample-2", "NOT_STARTED"),
    ]
    assert [each["runId"] is None for each in manifest] == [False, False, True]
    (part,) = attempts.ti.xcoms["success_parts"]
    assert object_at(part) == attempts.ti.xcoms["successes"] == manifest[:1]


@pytest.mark.parametrize("count", [1000, 1001])
def test_a_large_result_is_in_s3_only(omics: Control, tasks: Tasks, bucket: Any, count: int) -> None:
    """XCom has the URIs of parts with up to 1,000 runs each, over which a task can be mapped."""
    omics.set_options(batch_runs_per_second=None, tasks=0)
    settings = some_settings(count)
    attempts = Attempts(tasks, settings_s3_uri=PLACE, run_settings=settings, output_uris=False)
    attempts.again()
    assert "successes" not in attempts.ti.xcoms
    parts = [object_at(part) for part in attempts.ti.xcoms["success_parts"]]
    assert [len(part) for part in parts] == ([1000] if count == 1000 else [1000, 1])
    assert [each["runSettingId"] for part in parts for each in part] == [
        each["run_setting_id"] for each in settings
    ]
    assert len(json.dumps(attempts.ti.xcoms)) < 5000


def test_a_failed_batch_has_a_manifest_too(omics: Control, tasks: Tasks, bucket: Any) -> None:
    """The task writes it before it fails."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, settings_s3_uri=PLACE)
    with pytest.raises(HealthOmicsRunBatchFailedError):
        attempts.again()
    assert len(object_at(attempts.ti.xcoms["manifest"])) == 3
    assert len(attempts.ti.xcoms["successes"]) == 2


def test_a_manifest_that_cannot_be_written_is_written_by_a_retry(
    omics: Control, tasks: Tasks, bucket: Any
) -> None:
    """The runs have completed, so a Clear must not be needed once the IAM policy is repaired."""
    attempts = Attempts(tasks, settings_s3_uri=PLACE)
    refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
    with (
        crashing("PutObject", error=refusal),
        pytest.raises(HealthOmicsError, match="s3:PutObject") as caught,
    ):
        attempts.again()
    assert not isinstance(caught.value, AirflowFailException)
    attempts.again()
    assert len(object_at(attempts.ti.xcoms["manifest"])) == 3
    assert len(omics.batches()) == 1


def test_without_xcom_only_the_run_page_has_xcoms(omics: Control, tasks: Tasks) -> None:
    """``do_xcom_push=False`` applies to all others."""
    attempts = Attempts(tasks, do_xcom_push=False)
    attempts.again()
    assert set(attempts.ti.xcoms) == {XCOM_KEY}


def test_a_run_that_is_deleted_before_its_outputs_are_read_is_no_failure(
    omics: Control, tasks: Tasks
) -> None:
    """Retention mode REMOVE makes room at any time; the run has completed."""
    omics.inject_error("GetRun", "ResourceNotFoundException")
    attempts = Attempts(tasks)
    attempts.again()
    uris = [each["runOutputUri"] for each in attempts.ti.xcoms["successes"]]
    assert [uri is None for uri in uris] == [True, False, False]


def test_denied_outputs_are_no_failure(omics: Control, tasks: Tasks, logged: Callable[[], str]) -> None:
    """The log says what is missing, and the task does not try GetRun ten thousand times."""
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    attempts = Attempts(tasks)
    attempts.again()
    assert [each["runOutputUri"] for each in attempts.ti.xcoms["successes"]] == [None] * 3
    assert calls_of(omics, "GetRun") == 1
    assert "AccessDeniedException" in logged()
