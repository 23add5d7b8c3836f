# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Operators of HealthOmics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_healthomics.operators.cancel import (
        HealthOmicsCancelRunBatchOperator,
        HealthOmicsCancelRunOperator,
    )
    from airflow_healthomics.operators.delete import (
        HealthOmicsDeleteRunBatchOperator,
        HealthOmicsDeleteRunOperator,
    )
    from airflow_healthomics.operators.delete_runs import HealthOmicsDeleteRunsOperator
    from airflow_healthomics.operators.jobs import (
        HealthOmicsActivateReadSetsOperator,
        HealthOmicsExportReadSetsOperator,
        HealthOmicsImportReadSetsOperator,
        HealthOmicsImportReferenceOperator,
    )
    from airflow_healthomics.operators.start_run import HealthOmicsStartRunOperator
    from airflow_healthomics.operators.start_run_batch import HealthOmicsStartRunBatchOperator

__all__ = [
    "HealthOmicsActivateReadSetsOperator",
    "HealthOmicsCancelRunBatchOperator",
    "HealthOmicsCancelRunOperator",
    "HealthOmicsDeleteRunBatchOperator",
    "HealthOmicsDeleteRunOperator",
    "HealthOmicsDeleteRunsOperator",
    "HealthOmicsExportReadSetsOperator",
    "HealthOmicsImportReadSetsOperator",
    "HealthOmicsImportReferenceOperator",
    "HealthOmicsStartRunBatchOperator",
    "HealthOmicsStartRunOperator",
]

#: Modules by class. Some executors start an interpreter per task, which needs only one of them.
_MODULES: Final = {
    "HealthOmicsActivateReadSetsOperator": "jobs",
    "HealthOmicsCancelRunBatchOperator": "cancel",
    "HealthOmicsCancelRunOperator": "cancel",
    "HealthOmicsDeleteRunBatchOperator": "delete",
    "HealthOmicsDeleteRunOperator": "delete",
    "HealthOmicsDeleteRunsOperator": "delete_runs",
    "HealthOmicsExportReadSetsOperator": "jobs",
    "HealthOmicsImportReadSetsOperator": "jobs",
    "HealthOmicsImportReferenceOperator": "jobs",
    "HealthOmicsStartRunOperator": "start_run",
    "HealthOmicsStartRunBatchOperator": "start_run_batch",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
