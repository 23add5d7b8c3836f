# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""When the runs of a poller are due: together if they are listed, later while ListRuns is throttled."""

from __future__ import annotations

import random
from typing import Final

from airflow_healthomics.waiting.list_choice import MAX_DIRECT_POLLS
from airflow_healthomics.waiting.pace import QUOTA
from airflow_healthomics.waiting.timetable import Subscription, shared_interval

#: Factor for the poll interval if runs are listed. A pass takes time, because each end is confirmed by a
#: separate call. This factor compensates for it even if half of the runs end in one interval.
_LISTING_INTERVAL_FACTOR: Final = 0.75

#: The factor is not applied if the passes would cost more than this share of the quota of ListRuns.
_MAX_QUOTA_SHARE: Final = 0.25

#: Minimum seconds between the beginnings of two passes over the lists while ListRuns is throttled, in total
#: and per page of a pass. Other pollers and people need the quota, too.
_CALM_PERIOD: Final = 22.0
_CALM_PERIOD_OF_A_PAGE: Final = 0.75

#: Relative jitter of this period, so that pollers do not collide repeatedly.
_CALM_JITTER: Final = 0.1


class Rhythm:
    """
    The due times of a poller's waits.

    More than a few runs with the same poll interval are due together. With lists, similar intervals are
    rounded down to a common one.

    :ivar is_listing: whether the last due runs were cheaper to list
    """

    def __init__(self) -> None:
        self.is_listing = False
        self._began = 0.0
        self._calm_period = 0.0
        self._pages = 0
        # Pollers of several processes must not list at the same moment.
        self._phase = random.random()  # noqa: S311 - spreads the load, guards no secret

    @property
    def calm_until(self) -> float:
        """Time before which no other pass begins while ListRuns is throttled."""
        return self._began + self._calm_period

    def begin_pass(self, now: float) -> None:
        """Account for a pass over the lists that begins."""
        self.is_listing = True
        # The same period for all runs of a pass, so that they are due together.
        jitter = random.uniform(1 - _CALM_JITTER, 1 + _CALM_JITTER)  # noqa: S311 - as for _phase
        self._began = now
        self._calm_period = max(_CALM_PERIOD, _CALM_PERIOD_OF_A_PAGE * self._pages) * jitter

    def end_pass(self, pages: int) -> None:
        """Account for a pass that has ended, with its number of pages."""
        self._pages = pages

    def next_poll(self, subscription: Subscription, waits: int, now: float, *, is_throttled: bool) -> float:
        """
        Return the time of a wait's next poll.

        :param subscription: the wait
        :param waits: number of resources that the poller waits for
        :param now: current time
        :param is_throttled: whether ListRuns is throttled
        """
        period = subscription.interval
        if waits <= MAX_DIRECT_POLLS:
            return now + period
        if self.is_listing:
            period = shared_interval(period)
            if self._pages <= _MAX_QUOTA_SHARE * QUOTA * period:
                period *= _LISTING_INTERVAL_FACTOR
            if is_throttled and self._calm_period > period:
                return self.calm_until if self.calm_until > now else now + self._calm_period
        # A poll that is up to a thousandth of the interval early counts as on time.
        return ((now / period - self._phase + 0.001) // 1 + 1 + self._phase) * period
