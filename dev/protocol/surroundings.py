# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What HealthOmics, Airflow and people do."""

from __future__ import annotations

from dev.protocol.search import Step
from dev.protocol.worker import STEPS, Steps, fail
from dev.protocol.world import (
    BY_BOTH,
    BY_GET_RUN,
    GONE,
    RETRIES,
    UNSEEN,
    Call,
    Event,
    Rules,
    Run,
    Worker,
    World,
    cancel,
    find,
)


def steps_of(world: World, rules: Rules) -> Steps:
    """Return all possible steps."""
    if not rules.has_store:
        for worker in world.workers:
            if worker.at in ("save", "hold"):
                # It touches nothing but its own process, so its order does not matter.
                yield from STEPS[worker.at](world, worker, rules)
                return
    for worker in world.workers:
        yield from STEPS[worker.at](world, worker, rules)
        if worker.guard and worker.at != "guard":
            yield from STEPS["guard"](world, worker, rules)
        yield from _end_worker(world, worker, rules)
    for made in world.calls:
        yield from _handle_call(world, made, rules)
    for uuid in range(len(world.runs)):
        yield from _change_run(world, uuid, rules)
    yield from _schedule(world, rules)
    yield from _act(world, rules)
    yield from _look_after_kill(world, rules)


def _may(world: World, rules: Rules, event: str) -> bool:
    return (
        event in rules.events
        and len(world.events) < rules.max_events
        and (event not in world.events or event is Event.CRASH)
    )


def _end_worker(world: World, worker: Worker, rules: Rules) -> Steps:
    who = f"attempt {worker.attempt}"
    if worker.is_killed:
        yield from _end_killed(world, worker, rules)
        return
    if worker.is_stale:
        yield Step(f"Airflow ends the process of {who}", world.drop(worker))
        return
    if _may(world, rules, Event.LAST_CRASH):
        text = f"The worker of {who} dies, and no retry is left"
        yield Step(text, world.drop(worker)._replace(task="failed").happens(Event.LAST_CRASH))
    if worker.attempt <= worker.max_tries:
        if _may(world, rules, Event.CRASH):
            after = world.drop(worker)._replace(task="up_for_retry")
            yield Step(f"The worker of {who} dies", after.happens(Event.CRASH))
        if _may(world, rules, Event.STALL):
            after = world.put(worker, is_stale=True)._replace(task="up_for_retry")
            text = f"The worker of {who} stalls, and Airflow gives it up"
            yield Step(text, after.happens(Event.STALL))
    if worker.at == "poll" and worker.record and _may(world, rules, Event.REFUSAL):
        text = f"The polls of {who} are refused until it fails"
        yield Step(text, fail(world, worker, rules, opened=worker.record.run).happens(Event.REFUSAL))


def _end_killed(world: World, worker: Worker, rules: Rules) -> Steps:
    # Airflow leaves it five seconds, which is enough for all but a slow StartRun.
    is_calling = any(call.attempt == worker.attempt and call.answer is None for call in world.calls)
    text = f"Airflow ends the process of attempt {worker.attempt}"
    if worker.at == "poll" and not worker.guard:
        yield Step(text, world.drop(worker))
    elif is_calling and not worker.guard and _may(world, rules, Event.LATE):
        yield Step(f"{text}, whose StartRun is on its way", world.drop(worker).happens(Event.LATE))
    if _may(world, rules, Event.CRASH):
        text = f"The worker of attempt {worker.attempt} dies"
        yield Step(text, world.drop(worker).happens(Event.CRASH))


def _handle_call(world: World, made: Call, rules: Rules) -> Steps:
    if made.answer is not None:
        return
    run = dict(world.known).get(made.request_id)
    asker = next((each for each in world.workers if each.attempt == made.attempt), None)
    is_changed = run is not None and made.version != world.runs[run].version
    if asker is not None and (is_changed or _is_duplicate(world, made, asker)):
        text = f"HealthOmics answers attempt {made.attempt} with ConflictException"
        yield Step(text, _answered(world, made, "conflict"))
    if run is not None:
        text = f"HealthOmics knows the request ID and answers with run {run + 1}"
        yield Step(text, _answered(world, made, run))
        return
    uuid = len(world.runs)
    for seen in (BY_BOTH, UNSEEN):
        if seen == UNSEEN and not _may(world, rules, Event.LAG):
            continue
        started = world._replace(
            runs=(*world.runs, Run(uuid, made.request_id, "RUNNING", seen, made.version)),
            known=world.known | {(made.request_id, uuid)},
        )
        text = f"HealthOmics starts run {uuid + 1}"
        if seen == UNSEEN:
            started = started.happens(Event.LAG)
            text += ", which GetRun and ListRuns do not see yet"
        yield Step(text, _answered(started, made, uuid))


def _is_duplicate(world: World, made: Call, asker: Worker) -> bool:
    # A call takes less time than the turns of a conflict.
    is_doubled = any(each.request_id == made.request_id and each != made for each in world.calls)
    return is_doubled and asker.conflicts == 0


