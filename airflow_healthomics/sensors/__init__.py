# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Sensors of HealthOmics."""

from __future__ import annotations

from airflow_healthomics.sensors.batch import HealthOmicsRunBatchSensor
from airflow_healthomics.sensors.run import HealthOmicsRunSensor

__all__ = ["HealthOmicsRunBatchSensor", "HealthOmicsRunSensor"]
