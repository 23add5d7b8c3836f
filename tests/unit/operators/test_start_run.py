# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The operator that starts a run: request, validation, and the wait on a worker or after a deferral."""

from __future__ import annotations

import inspect
import json
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import boto3
import pytest

from airflow_healthomics.compat import AirflowException, AirflowFailException, Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsRequestError,
    HealthOmicsRunFailedError,
)
from airflow_healthomics.operators import (
    HealthOmicsActivateReadSetsOperator,
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsCancelRunOperator,
    HealthOmicsCreateConfigurationOperator,
    HealthOmicsCreateRunCacheOperator,
    HealthOmicsCreateRunGroupOperator,
    HealthOmicsDeleteConfigurationOperator,
    HealthOmicsDeleteRunBatchOperator,
    HealthOmicsDeleteRunCacheOperator,
    HealthOmicsDeleteRunGroupOperator,
    HealthOmicsDeleteRunOperator,
    HealthOmicsDeleteRunsOperator,
    HealthOmicsExportReadSetsOperator,
    HealthOmicsImportReadSetsOperator,
    HealthOmicsImportReferenceOperator,
    HealthOmicsRegisterWorkflowOperator,
    HealthOmicsStartRunBatchOperator,
    HealthOmicsStartRunOperator,
)
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.requests.run import ARGUMENTS
from airflow_healthomics.sensors import (
    HealthOmicsReadSetActivationJobSensor,
    HealthOmicsReadSetExportJobSensor,
    HealthOmicsReadSetImportJobSensor,
    HealthOmicsReferenceImportJobSensor,
    HealthOmicsRunBatchSensor,
    HealthOmicsRunSensor,
)
from tests.healthomics import Control, input_shape
from tests.sdk import TaskDeferred
from tests.unit.conftest import (
    DAG_RUN_ID,
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    Clock,
    DeadlineError,
    FakeTaskInstance,
    Tasks,
    calls_of,
    context_of,
    write_links,
)
from tests.unit.histories import WAYS, start_of, waiting

CANARY = "canary-patient-7"
LINKS = [
    "healthomics_run_link",
    "healthomics_run_log_link",
    "healthomics_engine_log_link",
    "healthomics_outputs_link",
]


# --- start ---


def test_it_starts_a_run_and_returns_its_id(omics: Control, context: Context) -> None:
    """One call, one run."""
    run_id = start_of().execute(context)
    (run,) = omics.runs()
    assert run_id == run["id"]
    assert isinstance(run_id, str)
    assert calls_of(omics, "StartRun") == 1


def test_it_does_not_wait_by_default(omics: Control, context: Context, clock: Clock) -> None:
    """The sensor does that."""
    start_of(deferrable=True).execute(context)
    assert clock.elapsed == 0
    assert calls_of(omics, "GetRun") == 0


def test_it_duplicates_a_run(
    omics: Control, context: Context, client: Any, started: Callable[..., Any]
) -> None:
    """It has the original's settings."""
    original = started(retentionMode="RETAIN", parameters={"a": 1})
    copy = client.get_run(id=start_of(run_id=original["id"]).execute(context))
    assert copy["id"] != original["id"]
    assert (copy["retentionMode"], copy["parameters"], copy["runId"]) == ("RETAIN", {"a": 1}, original["id"])


EVERY_ARGUMENT: dict[str, Any] = {
    "workflow_id": WORKFLOW,
    "workflow_type": "PRIVATE",
    "workflow_version_name": "v1",
    "workflow_owner_id": "123456789012",
    "role_arn": ROLE,
    "output_uri": OUTPUT,
    "output_uri_prefix_mode": "SERVICE_DEFINED",
    "requester_pays_enabled": False,
    "parameters": {"a": [1, 2.5, None, True, {"b": "0042"}]},
    "name": "a-name",
    "request_id": "a-request",
    "retention_mode": "RETAIN",
    "storage_type": "STATIC",
    "storage_capacity": 2400,
    "scratch_storage_mode": "LOCAL",
    "run_group_id": "11",
    "priority": 7,
    "cache_id": "12",
    "cache_behavior": "CACHE_ALWAYS",
    "networking_mode": "VPC",
    "configuration_name": "vpc-1",
    "engine_settings": {"engineVersion": "24.10"},
    "session_policy": '{"Version": "2012-10-17"}',
    "log_level": "ALL",
    "tags": {"team": "genomics"},
}


