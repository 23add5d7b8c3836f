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
    from airflow_healthomics.operators.configuration import (
        HealthOmicsCreateConfigurationOperator,
        HealthOmicsDeleteConfigurationOperator,
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
    from airflow_healthomics.operators.register_workflow import HealthOmicsRegisterWorkflowOperator
    from airflow_healthomics.operators.run_cache import (
        HealthOmicsCreateRunCacheOperator,
        HealthOmicsDeleteRunCacheOperator,
    )
    from airflow_healthomics.operators.run_group import (
        HealthOmicsCreateRunGroupOperator,
        HealthOmicsDeleteRunGroupOperator,
    )
    from airflow_healthomics.operators.start_run import HealthOmicsStartRunOperator
    from airflow_healthomics.operators.start_run_batch import HealthOmicsStartRunBatchOperator

__all__ = [
    "HealthOmicsActivateReadSetsOperator",
    "HealthOmicsCancelRunBatchOperator",
    "HealthOmicsCancelRunOperator",
    "HealthOmicsCreateConfigurationOperator",
    "HealthOmicsCreateRunCacheOperator",
    "HealthOmicsCreateRunGroupOperator",
    "HealthOmicsDeleteConfigurationOperator",
    "HealthOmicsDeleteRunBatchOperator",
    "HealthOmicsDeleteRunCacheOperator",
    "HealthOmicsDeleteRunGroupOperator",
    "HealthOmicsDeleteRunOperator",
    "HealthOmicsDeleteRunsOperator",
    "HealthOmicsExportReadSetsOperator",
    "HealthOmicsImportReadSetsOperator",
    "HealthOmicsImportReferenceOperator",
    "HealthOmicsRegisterWorkflowOperator",
    "HealthOmicsStartRunBatchOperator",
    "HealthOmicsStartRunOperator",
]

#: Modules by class. Some executors start an interpreter per task, which needs only one of them.
_MODULES: Final = {
    "HealthOmicsActivateReadSetsOperator": "jobs",
    "HealthOmicsCancelRunBatchOperator": "cancel",
    "HealthOmicsCancelRunOperator": "cancel",
    "HealthOmicsCreateConfigurationOperator": "configuration",
    "HealthOmicsCreateRunCacheOperator": "run_cache",
    "HealthOmicsCreateRunGroupOperator": "run_group",
    "HealthOmicsDeleteConfigurationOperator": "configuration",
    "HealthOmicsDeleteRunBatchOperator": "delete",
    "HealthOmicsDeleteRunCacheOperator": "run_cache",
    "HealthOmicsDeleteRunGroupOperator": "run_group",
    "HealthOmicsDeleteRunOperator": "delete",
    "HealthOmicsDeleteRunsOperator": "delete_runs",
    "HealthOmicsExportReadSetsOperator": "jobs",
    "HealthOmicsImportReadSetsOperator": "jobs",
    "HealthOmicsImportReferenceOperator": "jobs",
    "HealthOmicsRegisterWorkflowOperator": "register_workflow",
    "HealthOmicsStartRunOperator": "start_run",
    "HealthOmicsStartRunBatchOperator": "start_run_batch",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
