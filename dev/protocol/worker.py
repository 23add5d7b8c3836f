# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Steps of the process that runs an attempt. Each names the function that it models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from airflow_healthomics.service import run_states
from airflow_healthomics.starting.decision import UNKNOWN, Decision
from dev.protocol.search import Step
from dev.protocol.world import (
    CONFLICT_TURNS,
    GONE,
    UNSEEN,
    Call,
    Part,
    Record,
    RequestId,
    Rules,
    Worker,
    World,
    cancel,
    decision,
    find,
    get_run,
    is_cleared,
)

Steps = Iterator[Step[World]]

START, REPEAT, WAIT_OUT = (each.value for each in (Decision.START, Decision.REPEAT, Decision.WAIT_OUT))


def load(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Read the record, or derive it from the runs with the task's names.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._load`,
    :meth:`airflow_healthomics.starting.record.TaskStateStore.load`,
    :meth:`airflow_healthomics.starting.record.NameLookupStore.load`
    """
    if rules.has_store:
        # Airflow gives the task instance another id for each attempt and Clear, and no store to the old one.
        if worker.is_stale:
            yield Step(f"Airflow refuses attempt {worker.attempt} the store", world.drop(worker))
            return
        record = world.record
        text = f"Attempt {worker.attempt} reads the record: {_describe(record)}"
    else:
        record = _find_record(world, worker, rules)
        text = f"Attempt {worker.attempt} looks for its runs by name: {_describe(record)}"
    if record and record.run is not None:
        yield Step(text, world.put(worker, at="look", record=record, status=None))
    else:
        yield Step(text, _decide(world, worker, rules, record, None))


def _find_record(world: World, worker: Worker, rules: Rules) -> Record | None:
    newest = None
    for generation in range(worker.attempt - 1):
        request_id = RequestId(_first_epoch(worker, rules), generation)
        if (run := find(world, rules, request_id)) is not None:
            newest = Record(request_id, worker.attempt, worker.max_tries, worker.clears, run)
    return newest


def look(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Get the recorded run.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._recorded_run`,
    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._described`
    """
    record = worker.record
    assert record is not None
    assert record.run is not None
    status = _described(world, record.run, rules)
    if status is None and world.runs[record.run].seen == UNSEEN and Part.GRACE not in rules.without:
        status = "PENDING"
    elif status in (None, "DELETED"):
        status = UNKNOWN
    text = f"Attempt {worker.attempt} gets run {record.run + 1}: {status}"
    yield Step(text, _decide(world, worker, rules, record, status))


def _described(world: World, uuid: int, rules: Rules) -> str | None:
    found = get_run(world, uuid)
    if found is None:
        return None
    actual, run = found
    return "DELETED" if actual != uuid and Part.UUID not in rules.without else run.status


def _decide(world: World, worker: Worker, rules: Rules, record: Record | None, status: str | None) -> World:
    """
    Decide with the real functions.

    :func:`airflow_healthomics.starting.decision.decide`,
    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._is_discarded`,
    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._refuse_unknown_end`
    """
    is_discarded = (
        record is not None
        and is_cleared(record, worker.attempt, worker.max_tries, worker.clears)
        and (not record.is_outcome_unknown or status == UNKNOWN)
    )
    if status == UNKNOWN and not is_discarded:
        return fail(world, worker, rules, is_final=True)
    plan = decision(record, status, is_discarded)
    at = _NEXT[plan.decision]
    if plan.supersedes:
        at = "supersede"
    return world.put(worker, at=at, record=record, status=status, decision=plan, is_new=False)


_NEXT: Final = {
    START: "save",
    REPEAT: "search",
    Decision.REATTACH.value: "hold",
    WAIT_OUT: "hold",
    Decision.DONE.value: "hold",
}


def supersede(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Cancel the run from before a Clear.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._supersede`
    """
    record = worker.record
    assert record is not None
    run = find(world, rules, record.request_id) if record.run is None else record.run
    if run is None:
        text = f"Attempt {worker.attempt} finds no run from before the Clear"
        yield Step(text, world.put(worker, at="save"))
    elif world.runs[run].seen != UNSEEN:
        # Until GetRun sees the run, the start is delayed.
        text = f"Attempt {worker.attempt} cancels run {run + 1} if it can"
        yield Step(text, cancel(world, rules, run).put(worker, at="save"))


def save(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Save the request ID before StartRun.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._new_record`,
    :meth:`airflow_healthomics.starting.record.TaskStateStore.save`
    """
    plan, old = worker.decision, worker.record
    assert plan is not None
    epoch = _first_epoch(worker, rules)
    if rules.has_store and old is not None:
        epoch = old.request_id.epoch + plan.supersedes
    if Part.EPOCH in rules.without:
        epoch = 0
    record = Record(RequestId(epoch, plan.generation), worker.attempt, worker.max_tries, worker.clears)
    after = world.put(worker, at="call", record=record)
    if not rules.has_store or Part.WRITE_AHEAD in rules.without:
        yield Step(f"Attempt {worker.attempt} makes request ID {_name(record.request_id)}", after)
    elif worker.is_stale:
        yield Step(f"Airflow refuses attempt {worker.attempt} the store", world.drop(worker))
    else:
        text = f"Attempt {worker.attempt} saves request ID {_name(record.request_id)}"
        yield Step(text, after._replace(record=record))


def search(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Look for the run of a recorded request ID before StartRun is repeated.

    :meth:`airflow_healthomics.starting.start_call.StartCall.find`
    """
    assert worker.record is not None
    run = find(world, rules, worker.record.request_id)
    if run is None:
        yield Step(f"Attempt {worker.attempt} finds no run by name", world.put(worker, at="call"))
    else:
        record = worker.record._replace(run=run)
        text = f"Attempt {worker.attempt} finds run {run + 1} by name"
        yield Step(text, world.put(worker, at="hold", record=record))


def call(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Call StartRun, unless the task was killed.

    :meth:`airflow_healthomics.starting.start_call.StartCall.make`,
    :meth:`airflow_healthomics.starting.start_call.StartCall._send`
    """
    assert worker.record is not None
    if worker.is_killed:
        yield Step(f"Attempt {worker.attempt} starts nothing, as it was killed", world.drop(worker))
        return
    sent = Call(worker.attempt, worker.record.request_id, worker.version)
    after = world.put(worker, at="answer")
    after = after._replace(calls=(*world.calls, sent))
    yield Step(f"Attempt {worker.attempt} calls StartRun with {_name(sent.request_id)}", after)


def answer(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Receive the answer of StartRun. After too many conflicts, look for the run by name.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart.run`,
    :meth:`airflow_healthomics.starting.start_call.StartCall._adopt`,
    :class:`airflow_healthomics.starting.outcome.StartDelay`
    """
    made = next(each for each in world.calls if each.attempt == worker.attempt)
    if made.answer is None or worker.record is None:
        return
    rest = world._replace(calls=tuple(each for each in world.calls if each != made))
    if isinstance(made.answer, int):
        record = worker.record._replace(run=made.answer)
        text = f"Attempt {worker.attempt} receives run {made.answer + 1}"
        yield Step(text, rest.put(worker, at="hold", record=record, is_new=True))
    elif worker.conflicts < CONFLICT_TURNS:
        text = f"Attempt {worker.attempt} receives a conflict and waits its turn"
        yield Step(text, rest.put(worker, at="load", conflicts=worker.conflicts + 1))
    elif (run := find(world, rules, worker.record.request_id)) is not None:
        text = f"Attempt {worker.attempt} receives conflicts and adopts run {run + 1}"
        yield Step(text, rest.put(worker, at="hold", record=worker.record._replace(run=run), is_new=True))
    else:
        text = f"Attempt {worker.attempt} receives conflicts, finds no run and fails"
        yield Step(text, fail(rest, worker, rules))


def hold(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Save the run's id and uuid, and let the kill guard cancel it if the task was killed meanwhile.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._hold`,
    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._watch_for_kill`,
    :meth:`airflow_healthomics.waiting.kill_guard.KillGuard.arm`
    """
    record, plan = worker.record, worker.decision
    assert record is not None
    assert plan is not None
    assert record.run is not None
    record = record._replace(
        attempt=worker.attempt, max_tries=worker.max_tries, clears=worker.clears, is_outcome_unknown=False
    )
    is_started = plan.decision in (START, REPEAT)
    is_certain = plan.decision == START and (rules.has_store or worker.attempt == 1)
    at = "reconsider" if is_started and not is_certain else "poll"
    guard = worker.guard
    if is_started and worker.is_killed and Part.GUARD_AFTER_START not in rules.without:
        at, guard = "guard", True
    after = world.put(worker, at=at, record=record, guard=guard)
    name = _describe(record)
    if not rules.has_store:
        yield Step(f"Attempt {worker.attempt} knows its {name}", after)
    elif worker.is_stale:
        yield Step(f"Airflow refuses attempt {worker.attempt} the store", world.drop(worker))
    else:
        text = f"Attempt {worker.attempt} saves {name}"
        yield Step(text, after._replace(record=record))


def reconsider(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Decide again, as HealthOmics may have answered with an older run.

    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._answered_run`,
    :meth:`airflow_healthomics.starting.exactly_once.ExactlyOnceStart._refuse_unknown_end`
    """
    record = worker.record
    assert record is not None
    assert record.run is not None
    status = _described(world, record.run, rules)
    if status is None:
        text = f"Attempt {worker.attempt} does not see run {record.run + 1} yet"
        yield Step(text, world.put(worker, at="poll"))
        return
    if status == "DELETED":
        text = f"Attempt {worker.attempt} finds another run under the id of run {record.run + 1} and fails"
        yield Step(text, fail(world, worker, rules, is_final=True))
        return
    plan = decision(record, status, False)
    at = "poll" if plan.decision != START else "save"
    text = f"Attempt {worker.attempt} gets run {record.run + 1}: {status}"
    yield Step(text, world.put(worker, at=at, decision=plan, is_new=False))


def poll(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Wait for the run.

    :meth:`airflow_healthomics.operators.base.WaitingOperator.wait`,
    :meth:`airflow_healthomics.resources.run_watch.RunWatch.update`,
    :meth:`airflow_healthomics.operators.start_base.StartOperator.execute_complete`,
    :meth:`airflow_healthomics.operators.start_base.StartOperator.resume_after_stop`
    """
    record, plan = worker.record, worker.decision
    assert record is not None
    assert plan is not None
    assert record.run is not None
    found = get_run(world, record.run)
    who = f"Attempt {worker.attempt}"
    if found is None:
        is_in_grace = Part.GRACE not in rules.without
        if world.runs[record.run].status == GONE or not is_in_grace:
            text = f"{who} does not find run {record.run + 1} and fails: its outcome is lost"
            yield Step(text, fail(world, worker, rules, is_final=True))
        return
    actual, run = found
    if actual != record.run and Part.UUID not in rules.without:
        text = f"{who} finds another run under the id of run {record.run + 1} and fails"
        yield Step(text, fail(world, worker, rules, opened=record.run))
    elif plan.decision == WAIT_OUT:
        if run.status in run_states.TERMINAL:
            yield Step(f"{who} sees run {actual + 1} {run.status}", world.put(worker, at="load"))
    elif run.status == "COMPLETED":
        text = f"{who} sees run {actual + 1} COMPLETED"
        yield Step(text, world.put(worker, at="report", record=record._replace(run=actual)))
    elif run.status in run_states.FAILED:
        yield Step(f"{who} sees run {actual + 1} {run.status} and fails", fail(world, worker, rules))


def report(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Return the result to Airflow, which refuses that of an old attempt.

    :meth:`airflow_healthomics.operators.base.WaitingOperator.finish`
    """
    assert worker.record is not None
    after = world.drop(worker)
    if worker.is_stale or world.task != "running":
        yield Step(f"Airflow refuses the result of attempt {worker.attempt}", after)
    else:
        text = f"Attempt {worker.attempt} succeeds"
        yield Step(text, after._replace(task="success", result=worker.record.run))


def guard(world: World, worker: Worker, rules: Rules) -> Steps:
    """
    Cancel the run of a killed task if a person has ended the task.

    :meth:`airflow_healthomics.waiting.kill_guard.KillGuard._cancel_if_over`,
    :meth:`airflow_healthomics.waiting.kill_guard.Target.cancel`
    """
    at = "poll" if worker.at == "guard" else worker.at
    after = world
    text = f"The kill guard of attempt {worker.attempt} has nothing to cancel"
    record = worker.record
    is_meant = world.task in ("failed", "success") or (world.task == "restarting" and not rules.has_store)
    if record is not None and is_meant:
        run = find(world, rules, record.request_id) if record.run is None else record.run
        if run is not None:
            after = cancel(world, rules, run)
            text = f"The kill guard of attempt {worker.attempt} cancels run {run + 1} if it can"
    yield Step(text, after.put(worker, at=at, guard=False))


def fail(
    world: World, worker: Worker, rules: Rules, *, is_final: bool = False, opened: int | None = None
) -> World:
    """
    End an attempt with an error.

    :meth:`airflow_healthomics.operators.start_base.StartOperator._record_failure`,
    :meth:`airflow_healthomics.operators.start_base.StartOperator._end_watch`

    :param is_final: whether Airflow must not retry
    :param opened: the run, if its end is not known
    """
    after = world.drop(worker)
    if worker.is_stale or world.task != "running":
        return after
    has_retry = not is_final and worker.attempt <= worker.max_tries
    after = after._replace(task="up_for_retry" if has_retry else "failed")
    if opened is not None:
        if world.record is not None:
            after = after._replace(record=world.record._replace(is_outcome_unknown=True))
        if not has_retry:
            after = after._replace(reported=after.reported | {opened})
    return after


def _first_epoch(worker: Worker, rules: Rules) -> int:
    return 0 if rules.has_store or Part.EPOCH in rules.without else worker.max_tries


def _describe(record: Record | None) -> str:
    if record is None:
        return "none"
    return _name(record.request_id) if record.run is None else f"run {record.run + 1}"


def _name(request_id: RequestId) -> str:
    return f"{request_id.epoch}.{request_id.generation}"


#: The steps by their names; ``guard`` also runs beside the others, in a thread.
STEPS: Final = {
    step.__name__: step
    for step in (
        load,
        look,
        supersede,
        save,
        search,
        call,
        answer,
        hold,
        reconsider,
        poll,
        report,
        guard,
    )
}
