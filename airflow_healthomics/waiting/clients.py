# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The botocore client of a task that polls on its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.service.errors import AIRFLOW_API_ERRORS

if TYPE_CHECKING:
    from airflow_healthomics.resources.watch import Watch


def client_of(task: Any, watch: Watch) -> Any:
    """
    Return the client of an operator or sensor, or a new one while its polls are refused.

    :param task: operator or sensor
    :param watch: state of its wait
    """
    if watch.refusals.since is None:
        return task.hook.conn
    # A new hook reads the credentials again.
    known = task.__dict__.pop("hook", None)
    try:
        return task.hook.conn
    except (AirflowException, *AIRFLOW_API_ERRORS):
        # Keep the known client: it may work again.
        if known is None:
            raise
        task.hook = known
        return known.conn
