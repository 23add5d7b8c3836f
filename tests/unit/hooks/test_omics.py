# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook: its calls, its defaults, its endpoint."""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.requests.batch import settings_json
from tests.healthomics import Control, HealthOmicsServer
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW, Crash, calls_of

RUN: dict[str, Any] = {"workflow_id": WORKFLOW, "role_arn": ROLE, "output_uri": OUTPUT}


@pytest.fixture
def hook(omics: Control) -> HealthOmicsHook:
    """A hook of aws_default."""
    return HealthOmicsHook()


# --- calls ---


def test_it_is_a_client_of_omics(hook: HealthOmicsHook) -> None:
    """Every method of boto3's client is available."""
    assert hook.conn.meta.service_model.service_name == "omics"
    assert hook.client_type == "omics"


def test_start_run_starts_a_run(hook: HealthOmicsHook, omics: Control) -> None:
    """It returns the response of the API, without transport details."""
    run = hook.start_run(**RUN, parameters={"a": 1}, request_id="r-1", name="n-1")
    (found,) = omics.runs()
    assert (run["id"], run["uuid"]) == (found["id"], found["uuid"])
    assert (found["requestId"], found["name"], found["workflowId"]) == ("r-1", "n-1", WORKFLOW)
    assert {"arn", "status", "runOutputUri"} <= run.keys()
    assert "ResponseMetadata" not in run


def test_start_run_duplicates_a_run(hook: HealthOmicsHook, started: Callable[..., Any]) -> None:
    """The duplicate inherits its original's settings, also those with a default in the connection."""
    original = started(retentionMode="RETAIN", storageType="STATIC", storageCapacity=2400)
    run = hook.start_run(run_id=original["id"], role_arn=ROLE, output_uri=OUTPUT)
    copy = hook.get_run(run["id"])
    assert run["id"] != original["id"]
    assert (copy["retentionMode"], copy["storageType"], copy["storageCapacity"]) == ("RETAIN", "STATIC", 2400)


def test_the_same_request_id_starts_one_run(hook: HealthOmicsHook, omics: Control) -> None:
    """The second call returns the run of the first."""
    first, second = (hook.start_run(**RUN, request_id="r-1") for _ in range(2))
    assert first["id"] == second["id"]
    assert len(omics.runs()) == 1


def test_a_bad_request_is_not_sent(hook: HealthOmicsHook, omics: Control) -> None:
    """Nothing is started."""
    with pytest.raises(HealthOmicsRequestError):
        hook.start_run(**RUN, priority="high")
    assert calls_of(omics, "StartRun") == 0


def test_get_run_describes_a_run(hook: HealthOmicsHook, started: Callable[..., Any]) -> None:
    """With GetRun's field names."""
    run = started(name="a-name")
    answer = hook.get_run(run["id"])
    assert (answer["id"], answer["uuid"], answer["name"]) == (run["id"], run["uuid"], "a-name")
    assert "ResponseMetadata" not in answer


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_list_runs_goes_through_all_pages(
    hook: HealthOmicsHook, omics: Control, started: Callable[..., Any], page_size: int
) -> None:
    """No run is left out or given twice, whatever the page's size."""
    ids = [started()["id"] for _ in range(5)]
    listed = [run["id"] for run in hook.list_runs(page_size=page_size)]
    assert sorted(listed) == sorted(ids)
    assert calls_of(omics, "ListRuns") >= 5 // page_size


def test_list_runs_fetches_pages_on_demand(
    hook: HealthOmicsHook, omics: Control, started: Callable[..., Any]
) -> None:
    """It is an iterator: stopping early saves calls."""
    for _ in range(3):
        started()
    runs = hook.list_runs(page_size=1)
    assert calls_of(omics, "ListRuns") == 0
    next(iter(runs))
    assert calls_of(omics, "ListRuns") == 1


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"name": "one"}, {"one"}),
        ({"status": "COMPLETED"}, {"two"}),
        ({"name": "one", "status": "COMPLETED"}, set()),
        ({}, {"one", "two"}),
    ],
    ids=["name", "status", "both", "none"],
)
def test_list_runs_filters(
    hook: HealthOmicsHook,
    omics: Control,
    started: Callable[..., Any],
    filters: dict[str, Any],
    expected: set[str],
) -> None:
    """A run must match all filters."""
    started(name="one")
    omics.advance("COMPLETED", run_id=started(name="two")["id"])
    assert {run["name"] for run in hook.list_runs(**filters)} == expected


