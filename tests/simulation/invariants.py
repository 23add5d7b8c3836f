# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Promises that must hold after each history, and the named exceptions of the design."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from airflow_healthomics.exceptions import (
    HealthOmicsOutcomeLostError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsResultUnavailableError,
    HealthOmicsUnwatchedError,
)
from tests.simulation.history import CANARY, History
from tests.simulation.service import Resource

#: Terminal states of a success.
DONE = ("COMPLETED", "PROCESSED")


#: Errors that another attempt may mend.
UNKNOWN_OUTCOMES = (
    HealthOmicsOutcomeUnknownError,
    HealthOmicsResultUnavailableError,
    HealthOmicsUnwatchedError,
)

#: The violation as text, and the run or batch concerned.
Finding: TypeAlias = tuple[str, Resource | None]


@dataclass(frozen=True)
class Violation:
    """
    A broken promise.

    :param promise: name of the promise
    :param text: the violation
    :param resource: the run or batch concerned, if there is one
    """

    promise: str
    text: str
    resource: Resource | None = None


@dataclass(frozen=True)
class Exemption:
    """
    A case in which a promise cannot hold by design.

    :param name: name of the case
    :param reason: why it cannot hold, and which page says so
    :param promise: name of the promise
    :param applies: whether a history, and the run or batch concerned, are such a case
    """

    name: str
    reason: str
    promise: str
    applies: Callable[[History, Resource | None], bool]


def own(history: History) -> list[Resource]:
    """Return the runs or batches of the task, without the runs of its batches."""
    return [each for each in history.service.resources if each.owner is not None and each.parent is None]


def _one_at_a_time(history: History) -> Iterator[Finding]:
    for first, second in history.overlaps:
        text = (
            f"{first.owner} and {second.owner} started {first.kind} {first.id} and {second.id} in epoch "
            f"{first.epoch}, and the first had not failed"
        )
        yield text, second


def _none_left(history: History) -> Iterator[Finding]:
    now, text = history.scheduler.elapsed, history.text
    setting = history.plan.setting
    is_left_to_itself = not setting.waits and history.airflow.state == "success"
    for resource in history.service.resources:
        if resource.owner is None or not resource.is_live(now):
            continue
        of = resource.parent or resource
        if is_left_to_itself and of.id == history.airflow.outcome:
            continue
        is_said = any(
            f"{of.kind} {of.id} continues because on_failure is 'leave'" in line
            or (f"{of.kind} {of.id} " in line and "continues because cancel_on_kill is False" in line)
            for line in text.splitlines()
        )
        is_kill_ignored = not setting.cancels and history.airflow.was_killed
        if not is_said and not is_kill_ignored:
            yield f"{resource.kind} {resource.id} of epoch {resource.epoch} ({resource.owner}) is alive", of


def _outcome(history: History) -> Iterator[Finding]:
    airflow, now = history.airflow, history.scheduler.elapsed
    if airflow.was_killed:
        return
    if airflow.state != "success":
        outcome = airflow.outcome
        yield f"the task is {airflow.state}: {type(outcome).__name__}: {str(outcome)[:300]}", None
        return
    resource = {each.id: each for each in own(history)}.get(airflow.outcome)
    if resource is None:
        yield f"the task returned {airflow.outcome}, which is not one of its runs", None
        return
    if history.plan.setting.waits and resource.status(now) not in DONE:
        yield f"the task succeeded, but {resource.kind} {resource.id} is {resource.status(now)}", resource
    if resource.epoch != airflow.epoch and "It reattaches to the" not in history.text:
        subject = f"{resource.kind} {resource.id} of epoch {resource.epoch}"
        yield f"after {airflow.epoch} Clears, the task returned {subject}", resource


def _strangers(history: History) -> Iterator[Finding]:
    for resource in history.service.resources:
        if resource.owner is None and resource.is_cancelled:
            yield f"{resource.kind} {resource.id} of another task was cancelled", resource


def _private(history: History) -> Iterator[Finding]:
    for line in history.text.splitlines():
        if CANARY in line:
            yield f"a parameter is in: {line[:200]}", None


def _ends(history: History) -> Iterator[Finding]:
    if history.failure:
        yield history.failure, None
    elif not history.airflow.is_settled:
        yield f"the task is {history.airflow.state}, and nothing will change that", None


PROMISES: Final[dict[str, Callable[[History], Iterator[Finding]]]] = {
    "one at a time": _one_at_a_time,
    "none left": _none_left,
    "outcome": _outcome,
    "strangers": _strangers,
    "privacy": _private,
    "ends": _ends,
}


def _ended_before_kill(history: History) -> bool:
    """Whether an attempt had recorded its own end before the kill, and no later one had the run."""
    airflow = history.airflow
    if airflow.store is None or not airflow.store.settled_by:
        return False
    has_ended = airflow.store.settled_by in {airflow.killed_process, *history.crashed}
    # A Clear had ended the last attempt, and the kill came before the next one.
    is_between = not airflow.killed_process
    return has_ended or is_between or airflow.record["attempt"] < airflow.try_number


def _cannot_list(history: History) -> bool:
    return bool(history.plan.setting.denied or history.plan.setting.list_lag)


def _has_trouble(history: History) -> bool:
    has_lag = bool(history.plan.setting.get_lag) or _cannot_list(history)
    return has_lag or _has(history, "outage", "losing")


