# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Rate limit for delayed starts, so that a triggerer does not resume all of them at once."""

from __future__ import annotations


class Turnstile:
    """
    Spread starts evenly in time.

    :param rate: turns per second
    """

    def __init__(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"[healthomics] start_rate must be above 0, not {rate}")
        self._interval = 1 / rate
        self._next = 0.0

    def reserve(self, not_before: float) -> float:
        """
        Reserve the next free turn and return its time.

        :param not_before: earliest time, in seconds of the event loop's clock
        """
        turn = max(self._next, not_before)
        self._next = turn + self._interval
        return turn