def camel(argument: str) -> str:
    first, *others = argument.split("_")
    return first + "".join(other.capitalize() for other in others)


def sent_by(operator: Any, context: Context) -> dict[str, Any]:
    """Return the body of the StartRun request that an operator sends."""
    bodies: list[dict[str, Any]] = []
    operator.hook.conn_without_retries.meta.events.register(
        "before-send.omics.StartRun", lambda request, **_: bodies.append(json.loads(request.body))
    )
    with suppress(HealthOmicsApiError):  # the local HealthOmics has no version v1
        operator.execute(context)
    (body,) = bodies
    return body


def test_every_argument_arrives(omics: Control, context: Context) -> None:
    """The request has the DAG author's values, with their types."""
    body = sent_by(start_of(**EVERY_ARGUMENT), context)
    assert {key: repr(value) for key, value in body.items()} == {
        camel(name): repr(value) for name, value in EVERY_ARGUMENT.items()
    }


def test_every_field_of_start_run_is_an_argument() -> None:
    """Of the newest StartRun model that is known here."""
    members = input_shape("StartRun").members
    arguments = inspect.signature(HealthOmicsStartRunOperator.__init__).parameters
    assert set(members) == {camel(name) for name in arguments} & set(members)
    assert {camel(name) for name in EVERY_ARGUMENT} | {"runId", "parametersUri"} == set(members)


@pytest.mark.parametrize("kind", [HealthOmicsStartRunOperator, HealthOmicsStartRunBatchOperator])
def test_airflows_registry_sees_durable_execution(kind: type[Any]) -> None:
    """By an attribute whose name Python mangles (apache/airflow#70291)."""
    assert getattr(kind, f"_{kind.__name__}__supports_durable_execution") is True


@pytest.mark.parametrize("name", [*ARGUMENTS, "deferrable", "waiter_delay", "wait_for_completion"])
def test_an_argument_is_an_attribute(name: str) -> None:
    """Constructors only assign arguments."""
    marker = object()
    assert getattr(start_of(**{name: marker}), name) is marker


def test_the_defaults_of_the_connection_are_used(
    omics: Control, context: Context, with_defaults: None
) -> None:
    """The workflow is the only argument."""
    operator = HealthOmicsStartRunOperator(task_id="a_task", workflow_id=WORKFLOW)
    body = sent_by(operator, context)
    assert (body["roleArn"], body["outputUri"]) == (ROLE, OUTPUT)
    assert (body["retentionMode"], body["storageType"]) == ("REMOVE", "DYNAMIC")


def test_a_duplicate_is_sent_no_built_in_default(
    omics: Control, context: Context, started: Callable[..., Any], with_defaults: None
) -> None:
    """It inherits them."""
    body = sent_by(HealthOmicsStartRunOperator(task_id="a_task", run_id=started()["id"]), context)
    assert not {"retentionMode", "storageType", "storageCapacity", "workflowId"} & body.keys()
    assert (body["roleArn"], body["outputUri"]) == (ROLE, OUTPUT)


# --- request ID and name ---


def test_the_request_id_begins_with_the_dag_run_id(omics: Control, context: Context) -> None:
    """The run's name is the same, so ListRuns finds it."""
    start_of().execute(context)
    (run,) = omics.runs()
    assert run["requestId"].startswith(f"{DAG_RUN_ID}.")
    assert run["name"] == run["requestId"]


def test_a_retry_starts_no_second_run(omics: Control) -> None:
    """A retry of the same task instance returns the run of the first try."""
    ids = {
        start_of().execute(context_of(FakeTaskInstance(try_number=number, max_tries=3)))
        for number in (1, 2, 3)
    }
    assert len(ids) == len(omics.runs()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "another_dag"},
        {"task_id": "another_task"},
        {"run_id": "manual__2026-11-23"},
        {"map_index": 0},
        {"map_index": 1},
        {"max_tries": 1},
    ],
    ids=str,
)
def test_another_task_instance_starts_another_run(omics: Control, other: dict[str, Any]) -> None:
    """Each mapped task, each DAG run, and each Clear (which raises ``max_tries``)."""
    first = start_of().execute(context_of(FakeTaskInstance()))
    second = start_of().execute(context_of(FakeTaskInstance(**other)))
    assert first != second


