# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Verbs for calls: faults, throttling, recorded calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from airflow_healthomics.testing.faults import DelayFault, DropFault, ErrorFault, Fault, HoldFault, When
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.exceptions import error_of
from airflow_healthomics.testing.outbox import EventFaults

from .verbs import Verbs, verb, wait


class CallVerbs(Verbs):
    """Verbs for calls."""

    @verb
    def inject_error(
        self,
        operation: str,
        code: str = "InternalServerException",
        *,
        status: int | None = None,
        message: str = "injected by the local HealthOmics",
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Answer the next calls of an operation with an error.

        Arguments of all faults:

        :param operation: API operation, or ``*``.
        :param when: ``before`` or ``after`` the effect of the call.
        :param times: Number of calls; None for all.
        :param probability: Probability of the fault for each call.
        :param match: Members that the request must have, e.g. ``{"id": "1234567"}``.
        """
        error = error_of(code, message, status)
        self._plan(ErrorFault, operation, when, times, probability, match, error=error)

    @verb
    def drop_connection(
        self,
        operation: str,
        *,
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """Close the connection without an answer. With ``when="after"``, the call has had its effect."""
        self._plan(DropFault, operation, when, times, probability, match)

    @verb
    def delay(
        self,
        operation: str,
        seconds: float,
        *,
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """Delay the answer by real seconds."""
        self._plan(DelayFault, operation, when, times, probability, match, seconds=seconds)

    @verb
    def hold(
        self,
        operation: str,
        name: str,
        *,
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """Hold calls until :meth:`release` is called with the name. Other calls are not blocked."""
        self._plan(HoldFault, operation, when, times, probability, match, name=name)

    @verb
    def release(self, name: str) -> int:
        """Release the calls held under a name, hold no further ones, and return their number."""
        return LOCAL.faults.release(name)

    @verb
    def wait_until_held(self, name: str, *, count: int = 1, timeout: float = 30.0) -> None:
        """
        Wait until ``count`` calls are held under a name.

        :raises TimeoutError: after ``timeout`` seconds.
        """
        LOCAL.faults.wait_until_held(name, count, timeout)

    @verb
    def clear_faults(self) -> None:
        """Remove all planned faults of calls and events, and release held and delayed calls."""
        LOCAL.faults.clear(LOCAL.options.seed)
        self.disturb_events()

    @verb
    def disturb_events(
        self,
        *,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
        delay_seconds: float = 0.0,
    ) -> None:
        """
        Disturb the delivery of all further events to EventBridge. Without arguments, it is perfect again.

        :param loss: Probability that an event is lost.
        :param duplication: Probability that an event is delivered twice.
        :param reordering: Probability that an event is delivered after the next one, or after a second of the
            local clock.
        :param delay_seconds: Maximum delay by the local clock. Each event gets a random part of it, so that
            later events may overtake it.
        """
        faults = EventFaults(
            loss=loss, duplication=duplication, reordering=reordering, delay_seconds=delay_seconds
        )
        with LOCAL.lock:
            LOCAL.outbox.faults = faults

    @verb
    def set_throttling(self, on: bool = True, *, rates: Mapping[str, float] | None = None) -> None:
        """Throttle at the documented default rates, or at ``rates`` in calls per second by operation."""
        with LOCAL.lock:
            LOCAL.throttle.clear()
            LOCAL.options = replace(LOCAL.options, throttling=on, rates=rates or LOCAL.options.rates)

    @verb
    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """
        Return the last 10,000 calls: operation, time, HTTP status, error and ids, but no parameter values.

        :param operation: Only calls of this operation.
        """
        with LOCAL.lock:
            return [asdict(call) for call in LOCAL.calls if operation in (None, call.operation)]

    @verb
    def call_counts(self, *, ok: bool = False) -> dict[str, int]:
        """
        Return the number of calls by operation.

        :param ok: Without calls that got an error, or no answer.
        """
        with LOCAL.lock:
            return {name: n for name, n in (LOCAL.succeeded if ok else LOCAL.arrived).items() if n}

    @verb
    def wait_for_call(
        self, operation: str, *, count: int = 1, answered: bool = True, timeout: float = 30.0
    ) -> None:
        """Wait until ``count`` calls of an operation arrived and, by default, were answered."""

        def seen() -> int:
            return (LOCAL.answered if answered else LOCAL.arrived)[operation]

        wait(lambda: seen() >= count, timeout, lambda: f"{seen()} of {count} calls of {operation}")

    def _plan(
        self,
        kind: type[Fault],
        operation: str,
        when: When,
        times: int | None,
        probability: float,
        match: Mapping[str, Any] | None,
        **more: Any,
    ) -> None:
        fault = kind(
            operation=operation, when=when, times=times, probability=probability, match=match or {}, **more
        )
        LOCAL.faults.plan(fault)
