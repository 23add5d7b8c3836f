# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that start a batch, the attempts of a task instance, and where they crash."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from airflow_healthomics.compat import Context
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator
from tests.healthomics import Control
from tests.unit.conftest import (
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    intercepting,
    try_of,
)

#: Where run settings and manifests are stored.
BUCKET = "settings-bucket"
PLACE = f"s3://{BUCKET}/batches"

#: Represents a patient's identifier, in parameters and as the id of a run setting.
CANARY = "canary-patient-7"


def some_settings(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return N run settings."""
    return [{"run_setting_id": f"sample-{number}", **fields} for number in range(count)]


def batch_of(**fields: Any) -> HealthOmicsStartRunBatchOperator:
    """Return a task that starts a batch, of three runs by default."""
    defaults: dict[str, Any] = {
        "task_id": "a_task",
        "role_arn": ROLE,
        "output_uri": OUTPUT,
        "workflow_id": WORKFLOW,
        "botocore_config": ONE_ATTEMPT,
    }
    if "sample_sheet" not in fields:
        defaults["run_settings"] = some_settings(3)
    return HealthOmicsStartRunBatchOperator(**{**defaults, **fields})


@contextmanager
def crashing(
    operation: str, when: str = "before", *, survives: int = 0, error: BaseException | type[Crash] = Crash
) -> Iterator[None]:
    """
    Let the process die before or after a call of an AWS operation, from any client.

    :param operation: by the API's name
    :param when: ``before`` or ``after``
    :param survives: how many calls it makes before that
    :param error: what it dies of
    """
    number = itertools.count(1)

    def respond(called: str, call: Callable[[], Any]) -> Any:
        dies = called == operation and next(number) > survives
        if dies and when == "before":
            raise error
        response = call()
        if dies:
            raise error
        return response

    with intercepting(respond):
        yield


@contextmanager
def calls_on_worker(tasks: Tasks) -> Iterator[list[str]]:
    """Record the operations that the task's processes call, without those of triggers."""
    calls: list[str] = []
    is_firing = False
    fire = tasks.fire

    def firing(*arguments: Any) -> Any:
        nonlocal is_firing
        is_firing = True
        try:
            return fire(*arguments)
        finally:
            is_firing = False

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if not is_firing:
            calls.append(operation)
        return call()

    with intercepting(respond), pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "fire", firing)
        yield calls


class Attempts:
    """
    The tries of one task instance.

    :param fields: arguments of its operator
    """

    def __init__(self, tasks: Tasks, *, with_store: bool = False, retries: int = 5, **fields: Any) -> None:
        self.tasks = tasks
        self.store = Store() if with_store else None
        self.ti = FakeTaskInstance(try_number=0, max_tries=retries)
        self.fields = {"wait_for_completion": True, **fields}

    @property
    def context(self) -> Context:
        """The context of the current attempt."""
        return try_of(self.ti, self.store)

    def again(self, **fields: Any) -> Any:
        """Make the next try, optionally with new arguments that later tries keep, and return its result."""
        self.ti.try_number += 1
        self.fields.update(fields)
        return self.tasks.run(lambda: batch_of(**self.fields), self.context)

    def crash(self, operation: str, when: str = "before", *, survives: int = 0) -> None:
        """Make the next try, which crashes at a call."""
        with crashing(operation, when, survives=survives), pytest.raises(Crash):
            self.again()

    def clear(self) -> None:
        """Clear the task: Airflow adds the same number of retries again."""
        self.ti.max_tries = self.ti.try_number + 5


def objects() -> dict[str, Any]:
    """Return the objects in the bucket, by key."""
    s3 = boto3.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        item["Key"]: json.loads(s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
        for item in listed
    }


def object_at(uri: str) -> Any:
    """Return the JSON object at an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return json.loads(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def setting_ids(client: Any, batch_id: str) -> list[str]:
    """Return the ids of the run settings of a batch, in its order."""
    pages = client.get_paginator("list_runs_in_batch").paginate(batchId=batch_id)
    return [run["runSettingId"] for page in pages for run in page["runs"]]


def fail_runs(omics: Control, *run_setting_ids: str, reason: str = "RUN_TASK_FAILED") -> None:
    """Let the next run of each of these settings fail."""
    for run_setting_id in run_setting_ids:
        omics.plan_run(run_setting_id=run_setting_id, status="FAILED", failure_reason=reason)


def hold_runs(omics: Control) -> None:
    """Let runs stay RUNNING until a test moves them."""
    omics.plan_run(times=None, seconds={"RUNNING": None})
