# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How long a task may wait: what is left of its timeout and of its attempts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


#: Airflow's words, those of 2.11 last.
_TRIGGER_TIMEOUTS: Final = frozenset({"Trigger timeout", "Trigger/execution timeout"})


def time_left(task: Any, context: Context) -> timedelta | None:
    """
    Return what is left of ``execution_timeout``, a second at least; None if there is none.

    Counts from the beginning of the try, whatever has been waited for meanwhile, as Airflow 2 does. Airflow 3
    by itself counts anew for each deferral, and 3.0 tells the time of the resumption as the beginning.

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
    Whether a deferral has timed out, for which Airflow resumes a task as for a triggerer's fault.

    :param next_method: as for ``resume_execution``
    :param next_kwargs: as for ``resume_execution``
    """
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in _TRIGGER_TIMEOUTS


def has_tries_left(context: Context) -> bool:
    """
    Whether Airflow would try the task again.

    :param context: the task's context
    """
    ti = context["ti"]
    return bool(ti.try_number <= ti.max_tries)
