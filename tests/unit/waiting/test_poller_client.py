# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The credentials and the connection of the poller's client."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from tests.unit.simulated_omics import BROKEN, DENIED, EXPIRED, Fault, unreachable
from tests.unit.waiting.scenes import HOUR, Make, running


def test_credentials_that_work_again_within_minutes_end_no_wait(make: Make) -> None:
    """Whatever the number of refused calls."""
    scene = make([running(number) for number in range(3)], faults=[Fault(1000, 1250, EXPIRED)])
    summaries = scene.run(scene.wait_for_all(interval=10))
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3


def test_expired_credentials_are_renewed(make: Make) -> None:
    """They last an hour, and a run a day."""
    scene = make([running(number) for number in range(3)], faults=[Fault(1000, math.inf, EXPIRED)])

    def refresh() -> None:
        if scene.connects > 1:
            scene.omics.faults.clear()

    scene.before_connect = refresh
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3
    assert 2 <= scene.connects <= 4
    assert all(end <= HOUR + 60 + 10 for end in scene.ends.values())


def test_expired_credentials_delay_nothing(make: Make) -> None:
    """For any interval: the refused poll is repeated, without a log line."""
    scene = make([running(number, HOUR - 1) for number in range(3)], faults=[Fault(1900, math.inf, EXPIRED)])

    def refresh() -> None:
        if scene.connects > 1:
            scene.omics.faults.clear()

    scene.before_connect = refresh
    scene.run(scene.wait_for_all(interval=1800))
    assert scene.connects == 2
    assert max(scene.ends.values()) <= HOUR + 1
    assert not any(scene.warnings(""))


def test_credentials_that_have_never_worked_are_reported_at_once(make: Make) -> None:
    """A new client would have the same."""
    scene = make([running(1, 100)], faults=[Fault(0, 1, EXPIRED)])
    scene.run(scene.wait_for_all())
    assert scene.omics.count(until=1) == 1
    ((line,),) = scene.warnings("ExpiredToken")
    assert line.startswith("GetRun for run")


@pytest.mark.parametrize(("seconds", "is_reported"), [(300, False), (40, True)])
def test_credentials_that_expire_soon_again_are_reported(make: Make, seconds: int, is_reported: bool) -> None:
    """They are wrong, unlike those that expire after an hour."""
    expiries = [Fault(number * seconds, math.inf, EXPIRED) for number in range(1, 5)]
    scene = make([running(1, 1800)], faults=expiries)

    def refresh() -> None:
        if scene.connects > 1:
            scene.omics.faults.pop(0)

    scene.before_connect = refresh
    scene.run(scene.wait_for_all(interval=10))
    assert scene.connects > 4
    assert any(scene.warnings("ExpiredToken")) is is_reported


@pytest.mark.parametrize("lasts", [False, True])
def test_lists_with_expired_credentials_are_read_again(make: Make, lasts: bool) -> None:
    """Runs need no single calls, and the warning names the operation."""
    scene = make([running(number, 900) for number in range(10)], faults=[Fault(300, 600, EXPIRED)])

    def refresh() -> None:
        if scene.connects > 1 and not lasts:
            scene.omics.faults.clear()

    scene.before_connect = refresh
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=120, until=880) == 0
    for lines in scene.warnings(""):
        assert len(lines) == lasts
        assert all("ListRuns" in line and "ExpiredTokenException" in line for line in lines)


@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize(
    ("error", "operation", "code"),
    [
        (EXPIRED("AssumeRole"), "AssumeRole", "ExpiredTokenException"),
        (NoCredentialsError(), "The connection", "NoCredentialsError"),
        (BROKEN("AssumeRole"), "AssumeRole", "InternalServerException"),
    ],
    ids=str,
)
def test_a_client_that_cannot_be_made_is_reported_to_all_waits(
    make: Make, error: Exception, operation: str, code: str, count: int
) -> None:
    """Once, with the failed call, and nothing is polled without a client."""
    scene = make([running(number, 100) for number in range(count)])

    def fail() -> None:
        if scene.connects == 1:
            raise error

    scene.before_connect = fail
    scene.run(scene.wait_for_all())
    assert scene.connects == 2
    for life in scene.lives:
        (line,) = scene.logs[life.id].warnings
        assert line.startswith(f"{operation} for run {life.id}")
        assert code in line


