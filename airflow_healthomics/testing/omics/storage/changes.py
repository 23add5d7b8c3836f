# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Planned changes of stores, read sets and shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from airflow_healthomics.testing.options import Options


@dataclass(eq=False)
class PlannedChange:
    """
    A change that becomes due some time after an event.

    :param since: The time of the event.
    :param seconds: Returns the delay; None for never.
    :param make: Makes the change at a time. It returns None, or the time of a later event that postpones it.
    """

    since: float
    seconds: Callable[[Options], float | None]
    make: Callable[[float], float | None]
    done: bool = False

    def due(self, options: Options) -> float | None:
        """Return the time of the change, or None after it."""
        if self.done:
            return None
        seconds = self.seconds(options)
        return inf if seconds is None else self.since + seconds

    def apply(self, at: float) -> None:
        """Make the change, or postpone it."""
        postponed_since = self.make(at)
        self.done = postponed_since is None
        if postponed_since is not None:
            self.since = postponed_since
