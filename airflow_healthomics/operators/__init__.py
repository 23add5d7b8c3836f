# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Operators of HealthOmics."""

from __future__ import annotations

from airflow_healthomics.operators.cancel import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsCancelRunOperator,
)
from airflow_healthomics.operators.delete import (
    HealthOmicsDeleteRunBatchOperator,
    HealthOmicsDeleteRunOperator,
)
from airflow_healthomics.operators.start_run import HealthOmicsStartRunOperator
from airflow_healthomics.operators.start_run_batch import HealthOmicsStartRunBatchOperator

__all__ = [
    "HealthOmicsCancelRunBatchOperator",
    "HealthOmicsCancelRunOperator",
    "HealthOmicsDeleteRunBatchOperator",
    "HealthOmicsDeleteRunOperator",
    "HealthOmicsStartRunBatchOperator",
    "HealthOmicsStartRunOperator",
]
