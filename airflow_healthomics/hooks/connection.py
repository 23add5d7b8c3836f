# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Connection arguments of tasks."""

from __future__ import annotations

from typing import Any


def connection_of(task: Any) -> dict[str, Any]:
    """Return the connection arguments of an operator or sensor, under the names that triggers use."""
    return {
        "aws_conn_id": task.aws_conn_id,
        "region_name": task.region_name,
        "verify": task.verify,
        "botocore_config": task.botocore_config,
    }


def pinned_connection_of(task: Any) -> dict[str, Any]:
    """
    Return the connection arguments of an operator or sensor for its trigger, with the region of its client.

    A run stays in its region if the connection is edited. Triggers of a region share a poller, whether the
    region is an argument, the connection's or the environment's.
    """
    connection = connection_of(task)
    return connection | {"region_name": connection["region_name"] or task.hook.client_region}
