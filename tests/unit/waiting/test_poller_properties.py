# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Each wait ends once, in time and correctly, whatever happens to runs, service and waits."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRunReplacedError
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.pace import QUIET
from airflow_healthomics.waiting.poller import Poller
from tests.unit import virtual_time
from tests.unit.simulated_omics import (
    ACTIVE,
    BROKEN,
    DENIED,
    INVALID,
    TERMINAL,
    THROTTLED,
    UNAVAILABLE,
    Call,
    Fault,
    Life,
    Records,
    SimulatedOmics,
    assert_nothing_is_left,
    moving_clock,
    silent,
    threads_of_others,
    unreachable,
)

#: Seconds by which one failure may delay the next poll, whatever the back-off.
BACK_OFF = 900.0

#: Seconds between two calls in an episode of throttling, at most, if the first of them succeeds.
LONGEST_STEP = 3.0

#: Seconds between two passes over the lists in such an episode.
CALM = 25.0

#: Seconds that are shorter than a call, but longer than a rounding error.
SHORT = 1e-4

SECONDS = st.sampled_from([0.0, 0.5, 3.0, 29.0, 60.0, 61.0, 200.0, 700.0, 900.0, 1800.0])


@dataclass(frozen=True)
class Subscription:
    """
    A subscriber of the poller.

    :ivar which: of the runs that have had the id so far, the first or the last is meant
    :ivar knows: which of uuid and creation time the subscriber knows
    :ivar group: run group that the subscriber takes for that of the run
    :ivar at: when it subscribes, after the creation of the run
    :ivar cancelled: when it gives up after that, or None
    """

    run_id: str
    which: int
    at: float
    interval: float
    knows: str
    zulu: bool
    cancelled: float | None
    group: str | None


@dataclass(frozen=True)
class Scenario:
    """Everything that will happen."""

    lives: list[Life]
    subscriptions: list[Subscription]
    faults: list[Fault]
    page_size: int
    slowest: float
    seed: int