def test_list_runs_filters_by_run_group(hook: HealthOmicsHook, started: Callable[..., Any]) -> None:
    """Runs of another group are left out."""
    inside = started(runGroupId="11")["id"]
    started(runGroupId="12")
    assert [run["id"] for run in hook.list_runs(run_group_id="11")] == [inside]


@pytest.mark.parametrize("page_size", [1, 100])
def test_list_run_tasks_goes_through_all_pages(
    hook: HealthOmicsHook, omics: Control, started: Callable[..., Any], page_size: int
) -> None:
    """Each task of the run once."""
    omics.plan_run(tasks=3)
    run = started()
    omics.advance("COMPLETED", run_id=run["id"])
    tasks = list(hook.list_run_tasks(run["id"], page_size=page_size))
    assert len({task["taskId"] for task in tasks}) == len(tasks) == 3


def test_list_run_tasks_filters_by_status(
    hook: HealthOmicsHook, omics: Control, started: Callable[..., Any]
) -> None:
    """Here the failed tasks of a failed run."""
    omics.plan_run(
        status="FAILED", tasks=[{"name": "good"}, {"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR"}]
    )
    run = started()
    omics.advance("FAILED", run_id=run["id"])
    assert [task["name"] for task in hook.list_run_tasks(run["id"], status="FAILED")] == ["bad"]


