# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel the runs and batches of killed tasks, found by their records in the metadata database."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread
from typing import Final, NamedTuple

from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import ColumnElement, and_, or_, select

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.starting.record import KEY, StartRecord, parse_record
from airflow_healthomics.waiting.kill_guard import Target, cancel_persistently
from airflow_healthomics.waiting.task_states import FINISHED_TASK_STATES

#: Seconds after a kill at which its records are read. At the first read, the state may not be committed yet.
#: By the last, a StartRun in flight has completed, or its run can be found by name.
LOOKS: Final = (2.0, 15.0, 30.0, 60.0, 100.0)

#: Kills in a DAG run within this many seconds are handled together.
_TOGETHER_SECONDS: Final = 1.0

#: A record belongs to the kill of a whole DAG run if the task instance changed after the kill, with this
#: tolerance.
_TOLERANCE: Final = timedelta(seconds=60)

#: Seconds for which a throttled cancellation is retried; the next read of the records retries it again.
_PATIENCE: Final = 10

log = logging.getLogger(__name__)


class KilledTask(NamedTuple):
    """
    An ended task instance and its record.

    :param task_id: id of the task
    :param map_index: index of a mapped task, -1 for others
    :param record: record of its run or batch
    """

    task_id: str
    map_index: int
    record: StartRecord


@dataclass
class Kill:
    """
    A kill of tasks in a DAG run.

    :param dag_id: id of the DAG
    :param run_id: id of the DAG run
    :param since: Unix time of the kill
    :param tasks: task id and map index of each killed task; None for all that have ended since
    """

    dag_id: str
    run_id: str
    since: float
    tasks: set[tuple[str, int]] | None = field(default_factory=set)
    _cancelled: set[Target] = field(default_factory=set)

    def include(self, task: tuple[str, int] | None) -> None:
        """
        Add a task.

        :param task: task id and map index; None for all
        """
        if task is None or self.tasks is None:
            self.tasks = None
        else:
            self.tasks.add(task)

    def run(self) -> None:
        """Read the records and cancel, at each of :data:`LOOKS`."""
        for seconds in LOOKS:
            time.sleep(max(0.0, self.since + seconds - time.time()))
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the thread has no caller, and the next read retries
                log.warning(
                    "The runs of the killed tasks of DAG %s, DAG run %s could not be looked up: %s",
                    self.dag_id,
                    self.run_id,
                    error_code(error),
                )

    def look(self) -> None:
        """Cancel the runs and batches of the killed tasks, except those of attempts that ended themselves."""
        for task in self._find():
            record = task.record
            target = Target(kind=record.kind, id=record.resource_id, uuid=record.uuid, name=record.name)
            if record.settled is not None or not record.cancel_on_kill or target in self._cancelled:
                continue
            if _cancel(target, record):
                self._cancelled.add(target)
                log.info(
                    "The task %s.%s (%s, map index %d) was killed. Its %s %s is being cancelled or has ended",
                    self.dag_id,
                    task.task_id,
                    self.run_id,
                    task.map_index,
                    record.kind,
                    record.resource_id or record.name,
                )

    def _find(self) -> Iterator[KilledTask]:
        with create_session() as session:
            rows = session.execute(
                select(
                    TaskInstance.task_id,
                    TaskInstance.map_index,
                    TaskInstance.updated_at,
                    TaskStateStoreModel.value,
                )
                .join(TaskInstance.dag_run)
                .join(
                    TaskStateStoreModel,
                    and_(
                        TaskStateStoreModel.dag_run_id == DagRun.id,
                        TaskStateStoreModel.task_id == TaskInstance.task_id,
                        TaskStateStoreModel.map_index == TaskInstance.map_index,
                    ),
                )
                .where(
                    TaskInstance.dag_id == self.dag_id,
                    TaskInstance.run_id == self.run_id,
                    self._is_over(),
                    TaskStateStoreModel.key == KEY,
                )
            ).all()
        earliest = datetime.fromtimestamp(self.since, UTC) - _TOLERANCE
        for task_id, map_index, updated_at, value in rows:
            is_meant = (
                updated_at is None or updated_at >= earliest
                if self.tasks is None
                else (task_id, map_index) in self.tasks
            )
            if is_meant and (record := parse_record(json.loads(value))):
                yield KilledTask(task_id, map_index, record)

    def _is_over(self) -> ColumnElement[bool]:
        """
        Whether a task instance has ended.

        A task that defers at the same moment may overwrite the state that a person set. If the whole DAG run
        was ended, such a task has ended too, because nothing resumes it.
        """
        is_finished = TaskInstance.state.in_(FINISHED_TASK_STATES)
        return (
            is_finished
            if self.tasks is not None
            else or_(is_finished, DagRun.state.in_(FINISHED_TASK_STATES))
        )


def _cancel(target: Target, record: StartRecord) -> bool:
    """Cancel the target, and return whether that is settled."""
    try:
        hook = HealthOmicsHook(**record.connection)
        return cancel_persistently(target, hook, log, patience=_PATIENCE)
    except Exception as error:  # noqa: BLE001 - for instance an unknown connection, which must not stop the other cancellations
        name = record.resource_id or record.name
        log.warning("The %s %s could not be cancelled: %s", record.kind, name, error_code(error))
        return False


_kills: dict[tuple[str, str], Kill] = {}
_lock = Lock()


def look_after(dag_id: str, run_id: str, task: tuple[str, int] | None) -> None:
    """
    Cancel the runs and batches of killed tasks in the background.

    :param dag_id: id of the DAG
    :param run_id: id of the DAG run
    :param task: task id and map index; None for all tasks of the DAG run
    """
    with _lock:
        now = time.time()
        kill = _kills.get((dag_id, run_id))
        if kill is None or now - kill.since > _TOGETHER_SECONDS:
            kill = _kills[dag_id, run_id] = Kill(dag_id, run_id, now)
            Thread(target=_run, args=[kill], name="healthomics-kill", daemon=True).start()
        kill.include(task)


def _run(kill: Kill) -> None:
    try:
        kill.run()
    finally:
        with _lock:
            if _kills.get((kill.dag_id, kill.run_id)) is kill:
                del _kills[kill.dag_id, kill.run_id]