@st.composite
def lives_of(draw: st.DrawFn, run_id: str) -> list[Life]:
    """Draw the history of an id: one run, and perhaps another one after its deletion."""
    now = draw(SECONDS)
    lives = []
    for number in range(draw(st.sampled_from([1, 1, 1, 2]))):
        hidden = draw(st.sampled_from([0.0, 0.0, 2.0, 40.0]))
        created = now
        changes: list[tuple[float, str]] = []
        for status in ACTIVE:
            if not changes or draw(st.booleans()):
                changes.append((now, status))
                now += draw(SECONDS)
        end = draw(st.sampled_from(TERMINAL))
        changes.append((now, end))
        deleted = None
        if draw(st.booleans()) or number == 0:
            # It may be deleted before anybody has seen its end, and even before the end.
            deleted = max(created + hidden + 1.0, now + draw(st.sampled_from([0.0, 0.0, 5.0, 300.0, -30.0])))
        lives.append(Life(run_id, f"{run_id}-{number}", tuple(changes), deleted, created + hidden))
        now = (deleted or now) + draw(st.sampled_from([0.0, 1.0, 100.0]))
    if len(lives) == 1 and draw(st.booleans()):
        (life,) = lives
        lives = [Life(life.id, life.uuid, life.changes, None, life.visible)]
    return lives


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a scenario."""
    lives: list[Life] = []
    subscriptions: list[Subscription] = []
    shapes = [draw(lives_of("shape")) for _ in range(draw(st.integers(1, 5)))]
    intervals = draw(st.lists(st.sampled_from([5.0, 30.0, 60.0, 60.0, 300.0]), min_size=1, max_size=3))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = random.Random(seed)
    together = draw(st.booleans())
    groups: list[str | None] = draw(st.sampled_from([[None], ["7"], ["7", "8"], [None, "7", "8"]]))
    for number in range(draw(st.sampled_from([1, 3, 5, 8, 12, 25, 40]))):
        run_id = str(1000000 + number)
        shift = 0.0 if together else rng.choice([0.0, rng.uniform(0, 120)])
        group = rng.choice(groups)
        first = True
        for life in rng.choice(shapes):
            lives.append(
                Life(
                    run_id,
                    f"{run_id}-{life.uuid[-1]}",
                    tuple((when + shift, status) for when, status in life.changes),
                    None if life.deleted is None else life.deleted + shift,
                    life.visible + shift,
                    group=group,
                )
            )
            for _ in range(rng.choice([1, 1, 2] if first else [0, 0, 1])):
                subscriptions.append(  # noqa: PERF401 - a comprehension of so much would not be read
                    Subscription(
                        run_id=run_id,
                        which=rng.choice([-1, -1, 0]),
                        at=lives[-1].created + (0.0 if together else rng.choice([0.0, 1.0, 45.0, 400.0])),
                        interval=intervals[0] if together else rng.choice(intervals),
                        knows=rng.choice(["both", "both", "uuid", "neither"]),
                        zulu=rng.random() < 0.5,
                        cancelled=rng.choice([None, None, None, None, 0.0, 50.0, 500.0]),
                        # It may be wrong, for instance because the id was given to another run.
                        group=rng.choice([group, group, None, "9"]),
                    )
                )
            first = False
    for number in range(draw(st.sampled_from([0, 0, 4, 10]))):  # of others
        begin = rng.uniform(-3600, 600)
        changes = ((begin, rng.choice(ACTIVE)), (begin + rng.uniform(100, 7200), "COMPLETED"))
        lives.append(Life(str(2000000 + number), f"foreign-{number}", changes, group=rng.choice([None, "7"])))
    faults = [
        Fault(
            begin := draw(SECONDS),
            begin + draw(st.sampled_from([0.5, 20.0, 300.0, 1200.0])),
            draw(st.sampled_from([THROTTLED, THROTTLED, BROKEN, UNAVAILABLE, unreachable, silent])),
            draw(st.sampled_from([("GetRun",), ("ListRuns",), ("GetRun", "ListRuns")])),
            draw(st.sampled_from([0.3, 1.0])),
        )
        for _ in range(draw(st.sampled_from([0, 0, 1, 3])))
    ]
    denied = draw(st.sampled_from(["never", "never", "for all time", "for a while", "GetRun too"]))
    if denied != "never":
        until = 700.0 if denied == "for a while" else float("inf")
        faults.append(Fault(0.0, until, DENIED, ("ListRuns",)))
    if draw(st.sampled_from([False, False, False, True])):
        faults.append(Fault(0.0, draw(SECONDS), INVALID, ("ListRuns",), filtered=True))
    if denied == "GetRun too":
        begin = draw(SECONDS)
        faults.append(Fault(begin, begin + 200, DENIED, ("GetRun",), draw(st.sampled_from([0.3, 1.0]))))
    return Scenario(
        lives,
        subscriptions,
        faults,
        page_size=draw(st.sampled_from([1, 3, 3, 100])),
        slowest=draw(st.sampled_from([0.001, 0.3, 5.0])),
        seed=seed,
    )


@dataclass
class Outcome:
    """The outcome of a subscription."""

    subscription: Subscription
    life: Life
    watch: RunWatch
    new_until: float
    uuid: str | None
    began: float
    ended: float = 0.0
    result: tuple[Any, ...] = ()


async def subscribe(poller: Poller, omics: SimulatedOmics, each: Subscription) -> Outcome:
    """Wait as a trigger does, and return the outcome."""
    clock = omics.clock
    await asyncio.sleep(each.at)
    known = [life for life in omics.of_id(each.run_id) if life.created <= clock.elapsed + SHORT][each.which]
    uuid = known.uuid if each.knows != "neither" else None
    created = known.creation_time if each.knows == "both" else None
    if created and not each.zulu:
        created = created.replace("Z", "+00:00")
    # AWS does not show a run that is deleted while it is new.
    new_until = min(known.visible + 20.0, float("inf") if known.deleted is None else known.deleted)
    watch = RunWatch(
        each.run_id,
        uuid=uuid,
        creation_time=created,
        list_filter=("runGroupId", each.group) if each.group else None,
        grace=new_until - clock.elapsed,
        log=Records(),
    )
    outcome = Outcome(each, known, watch, new_until, uuid, clock.elapsed)
    waiting = asyncio.ensure_future(poller.wait(watch, each.interval))
    if each.cancelled is not None:
        asyncio.get_running_loop().call_later(each.cancelled, waiting.cancel)
    await asyncio.wait([waiting])
    outcome.ended = clock.elapsed
    if waiting.cancelled():
        outcome.result = ("cancelled",)
    elif isinstance(error := waiting.exception(), HealthOmicsRunReplacedError):
        outcome.result = ("replaced", error.run_id, error.uuid, error.found)
    elif isinstance(error, HealthOmicsApiError):
        outcome.result = ("refused", error.code)
    elif error is not None:
        raise error
    else:
        summary = waiting.result()
        outcome.result = ("ended", summary["id"], summary.get("uuid"), summary["status"])
    return outcome


def meaning(
    call: Call, run_id: str, uuid: str | None, found: bool, new_until: float
) -> tuple[set[tuple[Any, ...]], str | None, bool]:
    """Return the outcome of a wait after a call, the uuid that it learns, and whether it may continue."""
    if call.answer is not None:
        seen = call.answer["uuid"]
        if uuid is not None and seen != uuid:
            return {("replaced", run_id, uuid, seen)}, uuid, False
        if call.answer["status"] in TERMINAL:
            return {("ended", run_id, seen, call.answer["status"])}, seen, False
        return set(), seen, True
    if call.code == "ResourceNotFoundException" and (call.ended >= new_until - SHORT or found):
        gone = {("ended", run_id, known, "DELETED") for known in (None, uuid)}
        return gone, uuid, call.began < new_until + SHORT
    if call.code == "AccessDeniedException":
        return {("refused", call.code)}, uuid, True
    return set(), uuid, True


def expected(outcome: Outcome, answers: list[Call], shared: bool) -> set[tuple[Any, ...]]:
    """
    Return the outcomes that the answers to GetRun allow: the first decisive one counts.

    A call that was under way when the subscriber came, or was made for another one, may serve it or not.
    """
    allowed: set[tuple[Any, ...]] = set()
    states = {(outcome.uuid, False)}
    for call in answers:
        before, states = states, set()
        if shared or call.began < outcome.began:
            states |= before
        for uuid, found in before:
            ends, now, goes_on = meaning(call, outcome.subscription.run_id, uuid, found, outcome.new_until)
            allowed |= ends
            if goes_on:
                states.add((now, found or call.answer is not None))
    return allowed


def delay(omics: SimulatedOmics, run_id: str, begin: float, end: float) -> float:
    """Return the duration of calls, and of the delays after failures, between two times."""
    total = 0.0
    throttled = -QUIET
    for position, call in enumerate(omics.calls):
        if call.began > end:
            break
        later = omics.calls[position + 1 :]
        if call.ended >= begin:
            total += call.took
        if call.code == "ThrottlingException":
            throttled = call.ended
        elif later and call.ended - throttled < QUIET:
            # The pace rises gradually, whomever it delays.
            total += min(max(later[0].began - max(call.ended, begin), 0.0), LONGEST_STEP)
        if call.error is not None and call.code != "ResourceNotFoundException":
            following = [next(iter(later), None)]
            if call.subject == run_id:
                following.append(next((other for other in later if other.subject == run_id), None))
            for other in following:
                resumed = end if other is None else other.began
                if resumed >= begin:
                    total += min(resumed - call.ended, BACK_OFF)
    return total


def check(omics: SimulatedOmics, outcome: Outcome, shared: bool) -> None:
    """Check the outcome of a subscription against the service's responses and the fields that it knows."""
    each = outcome.subscription
    if each.cancelled is not None:
        slowest = max((call.took for call in omics.calls), default=0.0)
        assert outcome.ended <= outcome.began + each.cancelled + slowest + 0.1, "cancelling it took too long"
    answers = [
        call
        for call in omics.calls
        if call.operation == "GetRun"
        and call.subject == each.run_id
        and call.ended >= outcome.began
        and call.ended <= outcome.ended
    ]
    if outcome.result == ("cancelled",):
        assert each.cancelled is not None
        return
    assert outcome.result in expected(outcome, answers, shared)
    if outcome.result[0] == "refused":
        return
    uuid, since = outcome.uuid, max(outcome.began - SHORT, outcome.life.created)
    for call in answers:
        # A response in flight when this one came may have been for another one only.
        if uuid is None and call.answer is not None and call.answer["uuid"] == outcome.watch.uuid:
            uuid, since = call.answer["uuid"], call.looked
    decided = omics.decided(each.run_id, uuid, since, outcome.new_until)
    # Whoever comes after the end of the run is notified at once.
    # An interval may be longer by a thousandth, so that simultaneous polls stay together.
    patience = 1.001 * each.interval if decided > outcome.began - SHORT / 2 else 0.0
    is_calm = any(
        call.code == "ThrottlingException" and decided - QUIET - CALM <= call.ended <= outcome.ended
        for call in omics.calls
    )
    late = outcome.ended - decided - (max(patience, CALM) if is_calm and patience else patience)
    assert late <= 0.1 + delay(omics, each.run_id, decided, outcome.ended), f"it is {late} s late"


def play(scenario: Scenario) -> None:
    """Run the scenario, and check its outcome."""
    with moving_clock() as clock:
        omics = SimulatedOmics(
            clock,
            scenario.lives,
            faults=scenario.faults,
            page_size=scenario.page_size,
            latency=(scenario.slowest / 10, scenario.slowest),
            seed=scenario.seed,
        )

        async def connect() -> SimulatedOmics:
            return omics

        async def main() -> list[Outcome]:
            threads = threads_of_others()
            poller = Poller(connect)
            outcomes = await asyncio.gather(
                *(subscribe(poller, omics, each) for each in scenario.subscriptions)
            )
            await assert_nothing_is_left(threads)
            return outcomes

        outcomes = virtual_time.run(clock, main())
        assert omics.misuse == []
        assert len(outcomes) == len(scenario.subscriptions)
        for outcome in outcomes:
            check(omics, outcome, [each.run_id for each in scenario.subscriptions].count(outcome.life.id) > 1)


@given(scenarios())
@settings(
    deadline=None,
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_every_wait_ends_once_in_time_and_correctly(scenario: Scenario) -> None:
    """None is lost, none ends before its run, and the poller leaves nothing behind."""
    play(scenario)