def test_another_deployment_starts_another_run(omics: Control) -> None:
    """Its DAG run with the same id started at another time."""
    first = start_of().execute(context_of(FakeTaskInstance()))
    context: Any = context_of(FakeTaskInstance())
    context["dag_run"].start_date += timedelta(seconds=1)
    assert start_of().execute(context) != first


def test_a_dag_run_without_a_start_date_is_no_error(omics: Control, context: Any) -> None:
    """The start date may be None."""
    context["dag_run"].start_date = None
    assert start_of().execute(context) == omics.runs()[0]["id"]


def test_an_unmapped_task_may_have_no_map_index(omics: Control) -> None:
    """None means -1."""
    ids = {start_of().execute(context_of(FakeTaskInstance(map_index=index))) for index in (None, -1)}
    assert len(ids) == 1


def test_any_dag_run_id_is_accepted(omics: Control) -> None:
    """A long one, and one with any characters, become a valid request ID."""
    for run_id in ("x" * 250, "a\tb\nc", "ünï ☃ 7", " "):
        start_of().execute(context_of(FakeTaskInstance(run_id=run_id)))
    for run in omics.runs():
        assert len(run["requestId"]) <= 128
        assert not [c for c in run["requestId"] if unicodedata.category(c).startswith("C")]


def test_an_explicit_request_id_and_name_are_used(omics: Control, context: Context) -> None:
    """They are sent unchanged."""
    start_of(request_id="mine", name="my run").execute(context)
    (run,) = omics.runs()
    assert (run["requestId"], run["name"]) == ("mine", "my run")


# --- XComs and links ---


def test_the_run_is_pushed(omics: Control, context: Context, ti: FakeTaskInstance, client: Any) -> None:
    """XCom ``run`` distinguishes the run from any other."""
    run = client.get_run(id=start_of().execute(context))
    assert ti.xcoms["run"] == {
        "id": run["id"],
        "arn": run["arn"],
        "uuid": run["uuid"],
        "runOutputUri": run["runOutputUri"],
        "requestId": omics.runs()[0]["requestId"],
    }


