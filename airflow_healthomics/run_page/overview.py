# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The states of all runs and batches of a DAG run, with few calls.

An ended run is read once, and not at all if its task has pushed its summary to XCom; then only the name of
its workflow is read, once for all its runs. Each fetch makes a limited number of calls, so that the states of
many runs arrive one after the other, those of failed tasks first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from airflow_healthomics.batches.outcomes import PAGE_SIZE, counts_of_batch
from airflow_healthomics.publishing.resource_xcom import TaskResource, is_resource_id
from airflow_healthomics.run_page import payload
from airflow_healthomics.run_page.answers import PageError
from airflow_healthomics.run_page.calls import Calls
from airflow_healthomics.run_page.clients import Memory
from airflow_healthomics.run_page.dag_run_lookup import DagRunTasks, TaskKey
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.service import run_states

#: Calls of a fetch; the burst of the default ``page_rate``.
MAX_CALLS: Final = 20

#: Up to this number, active runs are polled individually; more of them by a list for each state.
MAX_DIRECT_POLLS: Final = 4
_MAX_LISTED: Final = 2 * PAGE_SIZE

#: Lifetime in seconds of the states of active runs, and of incomplete ones.
LIFETIME: Final = 15.0
_INCOMPLETE_LIFETIME: Final = 2.0

#: Maximum number of DAG runs whose states are cached.
_MAX_BOARDS: Final = 64

#: States of an Airflow task that has failed or may still do something, the most urgent first.
_URGENT: Final = ("failed", "up_for_retry", "running", "deferred", "up_for_reschedule", "queued")

Row = Mapping[str, Any]


@dataclass(eq=False)
class Board:
    """
    The known states of the runs and batches of a DAG run.

    :param rows: last known state of each task instance's run or batch
    :param connections: connections of task instances; None for one that Airflow no longer knows
    """

    rows: dict[TaskKey, Row] = field(default_factory=dict)
    connections: dict[TaskKey, TaskConnection | None] = field(default_factory=dict)

    def unknown(self, keys: Iterable[TaskKey]) -> list[TaskKey]:
        """Return those whose state is unknown."""
        return [key for key in keys if key not in self.rows]

    def learn(self, summaries: Mapping[TaskKey, Mapping[str, Any]]) -> None:
        """Use the summaries that tasks pushed after the end of their run or batch."""
        for key, summary in summaries.items():
            if summary["status"] in run_states.TERMINAL:
                make = batch_row if key.resource.kind == "batch" else run_row
                self.rows[key] = make(summary, workflow_name=None)

    def groups(self, tasks: DagRunTasks) -> dict[tuple[TaskConnection, str], list[TaskKey]]:
        """Return the task instances to poll by connection and region, the most urgent first."""
        groups: dict[tuple[TaskConnection, str], list[TaskKey]] = {}

        def priority(key: TaskKey) -> tuple[bool, int]:
            return not is_active_row(self.rows.get(key)), _urgency(tasks.tasks[key])

        due = [key for key in tasks.tasks if _is_due(self.rows.get(key))]
        for key in sorted(due, key=priority):
            if connection := self.connections.get(key):
                groups.setdefault((connection, key.resource.region), []).append(key)
        return groups


boards: Final = Memory(_MAX_BOARDS)


def board_of(dag_id: str, run_id: str) -> Board:
    """Return the known states of a DAG run."""
    board: Board | None = boards.get((dag_id, run_id))
    if board is None:
        board = Board()
        boards.put((dag_id, run_id), board)
    return board


@dataclass(frozen=True, kw_only=True)
class Reading:
    """
    The result of a fetch of states, which are on the board.

    :param as_of: time of the AWS calls
    :param lifetime: in seconds
    :param notices: messages about refused calls
    """

    as_of: datetime
    lifetime: float
    notices: Sequence[str] = ()

    @property
    def size(self) -> int:
        """The states are on the board."""
        return 0


