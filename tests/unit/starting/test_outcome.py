# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The delays of a start, as the next deferral counts them."""

from __future__ import annotations

from airflow_healthomics.starting.outcome import Delays, StartDelay

UNREACHABLE = StartDelay("EndpointConnectionError", is_unreachable=True)
CONFLICT = StartDelay("ConflictException")
THROTTLED = StartDelay("ThrottlingException")


def test_only_consecutive_failures_to_reach_healthomics_count() -> None:
    """After a response, even of throttling, the shortest delay applies again."""
    delays = Delays()
    failures = []
    for delay in (UNREACHABLE, UNREACHABLE, THROTTLED, UNREACHABLE):
        delays = delays.after(delay, 100.0)
        failures.append(delays.failures)
    assert failures == [1, 2, 0, 1]


def test_conflicts_are_counted_separately() -> None:
    """Only they show that the request will never be accepted."""
    delays = Delays()
    for delay in (CONFLICT, THROTTLED, CONFLICT):
        delays = delays.after(delay, 100.0)
    assert (delays.turns, delays.conflict_turns) == (3, 2)


def test_the_first_delay_is_remembered() -> None:
    """The time limit of a start that does not reach HealthOmics counts from there."""
    assert Delays().after(UNREACHABLE, 100.0).after(UNREACHABLE, 200.0).since == 100.0
