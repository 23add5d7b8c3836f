# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The time and the attempts that a task has left, and the shortest time that it pauses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


#: Minimum seconds for which a task pauses when it defers or reschedules. Airflow 3.0 to 3.3.2 fails a task
#: that continues before the scheduler has seen its process end (apache/airflow#67287, #71580; for a
#: rescheduled sensor #71172).
SHORTEST_PAUSE: Final = 10.0

#: Airflow's messages for a deferral that timed out; that of 2.11 is last.
_TRIGGER_TIMEOUTS: Final = frozenset({"Trigger timeout", "Trigger/execution timeout"})


def time_left(task: Any, context: Context) -> timedelta | None:
    """
    Return the time left of ``execution_timeout``, at least one second; None without a timeout.

    The timeout starts with the attempt and includes deferrals, as in Airflow 2. Airflow 3 restarts it after
    each deferral, and in 3.0 ``start_date`` is the time of the resumption.

    :param task: operator
    :param context: the task's context
    """
    if task.execution_timeout is None:
        return None
    now = datetime.fromtimestamp(time.time(), UTC)
    left: timedelta = context["ti"].start_date + task.execution_timeout - now
    return max(left, timedelta(seconds=1))


def is_trigger_timeout(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """
    Whether a deferral timed out. Airflow resumes the task as if the trigger had failed.

    :param next_method: argument of ``resume_execution``
    :param next_kwargs: argument of ``resume_execution``
    """
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in _TRIGGER_TIMEOUTS


def has_tries_left(context: Context) -> bool:
    """
    Whether Airflow would retry the task.

    :param context: the task's context
    """
    ti = context["ti"]
    return bool(ti.try_number <= ti.max_tries)
