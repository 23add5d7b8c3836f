# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one run per task instance in every history that the simulation plays."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import findings
from tests.simulation.history import CANARY, play
from tests.simulation.plan import Plan, Setting, parse
from tests.simulation.plans import FAMILIES, random_plan
from tests.unit.conftest import needs_store

pytestmark = needs_store

#: Random histories of ``make test``, and the number of them in one test.
RANDOM = 1000
AT_ONCE = 50

#: Histories that once broke a promise, by the defect of the package.
REGRESSIONS = {
    "reattached to a run that GetRun did not find yet, and took it for deleted": (
        "fates=FL,get_lag=20,list_lag=20 0 7:losing 15:overlap:40 36:overlap:26"
    ),
    "failed permanently for expired credentials while its batch was active": (
        "kind=batch,deferred=False,fates=FL,on_failure=cancel,on_clear=new,timeout=90 0 54:crash "
        "99:outage:expired"
    ),
    "gave up the cancellation after a Clear, since GetRun did not find the run yet": (
        "waits=False,fates=L,get_lag=20,on_failure=cancel,timeout=90 0 5:clear 38:overlap:6"
    ),
    "left a run after the last timeout without a word": (
        "kind=batch,store=False,fates=FL,cancels=False,timeout=90 310768 27:overlap:152 149:timeout"
    ),
    "recorded the end of a killed attempt, so that nobody cancelled its batch": (
        "kind=batch,waits=False,fates=L 0 9:losing 10:kill:first 17:clear 29:overlap:14"
    ),
    "let a lost attempt settle the record of the attempt after it": (
        "deferred=False,waits=False,fates=L,on_failure=cancel 0 14:crash 22:overlap:19 31:kill"
    ),
    "reattached after a Clear, because the attempt that discarded the run had failed": (
        "kind=batch,deferred=False,waits=False,fates=L,list_lag=20,on_failure=cancel 0 14:clear:first "
        "19:outage:throttled 29:outage:expired"
    ),
    "left a run when the last attempt timed out before it waited": (
        "fates=L,list_lag=50,on_failure=cancel,timeout=90 0 164:timeout"
    ),
    "ended the process before the run of a killed task was cancelled": "store=False,fates=L 0 9:kill",
    "left a run after the last timeout, because the credentials had just expired": (
        "fates=L,on_failure=cancel,timeout=90 0 209:outage:expired 227:overlap:61 397:clear:first"
    ),
    "started a new run after a Clear before ListRuns showed the lost one": (
        "waits=False,fates=L,get_lag=20,list_lag=50,on_failure=cancel,on_clear=new 832073 1:overlap:10 "
        "13:crash 14:clear"
    ),
    "failed permanently for expired credentials beside a run that ListRuns may not show": (
        "store=False,deferred=False,waits=False,fates=L,list_lag=50,denied=True,on_clear=new 0 1:overlap:3 "
        "3:outage:expired"
    ),
    "gave up the cancellation of a batch that left CREATING meanwhile": (
        "kind=batch,store=False,waits=False,fates=L,on_failure=cancel 0 5:kill:first"
    ),
    "left a run because a second timeout interrupted the first one's cancellation": (
        "fates=FL,list_lag=20,timeout=90 321114 44:clear 45:losing 175:overlap:85 234:timeout"
    ),
    "started a second run after a delay, since HealthOmics had forgotten the request ID of the first": (
        "store=False,deferred=False,fates=FC,timeout=90 941272 34:outage:throttled 50:evict 67:forget"
    ),
    "failed with the error of a look-up instead of its own": (
        "kind=batch,store=False,fates=FFC,cancels=False,on_failure=cancel,timeout=90 699976 55:crash "
        "67:overlap:88 129:outage:expired 200:losing"
    ),
}


@pytest.mark.parametrize("first", range(0, RANDOM, AT_ONCE))
def test_random_histories(first: int) -> None:
    """Random faults at random points; each failure comes with its seed and the command that replays it."""
    found = [
        f"seed {seed}: {text}"
        for seed in range(first, first + AT_ONCE)
        for text in findings(random_plan(seed))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("family", "setting"),
    [
        pytest.param(name, setting, id=f"{name} {setting}")
        for name, (_, settings, _) in FAMILIES.items()
        for setting in settings
    ],
)
def test_exhaustive_histories(family: str, setting: Setting) -> None:
    """Each fault at each I/O point of the fault-free history."""
    play_all, *_ = FAMILIES[family]
    found = [text for plan in play_all(setting) for text in findings(plan)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("plan", REGRESSIONS.values(), ids=REGRESSIONS)
def test_a_fixed_defect_stays_fixed(plan: str) -> None:
    """Each history has found one."""
    assert findings(parse(plan)) == []


def test_a_history_is_reproducible() -> None:
    """The same plan gives the same points at the same times, and the same log."""
    plan = random_plan(7)
    first, second = play(plan), play(parse(str(plan)))
    assert first.scheduler.trace == second.scheduler.trace
    assert first.logs.lines == second.logs.lines


def test_instrumentation_finds_the_points() -> None:
    """Of each kind: calls, the record, XComs, the deferral, the trigger and the end."""
    labels = {point.label for point in play(Plan(Setting())).scheduler.trace}
    assert labels >= {
        "StartRun",
        "GetRun",
        "store get",
        "store set",
        "XCom",
        "defer",
        "event",
        "report success",
    }


def test_the_parameters_reach_the_service() -> None:
    """Otherwise their absence from logs and XComs would prove nothing."""
    (run,) = play(Plan(Setting())).service.resources
    assert CANARY in str(run.request["parameters"])
