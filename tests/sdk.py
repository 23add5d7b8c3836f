# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Names of Airflow that only the tests use, on each supported release."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseSensorOperator, task, timezone
    from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred
else:
    try:
        from airflow.sdk import DAG, BaseSensorOperator, task
    except ImportError:  # Airflow 2
        from airflow import DAG
        from airflow.decorators import task
        from airflow.sensors.base import BaseSensorOperator
    try:
        from airflow.sdk import timezone
        from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred
    except ImportError:  # Airflow before 3.1
        from airflow.exceptions import AirflowRescheduleException, TaskDeferred
        from airflow.utils import timezone

__all__ = ["DAG", "AirflowRescheduleException", "BaseSensorOperator", "TaskDeferred", "task", "timezone"]
