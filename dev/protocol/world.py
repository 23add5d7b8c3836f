# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""State of the model: HealthOmics, Airflow, and the processes that run the attempts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from airflow_healthomics.service import run_states
from airflow_healthomics.starting.decision import decide
from airflow_healthomics.starting.record import Attempt, StartRecord

#: Attempts after the first, as in ``retries`` of a task.
RETRIES: Final = 2

#: Turns after which a conflict counts as permanent. The real limit is
#: :data:`airflow_healthomics.starting.start_call.MAX_CONFLICT_TURNS`.
CONFLICT_TURNS: Final = 1

#: Status of a run that was removed: GetRun does not find it.
GONE: Final = "gone"

#: What ListRuns and GetRun see of a run.
UNSEEN, BY_GET_RUN, BY_BOTH = range(3)


class Event:
    """What may happen beside the protocol. Plain texts, as the hash of an enum is slow."""

    CRASH: Final = "crash"
    LAST_CRASH: Final = "crash of the last attempt"
    STALL: Final = "stalled worker"
    CLEAR: Final = "Clear"
    KILL: Final = "kill"
    FORGET: Final = "request ID forgotten"
    LAG: Final = "lagging reads"
    FAILURE: Final = "run fails"
    REMOVAL: Final = "run removed"
    REUSE: Final = "id reused"
    REFUSAL: Final = "polls refused"
    EDIT: Final = "DAG edited"
    LATE: Final = "late StartRun"


#: All of them.
EVENTS: Final = frozenset(value for name, value in vars(Event).items() if name.isupper())


class Part:
    """A part of the protocol that can be left out, to see that the model notices."""

    WRITE_AHEAD: Final = "write-ahead save"
    UUID: Final = "uuid check"
    EPOCH: Final = "epoch of the request ID"
    GRACE: Final = "grace for new runs"
    GUARD_AFTER_START: Final = "kill guard after StartRun"


@dataclass(frozen=True)
class Rules:
    """
    A scenario.

    :param has_store: whether Airflow has the task state store
    :param finds_by_name: whether runs can be found by name: ListRuns is allowed, and the name is the default
    :param events: the events that may happen
    :param max_events: how many of them may happen in one history
    :param without: parts of the protocol that are left out
    """

    has_store: bool = True
    finds_by_name: bool = True
    events: frozenset[str] = EVENTS
    max_events: int = 3
    without: frozenset[str] = frozenset()


class RequestId(NamedTuple):
    """A request ID, which is also the name of its run."""

    epoch: int
    generation: int