@pytest.mark.parametrize("do_xcom_push", [True, False])
@pytest.mark.parametrize("link", LINKS)
def test_links_are_pushed_right_after_the_start(
    omics: Control, context: Context, ti: FakeTaskInstance, do_xcom_push: bool, link: str
) -> None:
    """Also with ``do_xcom_push=False``, and before the wait."""
    operator = start_of(do_xcom_push=do_xcom_push, wait_for_completion=True, deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    write_links(operator, context)
    assert ti.xcoms[link].startswith("https://")
    assert link in {extra.xcom_key for extra in HealthOmicsStartRunOperator.operator_extra_links}


def test_without_xcom_only_links_are_pushed(omics: Control, context: Context, ti: FakeTaskInstance) -> None:
    """``do_xcom_push=False`` excludes everything else."""
    operator = start_of(do_xcom_push=False)
    operator.execute(context)
    write_links(operator, context)
    assert set(ti.xcoms) == {*LINKS, XCOM_KEY}


def test_the_links_are_pushed_before_a_wait_on_a_worker(
    omics: Control, context: Context, ti: FakeTaskInstance, clock: Clock
) -> None:
    """A run of hours is worth a look meanwhile."""
    seen: list[set[str]] = []
    clock.at(1, lambda: seen.append(set(ti.xcoms)))
    start_of(wait_for_completion=True, deferrable=False).execute(context)
    assert set(LINKS) <= seen[0]


# --- privacy ---


def test_no_parameter_is_logged_or_pushed(
    omics: Control, context: Context, ti: FakeTaskInstance, tasks: Tasks, logged: Callable[[], str]
) -> None:
    """None from the start of the run to its end."""
    omics.plan_run(status="FAILED", failure_reason="EXPORT_FAILED")
    fields = {
        "parameters": {"sample": CANARY},
        "tags": {"t": CANARY},
        "wait_for_completion": True,
        "deferrable": True,
    }
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        tasks.run(lambda: start_of(**fields), context)
    assert CANARY not in logged()
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(ti.xcoms) + repr(tasks.events) + repr(tasks.deferrals[0].trigger.serialize())


# --- bad input ---

BAD = {
    "both": {"run_id": "7", "workflow_id": WORKFLOW},
    "neither": {"workflow_id": None},
    "no-role": {"role_arn": None},
    "no-output": {"output_uri": None},
    "arn": {"role_arn": "omics"},
    "uri": {"output_uri": "outputs"},
    "static": {"storage_type": "STATIC"},
    "capacity": {"storage_capacity": 1200},
    "priority": {"priority": "high"},
    "priority-range": {"priority": 100_001},
    "enum": {"log_level": "DEBUG"},
    "cache": {"cache_behavior": "CACHE_ALWAYS"},
    "vpc": {"networking_mode": "VPC"},
    "configuration": {"configuration_name": "c"},
    "ready2run": {"workflow_type": "READY2RUN", "storage_type": "DYNAMIC"},
    "parameters-list": {"parameters": [CANARY]},
    "parameters-text": {"parameters": json.dumps({"a": CANARY})},
    "parameters-nan": {"parameters": {"a": float("nan"), "b": CANARY}},
    "parameters-size": {"parameters": {"a": CANARY * 5000}},
    "name": {"name": "x" * 129},
    "tags": {"tags": {str(n): CANARY for n in range(51)}},
    "request-id": {"request_id": "x" * 129},
    "session-policy": {"session_policy": json.dumps(CANARY * 200)},
    "run-id": {"workflow_id": None, "run_id": DAG_RUN_ID},
    "undefined": {"parameters": {"a": "{{ nope }}", "b": CANARY}},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
def test_bad_input_starts_nothing(omics: Control, context: Context, fields: dict[str, Any]) -> None:
    """One clear error before any call, without a value of the user; another try would fail alike."""
    operator = start_of(**fields)
    operator.render_template_fields(context)
    with pytest.raises(HealthOmicsRequestError) as caught:
        operator.execute(context)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AirflowFailException)
    assert CANARY not in str(caught.value)
    assert omics.calls() == []


def test_the_dag_run_id_by_template_is_refused_with_a_hint(omics: Control, context: Context) -> None:
    """``run_id="{{ run_id }}"`` is a likely mistake."""
    operator = start_of(run_id="{{ run_id }}")
    operator.render_template_fields(context)
    with pytest.raises(HealthOmicsRequestError, match="not the DAG-run ID"):
        operator.execute(context)


def test_no_region_is_refused(omics: Control, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(HealthOmicsRequestError, match="region_name"):
        start_of().execute(context)
    assert omics.calls() == []


def test_a_field_newer_than_botocore_is_refused(omics: Control, context: Context) -> None:
    """With the older model of an older botocore."""
    operator = start_of(output_uri_prefix_mode="SERVICE_DEFINED")
    shape: Any = operator.hook.conn.meta.service_model.operation_model("StartRun").input_shape
    kept = dict(shape.members)
    try:
        del shape.members["outputUriPrefixMode"]
        with pytest.raises(HealthOmicsRequestError, match="output_uri_prefix_mode"):
            operator.execute(context)
        assert calls_of(omics, "StartRun") == 0
    finally:
        shape.members.update(kept)


# --- AWS refuses ---


def test_a_refused_start_names_the_permissions(omics: Control, context: Context) -> None:
    """The message has the next step."""
    omics.inject_error("StartRun", "AccessDeniedException")
    with pytest.raises(HealthOmicsApiError, match=r"omics:StartRun.*iam:PassRole") as caught:
        start_of().execute(context)
    assert caught.value.code == "AccessDeniedException"


@pytest.mark.parametrize("code", ["InternalServerException", "RequestTimeoutException"])
def test_a_start_that_fails_once_is_repeated(omics: Control, context: Context, code: str) -> None:
    """A short fault of the service fails no task and starts no second run."""
    omics.inject_error("StartRun", code)
    run_id = start_of(botocore_config=None).execute(context)
    assert [run["id"] for run in omics.runs()] == [run_id]


def test_a_throttled_start_is_not_repeated_on_the_worker(omics: Control, context: Context) -> None:
    """Neither the task nor botocore repeats it; the triggerer does."""
    omics.inject_error("StartRun", "ThrottlingException")
    with pytest.raises(TaskDeferred):
        start_of(botocore_config=None).execute(context)
    assert calls_of(omics, "StartRun") == 1


def test_a_start_whose_response_is_lost_starts_one_run(omics: Control, context: Context) -> None:
    """The repeated request returns the run of the first one."""
    omics.inject_error("StartRun", "InternalServerException", when="after")
    run_id = start_of(botocore_config=None).execute(context)
    assert [run["id"] for run in omics.runs()] == [run_id]
    assert calls_of(omics, "StartRun") == 2


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
def test_a_passing_fault_is_no_permanent_failure(omics: Control, context: Context, code: str) -> None:
    """The start waits its turn in the triggerer."""
    omics.inject_error("StartRun", code, times=100)
    with pytest.raises(TaskDeferred):
        start_of().execute(context)


# --- validate_parameters ---

TEMPLATE = {"reference": {"description": "x"}, "sample": {}, "threads": {"optional": True}}


@pytest.fixture
def workflow(omics: Control) -> str:
    """A workflow with a parameter template."""
    omics.add_workflow("77", parameter_template=TEMPLATE)
    return "77"


def test_validation_reports_all_problems_at_once(omics: Control, context: Context, workflow: str) -> None:
    """All missing and all unknown names, with the nearest known one, and nothing is started."""
    parameters = {"referense": CANARY, "thread": CANARY}
    with pytest.raises(HealthOmicsRequestError) as caught:
        start_of(workflow_id=workflow, parameters=parameters, validate_parameters=True).execute(context)
    message = str(caught.value)
    for word in ("reference", "sample", "referense", "thread", "did you mean threads"):
        assert word in message
    assert CANARY not in message
    assert calls_of(omics, "StartRun") == 0


def test_validation_accepts_valid_parameters(omics: Control, context: Context, workflow: str) -> None:
    """The run starts."""
    fields = {"parameters": {"reference": 1, "sample": 2}, "validate_parameters": True}
    assert start_of(workflow_id=workflow, **fields).execute(context) == omics.runs()[0]["id"]


def test_without_validation_no_workflow_is_read(omics: Control, context: Context, workflow: str) -> None:
    """GetWorkflow requires a permission."""
    start_of(workflow_id=workflow, parameters={"reference": 1, "sample": 2}).execute(context)
    assert calls_of(omics, "GetWorkflow") == 0


def test_validation_without_permission_is_skipped(
    omics: Control, context: Context, workflow: str, logged: Callable[[], str]
) -> None:
    """The log says so, and the run starts: the check is optional."""
    omics.inject_error("GetWorkflow", "AccessDeniedException", times=None)
    fields = {"parameters": {"reference": 1, "sample": CANARY}, "validate_parameters": True}
    assert start_of(workflow_id=workflow, **fields).execute(context) == omics.runs()[0]["id"]
    text = logged()
    assert "omics:GetWorkflow" in text
    assert CANARY not in text


def test_validation_finds_a_ready2run_workflow(omics: Control, context: Context) -> None:
    """GetWorkflow needs the type, as StartRun does."""
    omics.add_workflow("78", type="READY2RUN", parameter_template=TEMPLATE)
    with pytest.raises(HealthOmicsRequestError, match="sample"):
        start_of(workflow_id="78", workflow_type="READY2RUN", validate_parameters=True).execute(context)


def test_validation_of_a_duplicate_reads_the_originals_workflow(
    omics: Control, context: Context, workflow: str, started: Callable[..., Any]
) -> None:
    """Missing parameters are inherited; unknown ones are refused."""
    original = started(workflowId=workflow, parameters={"reference": 1, "sample": 2})
    with pytest.raises(HealthOmicsRequestError, match=r"referense.*did you mean reference"):
        start_of(run_id=original["id"], parameters={"referense": 1}, validate_parameters=True).execute(
            context
        )
    fields = {"validate_parameters": True}
    assert start_of(run_id=original["id"], **fields).execute(context) == omics.runs()[1]["id"]


def test_validation_reads_the_version(omics: Control, context: Context) -> None:
    """The parameter template may differ between versions."""
    omics.add_workflow("77")
    fields: dict[str, Any] = {"workflow_version_name": "v1", "validate_parameters": True}
    with pytest.raises(HealthOmicsApiError):  # this version does not exist
        start_of(workflow_id="77", **fields).execute(context)
    assert calls_of(omics, "GetWorkflowVersion") == 1
    assert calls_of(omics, "GetWorkflow") == 0


# --- waiting: where and how it ends ---


def the_run(omics: Control) -> str:
    run_id: str = omics.runs()[0]["id"]
    return run_id


@pytest.mark.parametrize("deferrable", WAYS)
def test_waiting_for_a_completed_run(
    omics: Control,
    context: Context,
    ti: FakeTaskInstance,
    tasks: Tasks,
    deferrable: bool,
    clock: Clock,
) -> None:
    """The task succeeds, and returns the id and publishes the summary."""
    omics.plan_run(seconds={"RUNNING": 3600})
    assert tasks.run(waiting(deferrable), context) == the_run(omics)
    assert ti.xcoms["summary"]["status"] == "COMPLETED"
    assert ti.xcoms["summary"]["id"] == the_run(omics)
    assert 3600 < clock.elapsed < 3600 + 2 * 60
    assert len(tasks.deferrals) == deferrable


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_waiting_for_a_run_that_does_not_succeed(
    omics: Control,
    context: Context,
    ti: FakeTaskInstance,
    tasks: Tasks,
    clock: Clock,
    deferrable: bool,
    status: str,
) -> None:
    """The same error on a worker and after a deferral, with AWS's reason."""
    omics.plan_run(seconds={"RUNNING": None})
    reason = (
        {"failure_reason": "RUN_TASK_FAILED", "status_message": "Task 7 failed"} if status == "FAILED" else {}
    )
    clock.at(600, lambda: omics.advance(status, run_id=the_run(omics), **reason))
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        tasks.run(waiting(deferrable), context)
    error = caught.value
    assert (error.run_id, error.status) == (the_run(omics), status)
    assert error.failure_reason == reason.get("failure_reason")
    assert the_run(omics) in str(error)
    assert error.console_url
    assert error.console_url in str(error)
    if reason:
        assert "Task 7 failed" in str(error)
    assert clock.elapsed <= 600 + 2 * 60


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
def test_waiting_survives_throttling(
    omics: Control,
    context: Context,
    tasks: Tasks,
    logged: Callable[[], str],
    deferrable: bool,
    code: str,
) -> None:
    """It is no failure of the run, and is logged, but not at each poll."""
    omics.plan_run(seconds={"RUNNING": 600})
    omics.inject_error("GetRun", code, times=12)
    assert tasks.run(waiting(deferrable), context) == the_run(omics)
    # Once in the wait and once before it, and Airflow 2 logs to two places.
    assert 1 <= logged().count(code) <= 4


@pytest.mark.parametrize("deferrable", WAYS)
def test_waiting_survives_lost_connections(
    omics: Control, context: Context, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """An unreachable network is no failure of the run."""
    from botocore.exceptions import EndpointConnectionError

    omics.plan_run(seconds={"RUNNING": 600})
    left = [5]

    def away(**_: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise EndpointConnectionError(endpoint_url="https://omics")

    def with_bad_network() -> HealthOmicsStartRunOperator:
        operator = waiting(deferrable)()
        operator.hook.conn.meta.events.register("before-send.omics.GetRun", away)
        return operator

    assert tasks.run(with_bad_network, context) == the_run(omics)


@pytest.mark.parametrize("deferrable", WAYS)
def test_waiting_without_permission_ends_after_an_hour(
    omics: Control, context: Context, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """A person may add the permission meanwhile, and the message names it."""
    omics.plan_run(seconds={"RUNNING": None})
    clock.at(600, lambda: omics.inject_error("GetRun", "AccessDeniedException", times=None))
    with pytest.raises(HealthOmicsError, match="omics:GetRun") as caught:
        tasks.run(waiting(deferrable), context)
    assert not isinstance(caught.value, AirflowFailException)
    assert "AccessDeniedException" in str(caught.value)
    assert 600 + 3600 <= clock.elapsed <= 600 + 3600 + 3 * 60


def test_a_deferred_wait_that_times_out_is_an_error_that_airflow_retries(
    omics: Control, context: Context, tasks: Tasks
) -> None:
    """``execution_timeout`` bounds the deferral."""
    omics.plan_run(seconds={"RUNNING": None})
    timeout = timedelta(minutes=30)
    with pytest.raises(AirflowException, match=r"[Tt]imeout") as caught:
        tasks.run(waiting(True, execution_timeout=timeout), context)
    assert not isinstance(caught.value, AirflowFailException)
    assert tasks.deferrals[0].timeout == timeout


def test_a_wait_on_a_worker_that_times_out_ends(
    omics: Control, context: Context, tasks: Tasks, clock: Clock
) -> None:
    """Airflow's own timeout error is raised."""
    omics.plan_run(seconds={"RUNNING": None})
    clock.deadline = 1800
    with pytest.raises(DeadlineError):
        tasks.run(waiting(False), context)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_run_that_has_ended_before_the_first_poll_needs_no_wait(
    omics: Control, context: Context, ti: FakeTaskInstance, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """A retry that finds it ended does not defer."""
    start_of().execute(context)
    omics.advance("COMPLETED", run_id=the_run(omics))
    ti.try_number = 2
    assert tasks.run(waiting(deferrable), context) == the_run(omics)
    assert tasks.deferrals == []
    assert clock.elapsed == 0


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_delay_is_configurable(omics: Control, context: Context, tasks: Tasks, deferrable: bool) -> None:
    """Half the delay makes twice as many polls."""
    counts = []
    for number, delay in enumerate((60, 120)):
        omics.plan_run(seconds={"RUNNING": 3600})
        before = calls_of(omics, "GetRun")
        context = context_of(FakeTaskInstance(map_index=number))
        tasks.run(
            partial(start_of, wait_for_completion=True, deferrable=deferrable, waiter_delay=delay), context
        )
        counts.append(calls_of(omics, "GetRun") - before)
    assert counts[0] == pytest.approx(2 * counts[1], abs=3)
    assert counts[0] == pytest.approx(61, abs=3)


@pytest.mark.parametrize("deferrable", WAYS)
def test_stopping_is_waited_out(omics: Control, context: Context, tasks: Tasks, deferrable: bool) -> None:
    """STOPPING precedes COMPLETED, too."""
    omics.plan_run(seconds={"STOPPING": 1000})
    assert tasks.run(waiting(deferrable), context) == the_run(omics)


@pytest.mark.parametrize("deferrable", WAYS)
def test_no_summary_without_xcom(
    omics: Control, context: Context, ti: FakeTaskInstance, tasks: Tasks, deferrable: bool
) -> None:
    """``do_xcom_push=False`` applies at the end, too."""
    tasks.run(waiting(deferrable, do_xcom_push=False), context)
    assert set(ti.xcoms) == {*LINKS, XCOM_KEY}


@pytest.mark.parametrize("deferrable", WAYS)
def test_another_run_with_the_id_is_an_error(
    omics: Control,
    context: Context,
    tasks: Tasks,
    clock: Clock,
    started: Callable[..., Any],
    deferrable: bool,
) -> None:
    """A run is identified by its id and its uuid."""
    omics.set_options(reuse_run_ids=True)
    omics.plan_run(seconds={"RUNNING": None})

    def replace() -> None:
        omics.advance("DELETED", run_id=the_run(omics))
        assert started()["id"] == the_run(omics)

    clock.at(600, replace)
    with pytest.raises(AirflowException, match="uuid") as caught:
        tasks.run(waiting(deferrable), context)
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_connections_settings_survive_the_deferral(
    omics: Control, context: Context, tasks: Tasks, connection: Callable[..., None], deferrable: bool
) -> None:
    """The trigger has the task's region, connection and client settings."""
    omics.plan_run(seconds={"RUNNING": 600})
    tasks.run(waiting(deferrable, region_name="eu-west-1", aws_conn_id=None), context)
    assert {run["region"] for run in omics.runs()} == {"eu-west-1"}
    if deferrable:
        _, arguments = tasks.deferrals[0].trigger.serialize()
        assert (arguments["region_name"], arguments["aws_conn_id"]) == ("eu-west-1", None)
        assert arguments["botocore_config"] == ONE_ATTEMPT


# --- all operators ---

TASKS: dict[Any, dict[str, Any]] = {
    HealthOmicsStartRunOperator: {},
    HealthOmicsCancelRunOperator: {"run_id": "1"},
    HealthOmicsDeleteRunOperator: {"run_id": "1"},
    HealthOmicsDeleteRunsOperator: {"older_than_days": 1},
    HealthOmicsRunSensor: {"run_id": "1"},
    HealthOmicsStartRunBatchOperator: {"workflow_id": "1"},
    HealthOmicsCancelRunBatchOperator: {"batch_id": "1"},
    HealthOmicsDeleteRunBatchOperator: {"batch_id": "1"},
    HealthOmicsRunBatchSensor: {"batch_id": "1"},
    HealthOmicsImportReadSetsOperator: {"sequence_store_id": "1", "sources": []},
    HealthOmicsImportReferenceOperator: {"reference_store_id": "1", "sources": []},
    HealthOmicsExportReadSetsOperator: {
        "sequence_store_id": "1",
        "read_set_ids": [],
        "destination": "s3://a",
    },
    HealthOmicsActivateReadSetsOperator: {"sequence_store_id": "1", "read_set_ids": []},
    HealthOmicsReadSetImportJobSensor: {"sequence_store_id": "1", "job_id": "1"},
    HealthOmicsReferenceImportJobSensor: {"reference_store_id": "1", "job_id": "1"},
    HealthOmicsReadSetExportJobSensor: {"sequence_store_id": "1", "job_id": "1"},
    HealthOmicsReadSetActivationJobSensor: {"sequence_store_id": "1", "job_id": "1"},
    HealthOmicsCreateRunGroupOperator: {"name": "a group"},
    HealthOmicsDeleteRunGroupOperator: {"run_group_id": "1"},
    HealthOmicsCreateRunCacheOperator: {"name": "a cache", "cache_s3_location": "s3://cache/prefix"},
    HealthOmicsDeleteRunCacheOperator: {"cache_id": "1"},
    HealthOmicsCreateConfigurationOperator: {"name": "a-vpc", "subnet_ids": ["subnet-0a1"]},
    HealthOmicsDeleteConfigurationOperator: {"name": "a-vpc"},
    HealthOmicsRegisterWorkflowOperator: {"source": "/a/folder", "name": "a workflow"},
}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_construction_makes_no_call(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler parses DAG files all day: no client, no connection."""
    monkeypatch.setattr(boto3.session.Session, "client", lambda *_, **__: pytest.fail("a client was made"))
    monkeypatch.setattr(boto3.session.Session, "__init__", lambda *_, **__: pytest.fail("a session was made"))
    task(task_id="a_task", aws_conn_id="there_is_no_such_connection", **TASKS[task])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_every_argument_is_documented(task: Any) -> None:
    """On the class, as in Airflow's providers."""
    for name in inspect.signature(task.__init__).parameters:
        if name not in ("self", "kwargs", "args"):
            assert f":param {name}:" in task.__doc__


@pytest.mark.parametrize("field", ["request_id", "name"])
def test_an_empty_request_id_or_name_is_refused(omics: Control, context: Context, field: str) -> None:
    """1 to 128 characters are allowed; an explicit one is used unchanged or refused, never replaced."""
    with pytest.raises(HealthOmicsRequestError, match=field):
        start_of(**{field: ""}).execute(context)


def test_the_advice_is_a_separate_sentence(omics: Control, context: Context) -> None:
    """AWS's messages end without a full stop."""
    omics.inject_error("StartRun", "AccessDeniedException", message="not authorized")
    with pytest.raises(AirflowFailException, match=r"not authorized\. The IAM policy"):
        start_of().execute(context)