class StatesReader(Calls):
    """
    Reads the states of the runs and batches of one connection and region.

    :param connection: the connection
    :param region: their AWS region
    """

    def __init__(self, connection: TaskConnection, region: str) -> None:
        super().__init__(connection, region)
        self._calls_left = MAX_CALLS
        self._notices: list[str] = []
        self._workflows: dict[str, str | None] = {}

    def read(self, board: Board, keys: Sequence[TaskKey]) -> Reading:
        """
        Read the states of task instances onto the board, as many as a fetch may.

        :param board: of their DAG run
        :param keys: the task instances, the most urgent first
        :raises PageError: if AWS refuses a call
        """
        as_of = datetime.now(UTC)
        by_resource: dict[TaskResource, list[TaskKey]] = {}
        for key in keys:
            # A sensor and the task that started its run show the same one.
            shown = key.resource._replace(is_awaited_only=False)
            by_resource.setdefault(shown, []).append(key)
        known = {
            each: next((row for key in own if (row := board.rows.get(key))), None)
            for each, own in by_resource.items()
        }
        listed = self._listed(
            [each for each, row in known.items() if row and is_active_row(row) and each.kind == "run"]
        )
        left = 0
        for resource, own in by_resource.items():
            row = known[resource]
            if row and resource in listed:
                row = {**row, **run_row(listed[resource], workflow_name=None)}
            elif self._calls_left <= 0:
                left += 1
                continue
            elif row and not is_active_row(row):
                row = self._named(row)
            else:
                row = self._row(resource)
            board.rows.update(dict.fromkeys(own, row))
        return Reading(
            as_of=as_of, lifetime=_INCOMPLETE_LIFETIME if left else LIFETIME, notices=tuple(self._notices)
        )

    def _listed(self, active: Sequence[TaskResource]) -> dict[TaskResource, Row]:
        """
        Return the items of the lists of active runs, if these cost fewer calls.

        :param active: runs that GetRun has shown as active. The lists have no uuid.
        """
        found: dict[str, Row] = {}
        if len(active) <= MAX_DIRECT_POLLS:
            return {}
        for status in sorted(run_states.ACTIVE):
            with self._calling("ListRuns", "the active runs", self._notices):
                runs = list(islice(self._hook.list_runs(status=status), _MAX_LISTED))
                self._calls_left -= len(runs) // PAGE_SIZE + 1
                found.update((run["id"], run) for run in runs)
        return {each: found[each.id] for each in active if each.id in found}

    def _named(self, row: Row) -> Row:
        """Return the state of an ended run or batch with the name of its workflow, if it can be read."""
        workflow_id = row["workflowId"]
        if workflow_id not in self._workflows:
            self._calls_left -= 1
            # Without the notices: a summary does not have the owner of a shared workflow.
            self._workflows[workflow_id] = self._workflow_name(row, [])
        name = self._workflows[workflow_id]
        return {**row, "workflowName": name} if name else row

    def _row(self, resource: TaskResource) -> Row:
        """Return the state of a run or batch; DELETED if HealthOmics does not find it."""
        self._calls_left -= 1
        try:
            if resource.kind == "batch":
                batch = self._get_batch(resource.id, resource.uuid)
                workflow = batch.get("defaultRunSetting", {})
                return batch_row(batch, workflow_name=self._workflow_name(workflow, self._notices))
            with self._calling("GetRun", f"run {resource.id}"):
                run = self._hook.get_run(resource.id)
            if resource.uuid and run.get("uuid") != resource.uuid:
                return {"status": "DELETED"}
            return run_row(run, workflow_name=self._workflow_name(run, self._notices))
        except PageError as error:
            if error.status == 404:
                return {"status": "DELETED"}
            raise


#: Fields of GetRun and ListRuns in the list.
_RUN_FIELDS: Final = (
    "name",
    "status",
    "workflowId",
    "workflowType",
    "workflowName",
    "workflowVersionName",
    "creationTime",
    "startTime",
    "stopTime",
    "failureReason",
)


def run_row(run: Mapping[str, Any], *, workflow_name: str | None) -> Row:
    """
    Return the state of a run for the list.

    :param run: answer of GetRun, item of ListRuns or a summary
    :param workflow_name: name of its workflow, if known
    """
    row = {name: run[name] for name in _RUN_FIELDS if run.get(name)}
    return {**row, "workflowName": workflow_name} if workflow_name else row