def test_get_run_task_describes_a_task(
    hook: HealthOmicsHook, omics: Control, started: Callable[..., Any]
) -> None:
    """Only GetRunTask has the reason of a failure."""
    omics.plan_run(status="FAILED", tasks=[{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR"}])
    run = started()
    omics.advance("FAILED", run_id=run["id"])
    (listed,) = hook.list_run_tasks(run["id"])
    task = hook.get_run_task(run["id"], listed["taskId"])
    assert (task["name"], task["failureReason"]) == ("bad", "OUT_OF_MEMORY_ERROR")


def test_cancel_run_cancels(hook: HealthOmicsHook, omics: Control, started: Callable[..., Any]) -> None:
    """The run is on its way to CANCELLED."""
    run = started()
    hook.cancel_run(run["id"])
    omics.advance_clock(60)
    assert hook.get_run(run["id"])["status"] == "CANCELLED"


def test_delete_run_deletes(hook: HealthOmicsHook, omics: Control, started: Callable[..., Any]) -> None:
    """The run is no longer found."""
    run = started()
    omics.advance("COMPLETED", run_id=run["id"])
    hook.delete_run(run["id"])
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        hook.get_run(run["id"])


def test_get_workflow_describes_a_workflow_and_a_version(hook: HealthOmicsHook, omics: Control) -> None:
    """Type and owner are passed on only if they are given."""
    omics.add_workflow("77", parameter_template={"a": {"description": "x"}})
    omics.add_workflow("78", type="READY2RUN")
    assert hook.get_workflow("77")["parameterTemplate"].keys() == {"a"}
    assert hook.get_workflow("78", workflow_type="READY2RUN")["id"] == "78"


@pytest.mark.parametrize(
    "call",
    [
        "get_run",
        "cancel_run",
        "delete_run",
        "get_batch",
        "cancel_run_batch",
        "delete_run_batch",
        "delete_batch",
    ],
)
def test_errors_of_botocore_are_raised(hook: HealthOmicsHook, call: str) -> None:
    """Callers of the hook handle the errors in boto3's documentation."""
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        getattr(hook, call)("999")


@pytest.mark.parametrize("call", ["list_runs", "list_run_tasks", "list_batches", "list_runs_in_batch"])
def test_lists_are_iterators(hook: HealthOmicsHook, call: str) -> None:
    """Ten thousand runs are never in memory at once."""
    arguments = ["1"] if call in ("list_run_tasks", "list_runs_in_batch") else []
    assert isinstance(getattr(hook, call)(*arguments), types.GeneratorType)


# --- run batches ---


@pytest.fixture
def batch(hook: HealthOmicsHook) -> Callable[..., str]:
    """Start a batch of N runs, and return its id."""

    def start(count: int = 1, **arguments: Any) -> str:
        run_settings = [{"run_setting_id": f"r-{number}"} for number in range(count)]
        batch_id: str = hook.start_run_batch(**RUN, run_settings=run_settings, **arguments)["id"]
        return batch_id

    return start


EVERY_SETTING: dict[str, Any] = {
    "run_setting_id": "r-1",
    "name": "n-1",
    "output_uri": "s3://outputs/one",
    "output_bucket_owner_id": "123456789012",
    "parameters": {"b": "own", "c": [1.5, None, "ü"]},
    "priority": "7",
    "engine_settings": {"profile": "one"},
    "run_tags": {"sample": "7"},
}


@pytest.mark.parametrize("where", ["request", "s3"])
def test_start_run_batch_starts_runs(hook: HealthOmicsHook, omics: Control, where: str) -> None:
    """Each run has the common and its own settings, from the request or from S3."""
    arguments: dict[str, Any] = {**RUN, "parameters": {"a": 1, "b": 2}, "run_tags": {"team": "x"}}
    arguments |= {"batch_name": "b", "request_id": "b-1", "tags": {"batch": "yes"}}
    run_settings = [EVERY_SETTING, {"run_setting_id": "r-2"}]
    if where == "s3":
        _, settings = hook.build_run_batch(run_settings, **arguments)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="settings")
        s3.put_object(Bucket="settings", Key="7.json", Body=settings_json(settings))
        batch = hook.start_run_batch(**arguments, s3_uri_settings="s3://settings/7.json")
    else:
        batch = hook.start_run_batch(**arguments, run_settings=run_settings)
    assert {"id", "arn", "uuid", "status"} <= batch.keys()
    assert "ResponseMetadata" not in batch
    omics.advance_clock(3600)
    assert hook.get_batch(batch["id"])["tags"] == {"batch": "yes"}
    runs = {
        entry["runSettingId"]: hook.get_run(entry["runId"]) for entry in hook.list_runs_in_batch(batch["id"])
    }
    fields = ("name", "outputUri", "parameters", "priority", "tags", "retentionMode", "storageType")
    assert {key: runs["r-1"].get(key) for key in fields} == {
        "name": "n-1",
        "outputUri": "s3://outputs/one",
        "parameters": {"a": 1, "b": "own", "c": [1.5, None, "ü"]},
        "priority": 7,
        "tags": {"team": "x", "sample": "7"},
        "retentionMode": "REMOVE",
        "storageType": "DYNAMIC",
    }
    assert (runs["r-2"]["parameters"], runs["r-2"]["tags"]) == ({"a": 1, "b": 2}, {"team": "x"})


def test_start_run_batch_needs_nothing_but_a_workflow_and_settings(
    hook: HealthOmicsHook, connection: Callable[..., None], omics: Control
) -> None:
    """The connection has the common settings of all runs, and tags for batches, too."""
    connection(omics={"role_arn": ROLE, "output_uri": OUTPUT, "log_level": "ALL", "tags": {"a": "b"}})
    batch_id = hook.start_run_batch(workflow_id=WORKFLOW, run_settings=[{"run_setting_id": 1}])["id"]
    batch = hook.get_batch(batch_id)
    common = batch["defaultRunSetting"]
    assert (common["roleArn"], common["outputUri"], common["logLevel"]) == (ROLE, OUTPUT, "ALL")
    assert (common["retentionMode"], common["storageType"]) == ("REMOVE", "DYNAMIC")
    assert batch["tags"] == common["runTags"] == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"priority": "high"}, "priority"),
        ({"run_settings": []}, "run_settings"),
        ({"run_settings": [{"run_setting_id": n} for n in range(101)]}, "101"),
        ({"run_settings": None}, "either run_settings or s3_uri_settings"),
        ({"s3_uri_settings": "s3://bucket/key"}, "either run_settings or s3_uri_settings"),
        ({"run_settings": None, "s3_uri_settings": "bucket/key"}, "s3_uri_settings"),
        ({"run_settings": None, "s3_uri_settings": "s3://bucket/key", "role_arn": None}, "role_arn"),
    ],
    ids=lambda change: "-".join(change) if isinstance(change, dict) else "",
)
def test_a_bad_batch_is_not_sent(
    hook: HealthOmicsHook, omics: Control, change: dict[str, Any], word: str
) -> None:
    """Nothing is started."""
    arguments: dict[str, Any] = {**RUN, "run_settings": [{"run_setting_id": 1}], **change}
    with pytest.raises(HealthOmicsRequestError, match=word):
        hook.start_run_batch(**arguments)
    assert calls_of(omics, "StartRunBatch") == 0


