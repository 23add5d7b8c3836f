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
