# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Operators of HealthOmics."""

from __future__ import annotations

from airflow_healthomics.operators.batch import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsDeleteRunBatchOperator,
    HealthOmicsStartRunBatchOperator,
)
from airflow_healthomics.operators.run import (
    HealthOmicsCancelRunOperator,
    HealthOmicsDeleteRunOperator,
    HealthOmicsStartRunOperator,
)

__all__ = [
    "HealthOmicsCancelRunBatchOperator",
    "HealthOmicsCancelRunOperator",
    "HealthOmicsDeleteRunBatchOperator",
    "HealthOmicsDeleteRunOperator",
    "HealthOmicsStartRunBatchOperator",
    "HealthOmicsStartRunOperator",
]
