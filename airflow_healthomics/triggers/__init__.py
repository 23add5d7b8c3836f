# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Triggers of HealthOmics. Users' databases store their class paths, so the classes must never move."""

from __future__ import annotations

from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger
from airflow_healthomics.triggers.batch_event import HealthOmicsRunBatchEventTrigger
from airflow_healthomics.triggers.job import HealthOmicsJobTrigger
from airflow_healthomics.triggers.run import HealthOmicsRunTrigger
from airflow_healthomics.triggers.run_end import HealthOmicsRunEndTrigger
from airflow_healthomics.triggers.run_event import HealthOmicsRunEventTrigger
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger

__all__ = [
    "HealthOmicsJobTrigger",
    "HealthOmicsRunBatchEventTrigger",
    "HealthOmicsRunBatchTrigger",
    "HealthOmicsRunEndTrigger",
    "HealthOmicsRunEventTrigger",
    "HealthOmicsRunTrigger",
    "HealthOmicsStartTrigger",
    "HealthOmicsStatusTrigger",
]