def _answered(world: World, made: Call, answer: int | str) -> World:
    is_heard = any(worker.attempt == made.attempt and worker.at == "answer" for worker in world.workers)
    rest = tuple(each for each in world.calls if each != made)
    return world._replace(calls=(*rest, made._replace(answer=answer)) if is_heard else rest)


def _change_run(world: World, uuid: int, rules: Rules) -> Steps:
    run = world.runs[uuid]
    name = f"run {uuid + 1}"
    if run.request_id is None:
        return
    if run.seen != BY_BOTH:
        operation, seen = ("GetRun", BY_GET_RUN) if run.seen == UNSEEN else ("ListRuns", BY_BOTH)
        yield Step(f"{operation} sees {name}", world.change_run(uuid, seen=seen))
    elif run.status in ("RUNNING", "STOPPING"):
        yield Step(f"HealthOmics completes {name}", world.change_run(uuid, status="COMPLETED"))
        if run.status == "STOPPING":
            yield Step(f"HealthOmics ends {name} as CANCELLED", world.change_run(uuid, status="CANCELLED"))
        elif _may(world, rules, Event.FAILURE):
            after = world.change_run(uuid, status="FAILED")
            yield Step(f"HealthOmics ends {name} as FAILED", after.happens(Event.FAILURE))
    elif run.status != GONE:
        if _may(world, rules, Event.REMOVAL):
            after = world.change_run(uuid, status=GONE)
            yield Step(f"HealthOmics removes {name}", after.happens(Event.REMOVAL))
    elif _may(world, rules, Event.REUSE):
        for status in ("RUNNING", "COMPLETED"):
            other = Run(run.id, None, status, BY_BOTH)
            after = world._replace(runs=(*world.runs, other)).happens(Event.REUSE)
            yield Step(f"HealthOmics gives the id of {name} to somebody's {status} run", after)
    if (run.request_id, uuid) in world.known and _is_old(world, run) and _may(world, rules, Event.FORGET):
        known = world.known - {(run.request_id, uuid)}
        text = f"HealthOmics forgets the request ID of {name}"
        yield Step(text, world._replace(known=known).happens(Event.FORGET))


def _is_old(world: World, run: Run) -> bool:
    # A request ID lives longer than a start takes, unless a worker stalls, and longer than reads lag.
    is_starting = any(each.at != "poll" and not each.is_stale for each in world.workers)
    return run.seen == BY_BOTH and not is_starting and not world.calls


def _schedule(world: World, rules: Rules) -> Steps:
    attempts = [each.attempt for each in world.workers]
    is_restarted = world.task == "restarting" and world.attempt not in attempts
    if world.task not in ("queued", "up_for_retry") and not is_restarted:
        return
    number = world.attempt + 1
    worker = Worker(number, world.max_tries, world.clears, int(Event.EDIT in world.events))
    after = world._replace(task="running", attempt=number, workers=(*world.workers, worker))
    text = f"Airflow starts attempt {number}"
    if all(call.attempt in attempts for call in world.calls) or Event.LATE in world.events:
        yield Step(text, after)
    elif _may(world, rules, Event.LATE):
        yield Step(f"{text} while the last StartRun is on its way", after.happens(Event.LATE))


def _act(world: World, rules: Rules) -> Steps:
    if world.attempt == 0:
        return
    if world.task not in ("success", "failed") and _may(world, rules, Event.KILL):
        workers = tuple(
            each if each.is_stale else each._replace(is_killed=True, guard=True) for each in world.workers
        )
        after = world._replace(task="failed", workers=workers, is_kill_pending=rules.has_store)
        yield Step("A person marks the task as failed", after.happens(Event.KILL))
    if world.task == "up_for_retry" and _may(world, rules, Event.EDIT):
        yield Step("A person edits the DAG", world.happens(Event.EDIT))
    if world.task not in ("queued", "restarting") and _may(world, rules, Event.CLEAR):
        is_unknown = world.record is not None and world.record.is_outcome_unknown
        after = world._replace(
            task="restarting" if world.task == "running" else "queued",
            max_tries=world.attempt + RETRIES,
            clears=world.clears + 1,
            workers=tuple(
                each if each.is_stale else each._replace(is_killed=True, guard=True, is_stale=True)
                for each in world.workers
            ),
            result=None,
            discarded=world.discarded if is_unknown else frozenset(range(len(world.runs))),
        )
        yield Step("A person clears the task", after.happens(Event.CLEAR))


def _look_after_kill(world: World, rules: Rules) -> Steps:
    """
    Cancel the run of a killed task by its record.

    :meth:`airflow_healthomics.starting.killed_tasks.Kill.look`
    """
    # At the last look, calls have ended, reads no longer lag, and Airflow has ended the process.
    is_settled = not world.calls and all(run.seen == BY_BOTH for run in world.runs)
    if not world.is_kill_pending or not is_settled or any(each.is_killed for each in world.workers):
        return
    after = world._replace(is_kill_pending=False)
    record = world.record
    text = "The listener finds nothing to cancel"
    if record is not None and world.task in ("success", "failed"):
        run = find(world, rules, record.request_id) if record.run is None else record.run
        if run is not None:
            after = cancel(after, rules, run)
            text = f"The listener cancels run {run + 1} if it is live"
    yield Step(text, after)
