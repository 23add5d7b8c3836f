# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outcome of a start: the run or batch, or a delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from airflow_healthomics.compat import conf
from airflow_healthomics.starting.decision import Decision

#: A duplicate of the request is in flight, or a different request used the same ID.
CONFLICT: Final = "ConflictException"

#: A run from before a Clear has to be cancelled first, and GetRun does not find it yet.
NOT_VISIBLE: Final = "ResourceNotFoundException"


#: Default of ``[healthomics] start_patience``: seconds for which an attempt repeats a start that does not
#: reach HealthOmics.
_START_PATIENCE: Final = 6 * 3600.0


def start_patience() -> float:
    """Return the seconds for which an attempt repeats a start that does not reach HealthOmics."""
    return float(conf.getfloat("healthomics", "start_patience", fallback=_START_PATIENCE))


class StartDelay:
    """
    A start that was throttled or did not reach HealthOmics; the same request may be repeated at any time.

    :param code: reason: an AWS error code, or class name of the connection error
    :param is_unreachable: whether HealthOmics was not reached
    :param request: fields of the start, if nothing but its call is left to do
    """

    def __init__(
        self, code: str, *, is_unreachable: bool = False, request: Mapping[str, Any] | None = None
    ) -> None:
        self.code = code
        self.is_unreachable = is_unreachable
        self.request = request

    @property
    def is_conflict(self) -> bool:
        """Whether a duplicate of the request is in flight, or a different request used the same ID."""
        return self.code == CONFLICT


class Delays(NamedTuple):
    """
    Delays of the start of an attempt so far.

    :param turns: number of turns that the start has waited for
    :param conflict_turns: number of those turns that followed a ConflictException
    :param failures: number of consecutive starts that did not reach HealthOmics
    :param since: Unix time of the first delayed start
    """

    turns: int = 0
    conflict_turns: int = 0
    failures: int = 0
    since: float = 0.0

    def after(self, delay: StartDelay, now: float) -> Delays:
        """
        Return the delays including another one.

        :param delay: the new delay
        :param now: current Unix time
        """
        return Delays(
            turns=self.turns + 1,
            conflict_turns=self.conflict_turns + delay.is_conflict,
            failures=self.failures + 1 if delay.is_unreachable else 0,
            since=self.since or now,
        )


class StartOutcome(NamedTuple):
    """
    The run or batch of a task instance.

    :param decision: the decision that led to it
    :param response: response of the start, GetRun or GetBatch, with ``requestId``
    :param is_invisible: whether an earlier attempt started it so recently that it is not found yet
    """

    decision: Decision
    response: dict[str, Any]
    is_invisible: bool = False

    @property
    def is_new(self) -> bool:
        """Whether it may not be found yet."""
        return self.is_invisible or self.decision in (Decision.START, Decision.REPEAT)