def test_waits_that_are_due_together_share_the_attempts_at_a_client(make: Make) -> None:
    """Each attempt may cost a call of the security token service."""
    scene = make([running(number, 900) for number in range(2)], faults=[Fault(100, 400, EXPIRED)])
    connects: list[float] = []

    def fail() -> None:
        connects.append(scene.clock.elapsed)
        if 100 <= scene.clock.elapsed < 400:
            raise NoCredentialsError

    scene.before_connect = fail

    async def main() -> None:
        await asyncio.gather(scene.wait(scene.lives[0]), scene.wait(scene.lives[1], at=0.5))

    scene.run(main())
    assert len(connects) >= 5
    assert all(later - earlier > 4 for earlier, later in pairwise(connects))


def test_a_token_service_that_is_down_is_called_less_and_less_often(make: Make) -> None:
    """After some minutes, once a minute."""
    scene = make([running(number, 1200) for number in range(3)])

    def fail() -> None:
        if scene.clock.elapsed < 900:
            raise BROKEN("AssumeRole")

    scene.before_connect = fail
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 3
    assert 15 <= scene.connects <= 40


def test_the_connection_is_checked_every_five_minutes(make: Make) -> None:
    """A look-up costs a request to the API server."""
    scene = make([running(1)])
    scene.run(scene.wait_for_all(interval=10))
    gaps = [later - earlier for earlier, later in pairwise([0.0, *scene.checks])]
    assert len(gaps) >= 11
    assert all(300 <= gap <= 311 for gap in gaps)
    assert scene.connects == 1


def test_a_changed_connection_has_a_new_client_as_soon_as_it_works(make: Make) -> None:
    """Until then the known one is used, which may work."""
    scene = make([running(1)])
    scene.clock.at(1000, lambda: setattr(scene, "has_changed", True))

    def fail() -> None:
        if 1 < scene.connects < 4:
            raise NoCredentialsError
        scene.has_changed = False

    scene.before_connect = fail
    scene.run(scene.wait_for_all())
    assert scene.connects == 4
    assert not any(scene.warnings(""))
    assert scene.omics.count() >= HOUR / 60


def test_credentials_that_stay_expired_end_the_waits(make: Make) -> None:
    """After an hour, retryably, with AWS's code."""
    scene = make([running(number) for number in range(3)], faults=[Fault(100, math.inf, EXPIRED)])
    for error in scene.run(scene.wait_for_all()):
        assert isinstance(error, HealthOmicsOutcomeUnknownError)
        assert not isinstance(error, AirflowFailException)
        assert error.code == "ExpiredTokenException"
    assert max(scene.ends.values()) <= 100 + HOUR + 120
    assert scene.connects <= 70


@pytest.mark.parametrize("error", [EXPIRED, DENIED, unreachable], ids=["expired", "denied", "unreachable"])
def test_refusals_are_logged_at_intervals_and_when_they_are_over(make: Make, error: Any) -> None:
    """One warning at the beginning, one every ten minutes, one line at the end; the run is not lost."""
    # Each run is tried at least once in three minutes, so its third warning comes by 2,630 s.
    scene = make([running(number, 2 * HOUR) for number in range(3)], faults=[Fault(1000, 2700, error)])
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3
    for log in scene.logs.values():
        assert len([line for line in log.warnings if "refused" in line]) == len(log.warnings) == 3
        assert len([line for line in log.infos if "succeed again" in line]) == 1
    assert max(scene.ends.values()) <= 2 * HOUR + 130


def test_a_temporarily_failing_connection_is_retried(make: Make) -> None:
    """The security token service may be down."""
    scene = make([running(number) for number in range(3)])

    def fail() -> None:
        if scene.connects <= 3:
            raise unreachable("AssumeRole")

    scene.before_connect = fail
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3


def test_a_connection_that_always_fails_ends_all_waits(make: Make) -> None:
    """After an hour; the next wait may succeed."""
    scene = make([running(number, end=10 * HOUR) for number in range(3)])

    def fail() -> None:
        raise NoCredentialsError

    async def main() -> None:
        scene.before_connect = fail
        errors = await scene.wait_for_all()
        assert all(isinstance(error, HealthOmicsOutcomeUnknownError) for error in errors)
        assert scene.connects <= 70
        assert max(scene.ends.values()) < HOUR + 120
        scene.before_connect = lambda: None
        summaries = await scene.wait_for_all()
        assert [each["status"] for each in summaries] == ["COMPLETED"] * 3

    scene.run(main())