def test_the_same_request_id_starts_one_batch(batch: Callable[..., str], omics: Control) -> None:
    """The second call returns the batch of the first."""
    assert batch(request_id="b-1") == batch(request_id="b-1")
    assert calls_of(omics, "StartRunBatch") == 2


def test_get_batch_describes_a_batch(hook: HealthOmicsHook, batch: Callable[..., str]) -> None:
    """With GetBatch's field names."""
    answer = hook.get_batch(batch(2, batch_name="a-name"))
    assert (answer["name"], answer["totalRuns"]) == ("a-name", 2)
    assert "ResponseMetadata" not in answer


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_list_batches_goes_through_all_pages(
    hook: HealthOmicsHook, omics: Control, batch: Callable[..., str], page_size: int
) -> None:
    """No batch is left out or given twice."""
    ids = [batch() for _ in range(5)]
    assert sorted(item["id"] for item in hook.list_batches(page_size=page_size)) == sorted(ids)
    assert calls_of(omics, "ListBatch") >= 5 // page_size


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_list_runs_in_batch_goes_through_all_pages(
    hook: HealthOmicsHook, omics: Control, batch: Callable[..., str], page_size: int
) -> None:
    """No run setting is left out or given twice."""
    batch_id = batch(5)
    batch(1)
    listed = [item["runSettingId"] for item in hook.list_runs_in_batch(batch_id, page_size=page_size)]
    assert sorted(listed) == [f"r-{number}" for number in range(5)]
    assert calls_of(omics, "ListRunsInBatch") >= 5 // page_size


def test_list_batches_filters(hook: HealthOmicsHook, omics: Control, batch: Callable[..., str]) -> None:
    """By name, status or run group."""
    ids = {batch(batch_name="one"): "one", batch(run_group_id="11"): "two"}

    def listed(**filters: Any) -> list[str]:
        return [ids[item["id"]] for item in hook.list_batches(**filters)]

    assert listed(name="one") == ["one"]
    assert listed(run_group_id="11") == ["two"]
    assert listed(status="PROCESSED") == []
    omics.advance_clock(24 * 3600)
    assert sorted(listed(status="PROCESSED")) == ["one", "two"]


def test_list_runs_in_batch_filters(hook: HealthOmicsHook, omics: Control, batch: Callable[..., str]) -> None:
    """By run setting, run or submission status."""
    batch_id = batch(3)
    omics.advance_clock(3600)
    (entry,) = hook.list_runs_in_batch(batch_id, run_setting_id="r-1")
    assert entry["runSettingId"] == "r-1"
    assert list(hook.list_runs_in_batch(batch_id, run_id=entry["runId"])) == [entry]
    assert len(list(hook.list_runs_in_batch(batch_id, submission_status="SUCCESS"))) == 3
    assert list(hook.list_runs_in_batch(batch_id, submission_status="FAILED")) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda hook: hook.list_batches(name="a", status="FAILED"),
        lambda hook: hook.list_runs_in_batch("1", run_id="1", run_setting_id="a", submission_status="FAILED"),
    ],
    ids=["list_batches", "list_runs_in_batch"],
)
def test_lists_of_batches_accept_one_filter(hook: HealthOmicsHook, omics: Control, call: Any) -> None:
    """HealthOmics would refuse more; the hook refuses them at once."""
    with pytest.raises(HealthOmicsRequestError, match="at most one filter"):
        call(hook)
    assert omics.calls() == []


def test_cancel_run_batch_cancels(hook: HealthOmicsHook, omics: Control, batch: Callable[..., str]) -> None:
    """The batch is on its way to CANCELLED."""
    batch_id = batch()
    omics.advance_batch("INPROGRESS", batch_id=batch_id)
    hook.cancel_run_batch(batch_id)
    assert hook.get_batch(batch_id)["status"] == "STOPPING"


