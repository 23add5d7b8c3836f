# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated HealthOmics responds like the local one, in all fields that the package reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.healthomics import mock_healthomics, omics_client
from tests.simulation import clients
from tests.simulation.scheduler import Scheduler
from tests.simulation.service import Fate, SimulatedService

RUN = {
    "roleArn": "arn:aws:iam::123456789012:role/omics",
    "outputUri": "s3://outputs/results",
    "workflowId": "1234567",
    "name": "a name",
    "requestId": "request-1",
    "retentionMode": "REMOVE",
}
SETTING = {"roleArn": RUN["roleArn"], "outputUri": RUN["outputUri"], "workflowId": RUN["workflowId"]}
BATCH = {
    "batchName": "a batch",
    "requestId": "request-2",
    "defaultRunSetting": SETTING,
    "batchRunSettings": {"inlineSettings": [{"runSettingId": "one"}, {"runSettingId": "two"}]},
}

#: Members that the package reads, by operation.
READ = {
    "start_run": ("id", "arn", "uuid", "status", "runOutputUri"),
    "get_run": (
        "id",
        "arn",
        "uuid",
        "name",
        "status",
        "creationTime",
        "workflowId",
        "outputUri",
        "runOutputUri",
    ),
    "list_runs": ("id", "arn", "name", "status", "creationTime"),
    "start_run_batch": ("id", "arn", "uuid", "status"),
    "get_batch": ("id", "arn", "uuid", "name", "status", "creationTime", "totalRuns", "defaultRunSetting"),
    "list_batch": ("id", "name", "status", "createdAt", "totalRuns"),
    "list_runs_in_batch": ("runSettingId", "runId", "runInternalUuid", "submissionStatus"),
}

#: Members whose value differs between the services, but not within one.
OWN = ("id", "arn", "uuid", "runId", "runInternalUuid", "creationTime", "createdAt", "runOutputUri")


class Transcript:
    """
    The responses of a service, with a name in place of each value that differs between services.

    :param client: a botocore client of the service
    :param wait: lets some seconds pass
    """

    def __init__(self, client: Any, wait: Callable[[float], Any]) -> None:
        self._client, self.wait = client, wait
        self._names: dict[Any, str] = {}
        self.lines: list[Any] = []

    def call(self, operation: str, **arguments: Any) -> Any:
        """Make a call, and record the fields of the response that the package reads."""
        try:
            answer = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            self.lines.append((operation, error.response["Error"]["Code"]))
            return None
        for item in answer.get("items", answer.get("runs", [answer])):
            members = {name: self._named(name, item.get(name)) for name in READ.get(operation, ())}
            self.lines.append((operation, members))
        return answer

    def _named(self, member: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: value.get(name) for name in SETTING}
        if member not in OWN or value is None:
            return value
        return type(value).__name__ + self._names.setdefault(value, str(len(self._names)))


@contextmanager
def simulated() -> Iterator[Transcript]:
    """The simulated HealthOmics."""
    scheduler = Scheduler()
    service = SimulatedService(scheduler, fates=(Fate(), Fate("FAILED", reason="SERVICE_ERROR")))
    with pytest.MonkeyPatch.context() as patch:
        clients.install(service, patch)
        yield Transcript(clients.Session().client("omics"), scheduler.advance)


@contextmanager
def local() -> Iterator[Transcript]:
    """The local HealthOmics, at the same pace."""
    pace = {"pending_seconds": 5, "starting_seconds": 5, "running_seconds": 100, "stopping_seconds": 5}
    batch = {"batch_creating_seconds": 1.5, "batch_pending_seconds": 1.5}
    with mock_healthomics(any_workflow=True, create_buckets=True, seed=1, **pace, **batch) as control:
        control.stop_clock()
        control.plan_run(status="COMPLETED")
        yield Transcript(omics_client("us-east-1"), control.advance_clock)


def runs(service: Transcript) -> list[Any]:
    """Start, repeat, find, watch and cancel runs."""
    run = service.call("start_run", **RUN)
    service.call("start_run", **RUN)
    service.call("start_run", **{**RUN, "name": "another name"})
    for seconds in (0, 7, 10, 100, 10):
        service.wait(seconds)
        service.call("get_run", id=run["id"])
    service.call("cancel_run", id=run["id"])
    second = service.call("start_run", **{**RUN, "requestId": "request-3"})
    service.call("list_runs", name="a name", maxResults=100)
    service.wait(20)
    service.call("list_runs", status="RUNNING", maxResults=100)
    service.call("cancel_run", id=second["id"])
    service.call("get_run", id=second["id"])
    service.wait(10)
    service.call("get_run", id=second["id"])
    service.call("get_run", id="999")
    return service.lines


def batches(service: Transcript) -> list[Any]:
    """Start, repeat, find and cancel a batch."""
    batch = service.call("start_run_batch", **BATCH)
    service.call("start_run_batch", **BATCH)
    service.call("start_run_batch", **{**BATCH, "batchName": "another"})
    service.call("get_batch", batchId=batch["id"])
    service.call("cancel_run_batch", batchId=batch["id"])
    service.call("list_batch", name="a batch")
    service.wait(20)
    service.call("get_batch", batchId=batch["id"])
    service.call("list_runs_in_batch", batchId=batch["id"])
    service.call("cancel_run_batch", batchId=batch["id"])
    service.call("get_batch", batchId=batch["id"])
    service.wait(20)
    service.call("get_batch", batchId=batch["id"])
    service.call("cancel_run_batch", batchId=batch["id"])
    service.call("get_batch", batchId="999")
    return service.lines


@pytest.mark.parametrize("play", [runs, batches])
def test_both_respond_alike(play: Callable[[Transcript], list[Any]]) -> None:
    """The same calls get the same responses."""
    with local() as service:
        expected = play(service)
    with simulated() as service:
        assert play(service) == expected