def batch_row(batch: Mapping[str, Any], *, workflow_name: str | None) -> Row:
    """
    Return the state of a batch for the list.

    :param batch: answer of GetBatch, or a summary
    :param workflow_name: name of its workflow, if known
    """
    row = {name: batch[name] for name in (*_RUN_FIELDS, "totalRuns") if batch.get(name)}
    workflow = batch.get("defaultRunSetting", {})
    row |= {name: workflow[name] for name in ("workflowId", "workflowVersionName") if workflow.get(name)}
    stopped = batch.get("processedTime") or batch.get("failedTime")
    if stopped:
        row["stopTime"] = stopped
    row["counts"] = batch.get("counts") or counts_of_batch(batch)
    return {**row, "workflowName": workflow_name} if workflow_name else row


def is_active_row(row: Row | None) -> bool:
    """Whether a run or batch may change its state. An unknown one may."""
    if row is None:
        return True
    return payload.is_active(row["status"]) and payload.is_active_batch(row["status"])


def _is_due(row: Row | None) -> bool:
    """Whether the state of a run or batch may have changed, or the name of its workflow is unknown."""
    if row is None or is_active_row(row):
        return True
    workflow_id = row.get("workflowId")
    # A user who may edit XComs may have changed the summary.
    is_valid = isinstance(workflow_id, str) and is_resource_id(workflow_id)
    return is_valid and "workflowName" not in row


def list_answer(
    board: Board, tasks: DagRunTasks, *, limit: int, offset: int, as_of: datetime, notices: Iterable[str]
) -> dict[str, Any]:
    """
    Return the page's answer for a DAG run: its runs and batches, failures first.

    :param board: their known states
    :param tasks: its task instances
    :param limit: maximum number of items
    :param offset: number of items to skip
    :param as_of: time of the AWS calls
    :param notices: messages about refused calls
    """
    keys = sorted(tasks.tasks, key=lambda key: (_rank(board.rows.get(key), tasks.tasks[key]), key[:2]))
    unread = sum(key not in board.rows and board.connections.get(key) is not None for key in keys)
    active = any(key in board.rows and is_active_row(board.rows[key]) for key in keys)
    if lost := sum(board.connections.get(key, True) is None and key not in board.rows for key in keys):
        notices = [*notices, f"Airflow no longer knows the connection of {lost} of these tasks."]
    unique = list(dict.fromkeys(notices))
    seconds = _INCOMPLETE_LIFETIME if unread and not unique else LIFETIME
    is_final = tasks.state in ("success", "failed") and not active and not unread
    answer = {
        "items": [_item(key, tasks.tasks[key], board.rows.get(key)) for key in keys[offset : offset + limit]],
        "total": len(keys),
        "asOf": as_of.isoformat(),
        "active": active,
        "pollSeconds": 0 if is_final else math.ceil(seconds),
    }
    if unread:
        answer["unread"] = unread
    if unique:
        answer["notices"] = unique
    return answer


def _item(key: TaskKey, state: str | None, row: Row | None) -> dict[str, Any]:
    item = {"taskId": key.task_id, "mapIndex": key.map_index, "taskState": state}
    return {**item, "kind": key.resource.kind, "id": key.resource.id, **(row or {})}


def _rank(row: Row | None, task_state: str | None) -> int:
    """Return the place of a run or batch in the list: failures first, then active ones."""
    if row is None:
        return 1 if task_state in ("failed", "upstream_failed") else 3
    if row["status"] in ("FAILED", "RUNS_DELETE_FAILED"):
        return 0
    if any(row.get("counts", {}).get(status) for status in ("FAILED", "NOT_STARTED")):
        return 1
    if is_active_row(row):
        return 2
    return 5 if row["status"] in ("COMPLETED", "PROCESSED") else 4


def _urgency(task_state: str | None) -> int:
    return _URGENT.index(task_state) if task_state in _URGENT else len(_URGENT)
