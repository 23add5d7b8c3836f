# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Operators of HealthOmics."""

from __future__ import annotations

from airflow_healthomics.operators.batch import HealthOmicsStartRunBatchOperator
from airflow_healthomics.operators.batch_ends import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsDeleteRunBatchOperator,
)
from airflow_healthomics.operators.run import HealthOmicsStartRunOperator
from airflow_healthomics.operators.run_ends import HealthOmicsCancelRunOperator, HealthOmicsDeleteRunOperator

__all__ = [
    "HealthOmicsCancelRunBatchOperator",
    "HealthOmicsCancelRunOperator",
    "HealthOmicsDeleteRunBatchOperator",
    "HealthOmicsDeleteRunOperator",
    "HealthOmicsStartRunBatchOperator",
    "HealthOmicsStartRunOperator",
]
