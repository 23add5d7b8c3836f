# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How long a wait has been refused, when to poll again, and when to log it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Seconds for which a wait is continued although polls are refused; ``[healthomics] refusal_patience``.
DEFAULT_PATIENCE: Final = 3600.0

#: Seconds between two polls while they are refused, at first and at most.
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0

#: Seconds between two warnings while polls are refused.
_WARNING_INTERVAL: Final = 600.0


class Refusals:
    """
    The refusals of a wait since its last successful poll.

    A refusal is an error that a person may correct while the run continues: credentials, a permission, the
    Airflow connection, the way to AWS. Each time is passed in, in seconds of any clock that never goes back.

    :ivar since: time of the first refusal in a row; None if the last poll succeeded
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
        is_first = self.since is None
        if self.since is None:
            self.since = now
        if not is_first and now - self._warned_at < _WARNING_INTERVAL:
            return False
        self._warned_at = now
        return True

    def seconds(self, now: float) -> float:
        """Return for how many seconds polls have been refused."""
        return 0.0 if self.since is None else now - self.since

    def end(self, now: float) -> float | None:
        """Forget the refusals, and return how many seconds they lasted; None if there were none."""
        if self.since is None:
            return None
        seconds = self.seconds(now)
        self.since = None
        self._count = 0
        return seconds

    def as_json(self, now: float) -> dict[str, float] | None:
        """Return what :meth:`restore` needs, relative to the present; None if there are no refusals."""
        if self.since is None:
            return None
        return {"since": now - self.since, "warned": now - self._warned_at, "count": self._count}

    def restore(self, state: Any, now: float) -> None:
        """
        Continue the count of another process.

        :param state: what :meth:`as_json` returned
        :param now: the time at which it did
        """
        if isinstance(state, Mapping):
            self.since, self._warned_at = now - state["since"], now - state["warned"]
            self._count = int(state["count"])
