# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Errors about an unknown id name the id, its origin, and the account and region."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.batches.sample_sheet import read_sample_sheet
from airflow_healthomics.compat import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    Context,
)
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsConnectionNotFoundError,
    HealthOmicsOutcomeLostError,
    HealthOmicsRequestError,
    HealthOmicsRunBatchFailedError,
    HealthOmicsRunFailedError,
)
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.place import describe_place
from airflow_healthomics.operators import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsCancelRunOperator,
)
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.batch_attempts import batch_of, crashing
from tests.unit.conftest import Clock, FakeTaskInstance, Store, context_of, needs_store, try_of
from tests.unit.histories import start_of
from tests.unit.kinds import KINDS, Kind
from tests.unit.reports.conftest import Lines
from tests.unit.templating.test_typed import dag_of

#: moto's account.
PLACE = "account 123456789012, region us-east-1"


# --- runs and batches ---


@pytest.mark.parametrize(
    ("run_id", "source"),
    [
        ("999", "the argument run_id"),
        ("{{ ti.xcom_pull(task_ids='start', key='id') }}", "XCom id of task start"),
        ("{{ ti.xcom_pull('start', key='id') ~ '' }}", "XCom id of task start"),
        ("{{ 999 }}", "a template"),
    ],
)
def test_a_sensor_names_the_missing_run(omics: Control, run_id: str, source: str) -> None:
    """The error adds that clearing the sensor starts nothing."""
    with dag_of(False):
        sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run_id, deferrable=False)
    context = context_of(FakeTaskInstance(upstream={("start", "id"): "999"}), dag=sensor.dag)
    sensor.render_template_fields(context)
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        sensor.execute(context)
    text = str(caught.value)
    assert f"HealthOmics run 999 was not found in {PLACE}" in text
    assert f"The run id comes from {source}." in text
    assert "clear the task that starts it" in text
    assert "start it again" not in text


def test_a_batch_sensor_names_the_missing_batch(omics: Control) -> None:
    """In the same words."""
    with dag_of(False):
        sensor = HealthOmicsRunBatchSensor(
            task_id="a_task", batch_id="{{ ti.xcom_pull('start') }}", deferrable=False
        )
    context = context_of(FakeTaskInstance(upstream={("start", "return_value"): "999"}), dag=sensor.dag)
    sensor.render_template_fields(context)
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        sensor.execute(context)
    assert f"HealthOmics batch 999 was not found in {PLACE}" in str(caught.value)
    assert "The batch id comes from XCom return_value of task start." in str(caught.value)


@pytest.mark.parametrize("status", ["CANCELLED", "DELETED"])
def test_a_sensor_never_says_that_clearing_it_starts_a_run(
    omics: Control, started: Callable[..., Any], status: str
) -> None:
    """A run is started by another task."""
    run = started()
    omics.advance(status, run_id=run["id"])
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id=run["id"], deferrable=False)
    with pytest.raises(HealthOmicsRunFailedError, match="clear the task that starts it") as caught:
        sensor.execute(context_of(FakeTaskInstance()))
    assert "start it again" not in str(caught.value)


@pytest.mark.parametrize(
    "task", [HealthOmicsRunSensor, HealthOmicsCancelRunOperator, HealthOmicsRunBatchSensor]
)
@pytest.mark.parametrize("value", [None, "None"], ids=repr)
def test_a_missing_xcom_as_id(omics: Control, task: Any, value: Any) -> None:
    """The error does not take it for the DAG-run ID."""
    name = "batch_id" if task is HealthOmicsRunBatchSensor else "run_id"
    with pytest.raises(HealthOmicsRequestError) as caught:
        task(task_id="a_task", **{name: value}).execute(context_of(FakeTaskInstance()))
    assert f"{name} is None: an XCom is missing" in str(caught.value)
    assert "DAG-run ID" not in str(caught.value)
    assert omics.calls() == []


@pytest.mark.parametrize(
    ("task", "fields", "operation"),
    [
        (HealthOmicsCancelRunOperator, {"run_id": "999"}, "CancelRun"),
        (HealthOmicsCancelRunBatchOperator, {"batch_id": "999"}, "CancelRunBatch"),
    ],
)
def test_a_refused_call_names_where_it_looked(
    omics: Control, task: Any, fields: dict[str, Any], operation: str
) -> None:
    """Account, region and id."""
    with pytest.raises(HealthOmicsApiError) as caught:
        task(task_id="a_task", **fields).execute(context_of(FakeTaskInstance()))
    text = str(caught.value)
    assert f"{operation} for {'batch' if 'Batch' in operation else 'run'} 999" in text
    assert f"of the connection ({PLACE})" in text


@KINDS
def test_a_refused_start_names_the_ids_that_may_not_exist(
    omics: Control, context: Context, kind: Kind
) -> None:
    """Account, region, and the ids of the request."""
    omics.inject_error(kind.operation("Start"), "ResourceNotFoundException", status=404)
    with pytest.raises(HealthOmicsApiError) as caught:
        kind.task(workflow_id="7654321", run_group_id="1234567").execute(context)
    text = str(caught.value)
    assert "(workflowId 7654321, runGroupId 1234567)" in text
    assert PLACE in text


