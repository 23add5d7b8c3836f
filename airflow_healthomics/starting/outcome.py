# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outcome of a start: the run or batch, or a delay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from airflow_healthomics.starting.decision import Decision

#: A duplicate of the request is in flight, or a request that differs has its ID.
CONFLICT: Final = "ConflictException"


@dataclass(frozen=True)
class StartDelay:
    """
    The start is throttled or unavailable for now; the same request may be repeated at any time.

    :param request_id: request ID of the start
    :param code: the AWS error code, or the class of the connection's error
    :param is_unreachable: whether HealthOmics was never reached
    """

    request_id: str
    code: str
    is_unreachable: bool = False

    @property
    def is_conflict(self) -> bool:
        """Whether a duplicate of the request is in flight, or a request that differs has its ID."""
        return self.code == CONFLICT


@dataclass(frozen=True)
class Delays:
    """
    How often and for how long the start of an attempt was delayed.

    :param turns: turns that it has waited for
    :param conflict_turns: how many of them followed a ConflictException
    :param failures: starts in a row that have not reached HealthOmics
    :param since: Unix time of the first start that was delayed
    """

    turns: int = 0
    conflict_turns: int = 0
    failures: int = 0
    since: float = 0.0

    def after(self, delay: StartDelay, now: float) -> Delays:
        """
        Return the delays with one more.

        :param delay: the new one
        :param now: Unix time
        """
        return Delays(
            turns=self.turns + 1,
            conflict_turns=self.conflict_turns + delay.is_conflict,
            failures=self.failures + 1 if delay.is_unreachable else 0,
            since=self.since or now,
        )


@dataclass(frozen=True)
class StartOutcome:
    """
    The run or batch of a task instance.

    :param decision: STARTed or REPEATed now, REATTACHed, to be WAITed OUT, or DONE already
    :param response: what the start or GetRun or GetBatch answered, with ``requestId``
    """

    decision: Decision
    response: dict[str, Any]

    @property
    def is_new(self) -> bool:
        """Whether it was started just now."""
        return self.decision in (Decision.START, Decision.REPEAT)
