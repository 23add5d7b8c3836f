# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the operators that wait for the creation or deletion of something other than a run or batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow_healthomics.operators.base import WaitingOperator

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.creating.status_watch import StatusWatch
    from airflow_healthomics.resources.watch import Watch
    from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger
    from airflow_healthomics.waiting.kill_guard import Target

#: Seconds between two polls at first.
_SHORT_PAUSE: Final = 2.0


class StatusOperator(WaitingOperator):
    """
    Base of the operators that create or delete a configuration, workflow or workflow version.

    :cvar brief_seconds: time for which the task polls every two seconds on its worker first, because most of
        what it waits for ends by then, and a deferral takes longer
    """

    brief_seconds: ClassVar[float] = 0.0

    def wait(
        self, context: Context, watch: Watch, *, is_new: bool = False, then: str = "execute_complete"
    ) -> Any:
        """
        Wait, then call a method with the event and return its result.

        :param context: the task's context
        :param watch: state of the wait
        :param is_new: whether the creation was requested just now
        :param then: name of the method; after a deferral it is called in the process that resumes the task
        """
        from airflow_healthomics.waiting.events import to_event

        deadline = time.monotonic() + self.brief_seconds
        while self.brief_seconds:
            summary = self._poll(watch)
            if summary is not None:
                return getattr(self, then)(context, to_event(summary))
            if time.monotonic() + _SHORT_PAUSE > deadline:
                break
            time.sleep(_SHORT_PAUSE)
        return super().wait(context, watch, is_new=is_new, then=then)

    def trigger(self, watch: Any, delay: float, **arguments: Any) -> HealthOmicsStatusTrigger:
        """
        Return the trigger that continues a wait with this task's connection.

        :param watch: state of the wait
        :param delay: seconds between two polls
        :param arguments: further arguments of the trigger
        """
        from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger

        status_watch: StatusWatch = watch
        return HealthOmicsStatusTrigger.of(self, status_watch, delay, **arguments)

    def handle_timeout(self, context: Context, target: Target) -> None:
        """
        Log that HealthOmics continues, since neither a creation nor a deletion can be cancelled.

        :param context: the task's context
        :param target: what the task waits for
        """
        self.log.info(
            "The task timed out. HealthOmics continues with %s, and another attempt continues the wait",
            target,
        )