@needs_store
def test_a_run_of_unknown_outcome_names_where_it_was_looked_for(
    omics: Control, client: Any, clock: Clock
) -> None:
    """Account and region."""
    store, ti = Store(), FakeTaskInstance(max_tries=1)
    run_id = start_of(log_level="OFF").execute(try_of(ti, store))
    omics.advance("COMPLETED", run_id=run_id)
    client.delete_run(id=run_id)
    clock.advance(3600)
    ti.try_number = 2
    with pytest.raises(HealthOmicsOutcomeLostError) as caught:
        start_of(log_level="OFF").execute(try_of(ti, store))
    assert PLACE in str(caught.value)


# --- the account ---


def test_a_failed_look_up_of_the_account_is_logged(omics: Control) -> None:
    """The error still has the region."""
    log = Lines()
    hook = HealthOmicsHook()
    _ = hook.conn
    error = ClientError({"Error": {"Code": "AccessDenied"}}, "GetCallerIdentity")
    with crashing("GetCallerIdentity", error=error):
        place = describe_place(hook, log)
    assert place == "region us-east-1 (the account could not be looked up)"
    assert "sts:GetCallerIdentity" in log.lines[0]


def test_a_timeout_while_the_account_is_looked_up_does_not_replace_the_error(
    omics: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow may retry a timeout, whereas a sensor's failure is permanent."""

    def time_out(*_: Any, **__: Any) -> Any:
        raise AirflowTaskTimeout("from a signal handler")

    monkeypatch.setattr(BestEffortClient, "call", time_out)
    sensor = HealthOmicsRunSensor(task_id="a_task", run_id="999", deferrable=False, report_usage=False)
    with pytest.raises(HealthOmicsRunFailedError, match=r"not found in region us-east-1 \(") as caught:
        sensor.execute(context_of(FakeTaskInstance()))
    assert isinstance(caught.value, AirflowFailException)


def test_aws_is_not_called_about_a_local_healthomics(
    omics: Control, connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traffic remains on loopback."""
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
        monkeypatch.delenv(name)
    connection(omics={"endpoint_url": "http://localhost:1"})
    asked: list[str] = []

    def call(self: BestEffortClient, permission: str, **_: Any) -> dict[str, Any]:
        asked.append(permission)
        return {}

    monkeypatch.setattr(BestEffortClient, "call", call)
    assert describe_place(HealthOmicsHook(), Lines()).startswith("region us-east-1 (")
    assert asked == []


# --- the Airflow connection ---


@pytest.fixture
def _without_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide all connections from Airflow."""

    def get_connection(cls: Any, conn_id: str) -> Any:
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    base = next(each for each in HealthOmicsHook.__mro__ if "get_connection" in vars(each))
    monkeypatch.setattr(base, "get_connection", classmethod(get_connection))


SHEET = {"run_settings": None, "sample_sheet": "s3://bucket/a.csv", "columns": {"run_setting_id": "a"}}


@pytest.mark.usefixtures("_without_connections")
@pytest.mark.parametrize(
    "make",
    [
        lambda **fields: start_of(**fields),
        lambda **fields: start_of(on_clear="new", **fields),
        lambda **fields: batch_of(**SHEET, on_clear="new", **fields),
        lambda **fields: HealthOmicsRunSensor(task_id="a_task", run_id="1", deferrable=False, **fields),
        lambda **fields: HealthOmicsCancelRunOperator(task_id="a_task", run_id="1", **fields),
    ],
    ids=["start", "start-new", "batch", "sensor", "cancel"],
)
def test_a_connection_that_does_not_exist_is_an_error(
    omics: Control, context: Context, make: Callable[..., Any]
) -> None:
    """The worker's own credentials, which may belong to another account, are not used."""
    task = make(aws_conn_id="laboratory")
    for _ in range(2):
        with pytest.raises(HealthOmicsConnectionNotFoundError, match="connection 'laboratory'") as caught:
            task.execute(context)
    # Airflow reports its own outages in the same way.
    assert not isinstance(caught.value, AirflowFailException)
    assert pickle.loads(pickle.dumps(caught.value)).aws_conn_id == "laboratory"
    assert omics.calls() == []


@pytest.mark.usefixtures("_without_connections")
@pytest.mark.parametrize("aws_conn_id", ["aws_default", None])
def test_the_default_connection_need_not_exist(
    omics: Control, context: Context, logged: Callable[[], str], aws_conn_id: str | None
) -> None:
    """A warning says so; ``None`` requests boto3's own credentials."""
    assert start_of(aws_conn_id=aws_conn_id).execute(context)
    assert ("aws_default" in logged()) is (aws_conn_id is not None)


@pytest.mark.usefixtures("_without_connections")
def test_a_sheet_is_not_read_without_its_connection(bucket: Any) -> None:
    """Whether an argument or the URI names it."""
    bucket.put_object(Bucket="settings-bucket", Key="a.csv", Body=b"a\nx\n")
    columns = {"run_setting_id": "a"}
    assert read_sample_sheet("s3://settings-bucket/a.csv", columns=columns) == [{"run_setting_id": "x"}]
    for uri, aws_conn_id in (
        ("s3://settings-bucket/a.csv", "laboratory"),
        ("s3://laboratory@settings-bucket/a.csv", None),
    ):
        with pytest.raises(HealthOmicsConnectionNotFoundError):
            read_sample_sheet(uri, columns=columns, aws_conn_id=aws_conn_id)