class Run(NamedTuple):
    """
    A run; its index in :attr:`World.runs` is its uuid.

    :param id: its id, which HealthOmics may give to another run once it is gone
    :param request_id: request ID of its start; None for the run of somebody else
    :param status: its status
    :param seen: which operations see it
    :param version: version of the DAG that made the request
    """

    id: int
    request_id: RequestId | None
    status: str
    seen: int
    version: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it costs money, and nobody has cancelled it."""
        return self.status == "RUNNING"


class Choice(NamedTuple):
    """A :class:`airflow_healthomics.starting.decision.Plan`, which is compared faster."""

    decision: str
    generation: int
    supersedes: bool


class Record(NamedTuple):
    """
    The part of :class:`airflow_healthomics.starting.record.StartRecord` on which decisions depend.

    :param run: uuid of the run
    """

    request_id: RequestId
    attempt: int
    max_tries: int
    clears: int
    run: int | None = None
    is_outcome_unknown: bool = False

    def to_real(self) -> StartRecord:
        """Return it as the real code has it."""
        return StartRecord(
            request_id=str(self.request_id),
            epoch=self.request_id.epoch,
            generation=self.request_id.generation,
            attempt=self.attempt,
            max_tries=self.max_tries,
            clear_number=self.clears,
        )


class Worker(NamedTuple):
    """
    A process that runs an attempt.

    :param at: name of its next step
    :param record: its copy of the record
    :param decision: its plan
    :param is_new: whether it has just started the run
    :param conflicts: conflicts so far
    :param is_killed: whether Airflow has called ``on_kill``
    :param guard: whether the kill guard is about to cancel
    :param is_stale: whether Airflow no longer takes it for the task's process
    """

    attempt: int
    max_tries: int
    clears: int
    version: int
    at: str = "load"
    record: Record | None = None
    status: str | None = None
    decision: Choice | None = None
    is_new: bool = False
    conflicts: int = 0
    is_killed: bool = False
    guard: bool = False
    is_stale: bool = False


class Call(NamedTuple):
    """
    A StartRun call.

    :param attempt: the attempt that made it
    :param answer: uuid of the run, "conflict", or None while the call is on its way
    """

    attempt: int
    request_id: RequestId
    version: int
    answer: int | str | None = None


class World(NamedTuple):
    """
    A state of the model.

    :param known: request IDs that HealthOmics remembers, and their runs
    :param task: state of the task instance
    :param attempt: number of its latest attempt
    :param clears: Clears so far
    :param workers: processes by age
    :param is_kill_pending: whether the listener will still look up the run of a killed task
    :param result: run that the task reported as its success
    :param reported: runs of which the task's error says that they continue
    :param discarded: runs from before a Clear
    :param is_wrong_cancelled: whether the task has cancelled the run of somebody else
    :param events: events so far, sorted
    """

    runs: tuple[Run, ...] = ()
    known: frozenset[tuple[RequestId, int]] = frozenset()
    calls: tuple[Call, ...] = ()
    record: Record | None = None
    task: str = "queued"
    attempt: int = 0
    max_tries: int = RETRIES
    clears: int = 0
    workers: tuple[Worker, ...] = ()
    is_kill_pending: bool = False
    result: int | None = None
    reported: frozenset[int] = frozenset()
    discarded: frozenset[int] = frozenset()
    is_wrong_cancelled: bool = False
    events: tuple[str, ...] = ()

    def happens(self, *events: str) -> World:
        """Count events."""
        return self._replace(events=tuple(sorted((*self.events, *events))))

    def put(self, worker: Worker, **changes: object) -> World:
        """Replace a process with what becomes of it."""
        after = worker._replace(**changes)  # type: ignore[arg-type]
        return self._replace(workers=tuple(after if each == worker else each for each in self.workers))

    def drop(self, worker: Worker) -> World:
        """End a process. The answers to its calls are lost, though the calls may still arrive."""
        return self._replace(
            workers=tuple(each for each in self.workers if each != worker),
            calls=tuple(call for call in self.calls if call.attempt != worker.attempt or call.answer is None),
        )

    def change_run(self, uuid: int, **changes: object) -> World:
        """Change a run."""
        run = self.runs[uuid]._replace(**changes)  # type: ignore[arg-type]
        return self._replace(runs=(*self.runs[:uuid], run, *self.runs[uuid + 1 :]))

    @property
    def is_over(self) -> bool:
        """Whether nothing of the task is left that could act."""
        is_quiet = not (self.workers or self.calls or self.is_kill_pending)
        return is_quiet and self.task in ("success", "failed")


def get_run(world: World, uuid: int) -> tuple[int, Run] | None:
    """Return what GetRun finds under the id of a run: the uuid and the run."""
    run_id = world.runs[uuid].id
    for found in reversed(range(len(world.runs))):
        run = world.runs[found]
        if run.id == run_id and run.status != GONE and run.seen != UNSEEN:
            return found, run
    return None


def find(world: World, rules: Rules, request_id: RequestId) -> int | None:
    """Return the run with a name: :meth:`airflow_healthomics.resources.run.RunResource.find`."""
    if not rules.finds_by_name:
        return None
    found = [
        (run.status in run_states.ACTIVE, uuid)
        for uuid, run in enumerate(world.runs)
        if run.request_id == request_id and run.seen == BY_BOTH and run.status != GONE
    ]
    return max(found)[1] if found else None


def cancel(world: World, rules: Rules, uuid: int) -> World:
    """Cancel a run: :meth:`airflow_healthomics.resources.run.RunResource.cancel`."""
    found = get_run(world, uuid)
    if found is None or found[1].status in run_states.TERMINAL:
        return world
    actual, run = found
    if actual != uuid:
        if Part.UUID not in rules.without:
            return world
        return world._replace(is_wrong_cancelled=True)
    return world.change_run(uuid, status="STOPPING") if run.is_live else world


@cache
def decision(record: Record | None, status: str | None, is_discarded: bool) -> Choice:
    """Decide as the real code does: :func:`airflow_healthomics.starting.decision.decide`."""
    plan = decide(record.to_real() if record else None, status, is_discarded=is_discarded)
    return Choice(plan.decision.value, plan.generation, plan.supersedes)


@cache
def is_cleared(record: Record, attempt: int, max_tries: int, clears: int) -> bool:
    """
    Detect a Clear as the real code does.

    :meth:`airflow_healthomics.starting.record.StartRecord.is_from_before_a_clear`
    """
    current = Attempt(number=attempt, max_tries=max_tries, clear_number=clears)
    return record.to_real().is_from_before_a_clear(current, RETRIES)
