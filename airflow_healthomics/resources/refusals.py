# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Refused polls of a wait: their duration, the next poll and the warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Default of ``[healthomics] refusal_patience``: seconds for which a wait continues while polls are refused.
DEFAULT_PATIENCE: Final = 3600.0

#: First and longest pause in seconds between two polls while they are refused.
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0

#: Seconds between two warnings while polls are refused.
_WARNING_INTERVAL: Final = 600.0


class Refusals:
    """
    The refusals of a wait since its last successful poll.

    A refusal is an error that a person may correct while the run continues: credentials, a permission, the
    Airflow connection, or network access to AWS. All times are arguments, in seconds of a monotonic clock.

    :ivar since: time of the first refusal; None if the last poll succeeded
    """

    __slots__ = ("_count", "_warned_at", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self._count = 0
        self._warned_at = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next poll."""
        return float(min(_FIRST_PAUSE * 2 ** max(min(self._count, 10) - 1, 0), _LONGEST_PAUSE))

    def add(self, now: float) -> bool:
        """Count a refusal, and return whether a warning is due."""
        self._count += 1
        if self.since is None:
            self.since = now
        elif now - self._warned_at < _WARNING_INTERVAL:
            return False
        self._warned_at = now
        return True

    def seconds(self, now: float) -> float:
        """Return the number of seconds since the first refusal."""
        return 0.0 if self.since is None else now - self.since

    def end(self, now: float) -> float | None:
        """Reset, and return the duration of the refusals in seconds; None if there were none."""
        if self.since is None:
            return None
        seconds = self.seconds(now)
        self.since = None
        self._count = 0
        return seconds

    def as_json(self, now: float) -> dict[str, float] | None:
        """Return the state for :meth:`restore`, relative to ``now``; None if there are no refusals."""
        if self.since is None:
            return None
        return {"since": now - self.since, "warned": now - self._warned_at, "count": self._count}

    def restore(self, state: Any, now: float) -> None:
        """
        Restore the state from another process.

        :param state: return value of :meth:`as_json`
        :param now: time at which it was returned, by this process's clock
        """
        if isinstance(state, Mapping):
            self.since, self._warned_at = now - state["since"], now - state["warned"]
            self._count = int(state["count"])
