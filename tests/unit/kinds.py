# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Runs and run batches behind one interface, for the tests of behaviour that both share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

import pytest

from airflow_healthomics.exceptions import HealthOmicsRunBatchFailedError, HealthOmicsRunFailedError
from airflow_healthomics.operators import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsCancelRunOperator,
    HealthOmicsDeleteRunBatchOperator,
    HealthOmicsDeleteRunOperator,
)
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger, HealthOmicsRunTrigger
from tests.healthomics import Control, omics_client
from tests.unit.batch_attempts import batch_of, hold_runs
from tests.unit.conftest import ONE_ATTEMPT, OUTPUT, ROLE, WORKFLOW, FakeTaskInstance, try_of
from tests.unit.histories import start_of


class Kind(ABC):
    """
    A kind of resource.

    :ivar name: what a message calls it
    :ivar api_name: its part of the names of operations
    :ivar id_argument: the argument with its id
    :ivar get: the operation that returns its status
    :ivar succeeded: its status after a success
    :ivar failures: the statuses that fail a task
    :ivar task: returns an operator that starts one
    """

    name: str
    api_name: str
    id_argument: str
    get: str
    succeeded: str
    failures: tuple[str, ...]
    error: Any
    cancel: Any
    delete: Any
    sensor: Any
    trigger: Any
    task: Callable[..., Any]

    def __str__(self) -> str:
        return self.name

    def operation(self, verb: str) -> str:
        """Return the name of an operation."""
        return f"{verb}{self.api_name}"

    def by_id(self, resource_id: str) -> dict[str, Any]:
        """Return the argument with the id."""
        return {self.id_argument: resource_id}

    @abstractmethod
    def start(self, omics: Control) -> str:
        """Start one that stays active, and return its id. ``omics.advance("COMPLETED")`` completes it."""

    @abstractmethod
    def start_beside(self, client: Any, name: str | None = None) -> dict[str, Any]:
        """Start one without the code under test, and return the response."""

    def trigger_of(self, resource: dict[str, Any], **fields: Any) -> Any:
        """Return a trigger that waits for one, and cancels it on a kill."""
        arguments = {"uuid": resource["uuid"], "cancel_on_kill": True, "botocore_config": ONE_ATTEMPT}
        return self.trigger(**{**self.by_id(resource["id"]), **arguments, **fields})

    @abstractmethod
    def all(self, omics: Control) -> list[dict[str, Any]]:
        """Return all of this kind."""

    def cancelled(self, omics: Control) -> list[str]:
        """Return the ids of the cancelled ones."""
        return [each["id"] for each in self.all(omics) if each["status"] in ("STOPPING", "CANCELLED")]

    def is_cancelled(self, omics: Control) -> bool:
        """Whether the only one was cancelled."""
        return self.status(omics) in ("STOPPING", "CANCELLED")

    @abstractmethod
    def end(self, omics: Control, status: str) -> None:
        """Bring the only one to a final status, without an Airflow operator."""

    def status(self, omics: Control) -> str:
        """Return the status of the only one."""
        (only,) = self.all(omics)
        return str(only["status"])


class _Run(Kind):
    name = "run"
    api_name = "Run"
    id_argument = "run_id"
    get = "GetRun"
    succeeded = "COMPLETED"
    failures = ("FAILED", "CANCELLED", "DELETED")
    error = HealthOmicsRunFailedError
    cancel = HealthOmicsCancelRunOperator
    delete = HealthOmicsDeleteRunOperator
    sensor = HealthOmicsRunSensor
    trigger = HealthOmicsRunTrigger
    task = staticmethod(start_of)

    def start(self, omics: Control) -> str:
        omics.plan_run(seconds={"RUNNING": None})
        return str(self.start_beside(omics_client())["id"])

    def start_beside(self, client: Any, name: str | None = None) -> dict[str, Any]:
        fields = {"name": name, "requestId": name} if name else {}
        run: dict[str, Any] = client.start_run(roleArn=ROLE, outputUri=OUTPUT, workflowId=WORKFLOW, **fields)
        return run

    def end(self, omics: Control, status: Any) -> None:
        omics.advance(status)

    def all(self, omics: Control) -> list[dict[str, Any]]:
        return omics.runs()


class _Batch(Kind):
    name = "batch"
    api_name = "RunBatch"
    id_argument = "batch_id"
    get = "GetBatch"
    succeeded = "PROCESSED"
    failures = ("FAILED", "CANCELLED", "DELETED", "RUNS_DELETED")
    error = HealthOmicsRunBatchFailedError
    cancel = HealthOmicsCancelRunBatchOperator
    delete = HealthOmicsDeleteRunBatchOperator
    sensor = HealthOmicsRunBatchSensor
    trigger = HealthOmicsRunBatchTrigger
    task = staticmethod(batch_of)

    def start(self, omics: Control) -> str:
        hold_runs(omics)
        return str(batch_of().execute(try_of(FakeTaskInstance())))

    def start_beside(self, client: Any, name: str | None = None) -> dict[str, Any]:
        fields = {"batchName": name, "requestId": name} if name else {}
        batch: dict[str, Any] = client.start_run_batch(
            defaultRunSetting={"roleArn": ROLE, "outputUri": OUTPUT, "workflowId": WORKFLOW},
            batchRunSettings={"inlineSettings": [{"runSettingId": "a"}, {"runSettingId": "b"}]},
            **fields,
        )
        return batch

    def end(self, omics: Control, status: Any) -> None:
        (batch,) = omics.batches()
        match status:
            case "CANCELLED":
                omics.advance_batch("INPROGRESS")
                omics_client().cancel_run_batch(batchId=batch["id"])
            case "DELETED":
                omics.advance_batch("PROCESSED")
                omics_client().delete_batch(batchId=batch["id"])
                return
            case "RUNS_DELETED":
                omics.advance_batch("PROCESSED")
                omics_client().delete_run_batch(batchId=batch["id"])
        omics.advance_batch(status)

    def all(self, omics: Control) -> list[dict[str, Any]]:
        return omics.batches()


RUN: Final[Kind] = _Run()
BATCH: Final[Kind] = _Batch()
KINDS: Final = pytest.mark.parametrize("kind", [RUN, BATCH], ids=str)
