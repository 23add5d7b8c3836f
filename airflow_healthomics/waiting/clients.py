# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The client of a task that waits."""

from __future__ import annotations

from typing import Any

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.service.errors import AIRFLOW_API_ERRORS


def client_of(task: Any, watch: Watch) -> Any:
    """
    Return the client of an operator or sensor, made anew while its polls are refused.

    :param task: operator or sensor
    :param watch: of the run or batch
    """
    if watch.refusals.since is None:
        return task.hook.conn
    # Credentials are part of the hook, and so of the client.
    known = task.__dict__.pop("hook", None)
    try:
        return task.hook.conn
    except (AirflowException, *AIRFLOW_API_ERRORS):
        # A connection that was found before is a client that may work again.
        if known is None:
            raise
        task.hook = known
        return known.conn
