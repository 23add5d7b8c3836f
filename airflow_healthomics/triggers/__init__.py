# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Triggers of HealthOmics. Users' databases store their class paths, so the classes must never move."""

from __future__ import annotations

from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger
from airflow_healthomics.triggers.run import HealthOmicsRunTrigger
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger

__all__ = [
    "HealthOmicsRunBatchTrigger",
    "HealthOmicsRunTrigger",
    "HealthOmicsStartTrigger",
    "HealthOmicsStatusTrigger",
]
