# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""All clients of a process share a session, so a role of the connection is assumed only once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from airflow_healthomics.compat import AirflowException, Context
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW, FakeTaskInstance, Tasks, intercepting, try_of
from tests.unit.histories import WAYS, waiting

DEFAULTS = {"role_arn": ROLE, "output_uri": OUTPUT}
AIRFLOW_ROLE = "arn:aws:iam::123456789012:role/airflow"

#: Processes of a task that waits: of a worker, or of a worker, the triggerer and a worker.
PROCESSES = {False: 1, True: 3}


@pytest.fixture
def calls(omics: Control, connection: Callable[..., None]) -> Iterator[Counter[str]]:
    """Count the calls of a connection with a role, by operation."""
    connection(role_arn=AIRFLOW_ROLE, region_name="us-east-1", service_config={"omics": DEFAULTS})
    counts: Counter[str] = Counter()

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        counts[operation] += 1
        return call()

    with intercepting(respond):
        yield counts


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_task_assumes_its_role_once_in_each_process(
    omics: Control,
    context: Context,
    tasks: Tasks,
    calls: Counter[str],
    deferrable: bool,
    status: Literal["COMPLETED", "FAILED"],
) -> None:
    """The clients for start, wait, kill guard, usage report and diagnosis share it."""
    failure: dict[str, Any] = {
        "failure_reason": "RUN_TASK_FAILED",
        "tasks": [{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR"}],
    }
    omics.plan_run(status=status, **(failure if status == "FAILED" else {}))
    try:
        run_id = tasks.run(waiting(deferrable), context)
        assert status == "COMPLETED"
    except AirflowException as error:
        run_id = getattr(error, "run_id")  # noqa: B009 - our own errors have it
        assert status == "FAILED"
    assert calls["AssumeRole"] == PROCESSES[deferrable]
    assert calls["GetLogEvents"] >= 1

    calls.clear()
    sensor = HealthOmicsRunSensor(task_id="wait", run_id=run_id, deferrable=deferrable, cancel_on_kill=True)
    try:
        sensor.execute(try_of(FakeTaskInstance(task_id="wait"), None))
        assert status == "COMPLETED"
    except AirflowException:
        assert status == "FAILED"
    assert (calls["AssumeRole"], calls["GetRun"]) == (1, 1)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_assumes_its_role_once_in_each_process(
    context: Context, tasks: Tasks, bucket: Any, calls: Counter[str], deferrable: bool
) -> None:
    """The client of S3 shares it, too."""
    tasks.run(
        lambda: HealthOmicsStartRunBatchOperator(
            task_id="cohort",
            workflow_id=WORKFLOW,
            run_settings=[{"run_setting_id": f"s{number}"} for number in range(101)],
            settings_s3_uri="s3://settings-bucket/runs",
            wait_for_completion=True,
            deferrable=deferrable,
        ),
        context,
    )
    assert calls["PutObject"] > 1
    assert calls["AssumeRole"] == PROCESSES[deferrable]


def test_expired_credentials_are_renewed_for_all_clients(calls: Counter[str]) -> None:
    """Botocore renews them with one call."""

    def expire(operation: str, call: Callable[[], Any]) -> Any:
        answer = call()
        if operation == "AssumeRole":
            answer["Credentials"]["Expiration"] = datetime.now(UTC) + timedelta(seconds=60)
        return answer

    hook = HealthOmicsHook()
    with intercepting(expire):
        omics, logs, s3 = hook.conn, hook.client_for("logs"), hook.client_for("s3")
    assert calls == {"AssumeRole": 1}
    for _ in range(2):
        omics.list_runs()
        logs.describe_log_groups()
        s3.list_buckets()
    assert calls == {"AssumeRole": 2, "ListRuns": 2, "DescribeLogGroups": 2, "ListBuckets": 2}


def test_hooks_of_different_connections_share_nothing(
    calls: Counter[str], connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do two hooks of a connection that was edited in between."""
    hooks = [HealthOmicsHook()]
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "aws://?region_name=us-east-1")
    hooks.append(HealthOmicsHook(aws_conn_id="other"))
    keys = {hook.get_session(hook.region_name).get_credentials().access_key for hook in hooks}
    connection(role_arn=f"{AIRFLOW_ROLE}-2", region_name="us-east-1")
    edited = HealthOmicsHook()
    keys.add(edited.get_session(edited.region_name).get_credentials().access_key)
    assert (len(keys), calls["AssumeRole"]) == (3, 2)
