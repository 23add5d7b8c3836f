# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The delayed starts of a connection that wait in a triggerer, for metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_healthomics.monitoring import metrics


class DelayedStarts:
    """
    Reports the number of delayed starts and the age of the oldest one.

    :param kind: run or batch
    :param place: connection of the starts
    """

    def __init__(self, kind: str, place: metrics.Place) -> None:
        self._kind = kind
        self._place = place
        self._since: dict[object, float] = {}

    @contextmanager
    def added(self, since: float) -> Iterator[None]:
        """
        Report a start while it waits.

        :param since: Unix time at which it was delayed first; 0 if that is unknown
        """
        start = object()
        self._since[start] = since or time.time()
        self.report()
        try:
            yield
        finally:
            del self._since[start]
            self.report()

    def report(self) -> None:
        """Report the current numbers."""
        now = time.time()
        age = max(now - min(self._since.values(), default=now), 0.0)
        metrics.starts_waiting(self._kind, self._place, len(self._since), age)
