# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One start at a time, at a steady rate."""

from __future__ import annotations


class Turnstile:
    """
    Let one through at a time, at a steady rate.

    :param rate: turns a second
    """

    def __init__(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"[healthomics] start_rate must be above 0, not {rate}")
        self._interval = 1 / rate
        self._next = 0.0

    def reserve(self, not_before: float) -> float:
        """
        Return the time of the next free turn, which is then taken.

        :param not_before: earliest time, in seconds of the event loop's clock
        """
        turn = max(self._next, not_before)
        self._next = turn + self._interval
        return turn