def _was_ended(history: History, resource: Resource | None) -> bool:
    """Whether a person or a timeout ended an attempt that may have started the run."""
    airflow = history.airflow
    is_cleared = resource is not None and resource.epoch < airflow.epoch
    has_timed_out = bool(history.plan.setting.timeout) or _has(history, "timeout")
    return airflow.was_killed or is_cleared or has_timed_out


def _has(history: History, *names: str) -> bool:
    return any(action.name in names for action in history.happened)


EXEMPTIONS: Final = (
    Exemption(
        "too short a timeout",
        "execution_timeout ends each attempt before a run of an hour has, so the last one fails",
        "outcome",
        lambda history, _: bool(history.plan.setting.timeout) and "L" in history.plan.setting.fates,
    ),
    Exemption(
        "deleted",
        "a run that was deleted has no outcome, and on_unknown_end is 'fail'",
        "outcome",
        lambda history, _: _has(history, "give_away"),
    ),
    Exemption(
        "no batch outcomes",
        "the outcomes of a batch require the permission omics:ListRuns",
        "outcome",
        lambda history, _: history.plan.setting.denied and history.plan.setting.kind == "batch",
    ),
    Exemption(
        "outcome not listed yet",
        "a Clear with on_clear='reattach' within the lag of lists does not find the runs of a batch ended "
        "within it; the next Clear finds them",
        "outcome",
        lambda history, _: (
            history.plan.setting.kind == "batch"
            and bool(history.plan.setting.list_lag)
            and isinstance(history.airflow.outcome, HealthOmicsOutcomeLostError)
        ),
    ),
    Exemption(
        "refused before anything was started",
        "without a run there is nothing to wait for, so a refused start fails at once",
        "outcome",
        lambda history, _: (
            _has(history, "outage")
            and getattr(history.airflow.outcome, "code", "") == "ExpiredTokenException"
            and not any(
                each.is_live(history.scheduler.elapsed) and each.epoch == history.airflow.epoch
                for each in own(history)
            )
        ),
    ),
    Exemption(
        "no attempt left",
        "timeouts, and credentials that are refused while an attempt looks for its run, use up attempts; the "
        "last one fails, and a Clear reattaches",
        "outcome",
        lambda history, _: (
            isinstance(history.airflow.outcome, UNKNOWN_OUTCOMES)
            and "ExpiredTokenException" in str(history.airflow.outcome)
            and (
                bool(history.plan.setting.timeout)
                or sum(action.argument == "expired" for action in history.happened) > 1
            )
        ),
    ),
    Exemption(
        "unnoticed end",
        "before Airflow 3.3, nothing notices that a person ends a task without a process on a worker, a "
        "second Clear hides the first from the ending worker, and a Clear leaves no record of the run before "
        "it (README, limits)",
        "none left",
        lambda history, resource: (
            not history.plan.setting.store
            and resource is not None
            and resource.epoch in history.airflow.unnoticed
        ),
    ),
    Exemption(
        "no second chance",
        "before Airflow 3.3, a killed or timed-out worker must find and cancel its run at once, so a crash, "
        "an outage, a lag or a denied list leaves it",
        "none left",
        lambda history, resource: (
            not history.plan.setting.store
            and (_has_trouble(history) or bool(history.crashed))
            and _was_ended(history, resource)
        ),
    ),
    Exemption(
        "no record of what was left",
        "before Airflow 3.3, cancel_on_kill=False leaves a run, and after a Clear no log can say so",
        "none left",
        lambda history, resource: (
            not history.plan.setting.store
            and not history.plan.setting.cancels
            and resource is not None
            and resource.epoch < history.airflow.epoch
        ),
    ),
    Exemption(
        "killed at the end",
        "a task that does not wait leaves its run alone once it has recorded its end; a kill comes too late "
        "before Airflow knows of that end, and until the next attempt holds the run",
        "none left",
        lambda history, _: not history.plan.setting.waits and _ended_before_kill(history),
    ),
    Exemption(
        "killed before the id was recorded",
        "a run whose id is not recorded can only be found by ListRuns, or by a repeat of its request, which "
        "would start it if it had not started before",
        "none left",
        lambda history, resource: (
            history.plan.setting.denied
            and history.airflow.was_killed
            and resource is not None
            and history.airflow.record.get("resource_id") != resource.id
        ),
    ),
    *(
        Exemption(
            "last attempt lost",
            "nobody is left to cancel the run, or wait for it, if the worker of the last attempt is lost",
            promise,
            lambda history, _: history.airflow.is_last_lost,
        )
        for promise in ("none left", "outcome")
    ),
    Exemption(
        "API server lost",
        "a kill that only the API server has noticed is lost with it",
        "none left",
        lambda history, _: any(name.startswith("api-server") for name in history.crashed),
    ),
    *(
        Exemption(
            "request ID forgotten",
            "once HealthOmics has forgotten the request ID, only ListRuns can find a run whose id is not "
            "recorded; it cannot if it is denied or lags, and an attempt that Airflow has lost does not look",
            promise,
            lambda history, _: _has(history, "forget") and (_cannot_list(history) or bool(history.zombies)),
        )
        for promise in ("one at a time", "none left")
    ),
)


def violations(history: History) -> list[Violation]:
    """
    Return the broken promises of a history, without those that it is exempt from.

    :param history: a history that was played
    """
    return [
        Violation(promise, text, resource)
        for promise, check in PROMISES.items()
        for text, resource in check(history)
        if not any(each.promise == promise and each.applies(history, resource) for each in EXEMPTIONS)
    ]