def test_a_batch_and_its_runs_are_deleted_separately(
    hook: HealthOmicsHook, omics: Control, batch: Callable[..., str]
) -> None:
    """First the runs, then the batch itself."""
    batch_id = batch(2)
    omics.advance_clock(24 * 3600)
    hook.delete_run_batch(batch_id)
    omics.advance_clock(24 * 3600)
    assert hook.get_batch(batch_id)["status"] == "RUNS_DELETED"
    assert list(hook.list_runs()) == []
    hook.delete_batch(batch_id)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        hook.get_batch(batch_id)


# --- defaults ---


def test_defaults_of_the_hook(hook: HealthOmicsHook) -> None:
    """REMOVE and DYNAMIC."""
    request = hook.build_start_run_request(workflow_id=WORKFLOW, role_arn=ROLE, output_uri=OUTPUT)
    assert (request["retentionMode"], request["storageType"]) == ("REMOVE", "DYNAMIC")


def test_defaults_of_the_connection_take_precedence(
    hook: HealthOmicsHook, connection: Callable[..., None]
) -> None:
    """They come from ``service_config.omics``."""
    connection(omics={"role_arn": ROLE, "output_uri": OUTPUT, "retention_mode": "RETAIN", "tags": {"a": "b"}})
    request = hook.build_start_run_request(workflow_id=WORKFLOW)
    request.pop("workflowId")
    assert request == {
        "roleArn": ROLE,
        "outputUri": OUTPUT,
        "retentionMode": "RETAIN",
        "storageType": "DYNAMIC",
        "tags": {"a": "b"},
    }


def test_start_run_needs_nothing_but_a_workflow(
    hook: HealthOmicsHook, connection: Callable[..., None], omics: Control
) -> None:
    """The connection has the common settings of all runs."""
    connection(omics={"role_arn": ROLE, "output_uri": OUTPUT, "log_level": "ALL", "tags": {"a": "b"}})
    run = hook.get_run(hook.start_run(workflow_id=WORKFLOW)["id"])
    assert (run["roleArn"], run["outputUri"], run["logLevel"], run["tags"]) == (
        ROLE,
        OUTPUT,
        "ALL",
        {"a": "b"},
    )
    assert (run["retentionMode"], run["storageType"]) == ("REMOVE", "DYNAMIC")


@pytest.mark.parametrize("name", ["workflow_id", "run_id", "name", "request_id", "parameters"])
def test_fields_that_identify_a_run_have_no_default(
    hook: HealthOmicsHook, connection: Callable[..., None], name: str
) -> None:
    """A default request ID would start one run only, forever."""
    connection(omics={name: "1"})
    assert name not in hook.connection_defaults


def test_an_unknown_key_of_the_connection_is_logged_as_a_warning(
    hook: HealthOmicsHook, connection: Callable[..., None], logged: Callable[[], str]
) -> None:
    """A misspelt default is not silently ignored, and its value is not logged."""
    connection(omics={"rol_arn": "canary", "endpoint_url": "http://localhost:1"})
    assert "rol_arn" not in hook.connection_defaults
    text = logged()
    assert "rol_arn" in text
    assert "endpoint_url" not in text
    assert "canary" not in text


@pytest.mark.parametrize("aws_conn_id", [None, ""])
def test_it_works_without_a_connection(omics: Control, aws_conn_id: str | None) -> None:
    """It uses boto3's own search for credentials, and the hook's own defaults."""
    hook = HealthOmicsHook(aws_conn_id=aws_conn_id)
    assert hook.start_run(**RUN)["id"] == omics.runs()[0]["id"]


