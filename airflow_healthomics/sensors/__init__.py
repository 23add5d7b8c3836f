# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Sensors of HealthOmics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_healthomics.sensors.batch import HealthOmicsRunBatchSensor
    from airflow_healthomics.sensors.jobs import (
        HealthOmicsReadSetActivationJobSensor,
        HealthOmicsReadSetExportJobSensor,
        HealthOmicsReadSetImportJobSensor,
        HealthOmicsReferenceImportJobSensor,
    )
    from airflow_healthomics.sensors.run import HealthOmicsRunSensor
    from airflow_healthomics.sensors.run_event import HealthOmicsRunEventSensor

__all__ = [
    "HealthOmicsReadSetActivationJobSensor",
    "HealthOmicsReadSetExportJobSensor",
    "HealthOmicsReadSetImportJobSensor",
    "HealthOmicsReferenceImportJobSensor",
    "HealthOmicsRunBatchSensor",
    "HealthOmicsRunEventSensor",
    "HealthOmicsRunSensor",
]

#: Modules by class. Some executors start an interpreter per task, which needs only one of them.
_MODULES: Final = {
    "HealthOmicsReadSetActivationJobSensor": "jobs",
    "HealthOmicsReadSetExportJobSensor": "jobs",
    "HealthOmicsReadSetImportJobSensor": "jobs",
    "HealthOmicsReferenceImportJobSensor": "jobs",
    "HealthOmicsRunBatchSensor": "batch",
    "HealthOmicsRunEventSensor": "run_event",
    "HealthOmicsRunSensor": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