def test_no_region_is_one_clear_error(omics: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists the places where a region can be set."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(HealthOmicsRequestError, match="region_name"):
        HealthOmicsHook().start_run(**RUN)
    assert omics.calls() == []


@pytest.fixture
def _aws_itself(omics: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call AWS's own endpoints."""
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_aws_itself")
@pytest.mark.parametrize("region", ["eu-west-3", "us-esat-1", "cn-north-1"])
def test_a_region_without_healthomics_is_refused(region: str) -> None:
    """At once and with the regions that have it, instead of a host name that is never found."""
    with pytest.raises(HealthOmicsRequestError) as raised:
        HealthOmicsHook(region_name=region).start_run(**RUN)
    assert f"region_name {region} has no HealthOmics endpoint" in str(raised.value)
    assert "ap-northeast-2" in str(raised.value)
    assert isinstance(raised.value, AirflowFailException)


@pytest.mark.usefixtures("_aws_itself")
@pytest.mark.parametrize("region", ["us-east-2", "fips-us-east-1", "il-central-1"])
def test_a_region_with_healthomics_is_accepted(region: str) -> None:
    """An old botocore, which knows fewer regions, makes no difference."""
    assert HealthOmicsHook(region_name=region).conn.meta.endpoint_url.startswith("https://omics")


@pytest.mark.usefixtures("_aws_itself")
def test_a_region_of_a_custom_endpoint_is_accepted(connection: Callable[..., None]) -> None:
    """A region may be newer than botocore."""
    url = "https://omics.eu-west-3.amazonaws.com"
    connection(region_name="eu-west-3", service_config={"omics": {"endpoint_url": url}})
    assert HealthOmicsHook().conn.meta.endpoint_url == url


@pytest.mark.parametrize("where", ["argument", "connection"])
def test_the_region_is_configurable(omics: Control, connection: Callable[..., None], where: str) -> None:
    """By an argument, or in the connection's extra."""
    connection(region_name="eu-west-1" if where == "connection" else "us-west-2")
    hook = HealthOmicsHook(region_name="eu-west-1" if where == "argument" else None)
    hook.start_run(**RUN)
    assert omics.runs()[0]["region"] == "eu-west-1"


def test_a_hook_makes_no_call_at_construction(omics: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAG files create hooks, too."""
    monkeypatch.setattr(boto3.session.Session, "client", lambda *_, **__: pytest.fail("a client was made"))
    HealthOmicsHook(aws_conn_id="there_is_no_such_connection")


def test_every_public_method_is_documented() -> None:
    """Its docstring refers to boto3's method."""
    for name in (
        "start_run",
        "get_run",
        "list_runs",
        "list_run_tasks",
        "get_run_task",
        "cancel_run",
        "delete_run",
        "start_run_batch",
        "get_batch",
        "list_batches",
        "list_runs_in_batch",
        "cancel_run_batch",
        "delete_run_batch",
        "delete_batch",
    ):
        assert "Omics." in (inspect.getdoc(getattr(HealthOmicsHook, name)) or "")


# --- a connection that hides another one ---


@pytest.mark.parametrize(("defaults", "warns"), [({}, True), ({"output_uri": OUTPUT}, False)])
def test_a_connection_of_the_environment_is_named_if_a_default_is_missing(
    omics: Control,
    connection: Callable[..., None],
    logged: Callable[[], str],
    defaults: dict[str, str],
    warns: bool,
) -> None:
    """Amazon MWAA has an empty aws_default, which hides that of the metadata database."""
    connection(omics=defaults)
    with pytest.raises(HealthOmicsRequestError, match="role_arn is required"):
        HealthOmicsHook().start_run(workflow_id=WORKFLOW)
    assert ("AIRFLOW_CONN_AWS_DEFAULT" in logged()) is warns
    assert omics.calls() == []


# --- endpoints ---


@pytest.fixture(scope="module")
def endpoint() -> Any:
    """A server on a loopback address, which has no host prefixes."""
    with HealthOmicsServer(any_workflow=True) as server:
        yield server.endpoint_url


def host_of(hook: HealthOmicsHook) -> str:
    """Return the URL that GetRun calls, without a call."""
    urls: list[str] = []

    def note(request: Any, **_: Any) -> None:
        urls.append(request.url)
        raise Crash

    hook.conn.meta.events.register("before-send.omics", note)
    with pytest.raises(Crash):
        hook.get_run("1")
    return urls[0].rpartition("/run/")[0]


@pytest.mark.parametrize("where", ["connection", "service", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_OMICS"])
def test_a_custom_endpoint_works_without_further_settings(
    endpoint: str, connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The user need not know about host prefixes, wherever the endpoint is set."""
    if where == "connection":
        connection(endpoint_url=endpoint)
    elif where == "service":
        connection(omics={"endpoint_url": endpoint})
    else:
        monkeypatch.setenv(where, endpoint)
    run = HealthOmicsHook().start_run(**RUN)
    assert HealthOmicsHook().get_run(run["id"])["uuid"] == run["uuid"]


def test_aws_itself_keeps_its_host_prefixes(connection: Callable[..., None]) -> None:
    """Without a custom endpoint the runs' operations go to ``workflows-omics``."""
    assert host_of(HealthOmicsHook()) == "https://workflows-omics.us-east-1.amazonaws.com"


def test_the_client_of_s3_has_the_connection_too(connection: Callable[..., None]) -> None:
    """S3's endpoint in the connection, and the same session, so a role is assumed once."""
    url = "http://127.0.0.1:9"
    connection(service_config={"s3": {"endpoint_url": url}}, config_kwargs={"read_timeout": 7})
    hook: Any = HealthOmicsHook(region_name="eu-west-1")
    client = hook.s3_client
    assert (client.meta.endpoint_url, client.meta.region_name) == (url, "eu-west-1")
    assert client.meta.config.read_timeout == 7
    credentials = [each._request_signer._credentials for each in (client, hook.conn)]
    assert credentials[0] is credentials[1]


def test_the_endpoint_of_another_service_changes_nothing(
    connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only HealthOmics' own endpoint counts as custom."""
    connection(service_config={"s3": {"endpoint_url": "http://127.0.0.1:9"}})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert host_of(HealthOmicsHook()) == "https://workflows-omics.us-east-1.amazonaws.com"


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("form", [Config, dict], ids=["config", "mapping"])
def test_an_explicit_host_prefix_setting_takes_precedence(
    connection: Callable[..., None], explicit: bool, form: Callable[..., Any]
) -> None:
    """Prefixed names of a custom endpoint may resolve."""
    connection(endpoint_url="http://omics.test:9")
    hook = HealthOmicsHook(config=form(inject_host_prefix=explicit))
    assert host_of(hook) == ("http://workflows-omics.test:9" if explicit else "http://omics.test:9")


def test_a_host_prefix_setting_in_the_connection_takes_precedence(connection: Callable[..., None]) -> None:
    """``config_kwargs`` of the connection is explicit, too."""
    connection(endpoint_url="http://omics.test:9", config_kwargs={"inject_host_prefix": True})
    assert host_of(HealthOmicsHook()) == "http://workflows-omics.test:9"


def test_prefixes_can_be_disabled_for_aws_itself() -> None:
    """An explicit setting applies without a custom endpoint, too."""
    hook = HealthOmicsHook(config={"inject_host_prefix": False})
    assert host_of(hook) == "https://omics.us-east-1.amazonaws.com"


def test_other_settings_of_the_client_are_kept(connection: Callable[..., None]) -> None:
    """Disabling prefixes keeps the user's other settings."""
    connection(endpoint_url="http://omics.test:9", config_kwargs={"connect_timeout": 7})
    config: Any = HealthOmicsHook().conn.meta.config
    assert config.connect_timeout == 7
    hook = HealthOmicsHook(config={"read_timeout": 8, "retries": {"total_max_attempts": 1}})
    config = hook.conn.meta.config
    assert config.read_timeout == 8


def test_endpoints_that_boto3_ignores_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_IGNORE_CONFIGURED_ENDPOINT_URLS leads to AWS itself, which needs its prefixes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert host_of(HealthOmicsHook()) == "https://workflows-omics.us-east-1.amazonaws.com"


def test_the_host_prefix_variable_takes_precedence(
    connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_DISABLE_HOST_PREFIX_INJECTION=false is explicit, too."""
    connection(endpoint_url="http://omics.test:9")
    monkeypatch.setenv("AWS_DISABLE_HOST_PREFIX_INJECTION", "false")
    assert host_of(HealthOmicsHook()) == "http://workflows-omics.test:9"


def test_a_custom_endpoint_in_the_aws_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """It works without knowledge of host prefixes."""
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://omics.test:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert host_of(HealthOmicsHook()) == "http://omics.test:9"
