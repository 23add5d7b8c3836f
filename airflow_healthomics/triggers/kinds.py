# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Look up the trigger class of a kind: run, batch or a kind of job."""

from __future__ import annotations

from airflow_healthomics.resources.base import Kind
from airflow_healthomics.service.jobs import JOB_TYPES
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger


def wait_trigger_of_kind(kind: Kind) -> type[HealthOmicsWaitTrigger]:
    """Return the class of the triggers that wait for a kind of resource."""
    if kind == "batch":
        from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger

        return HealthOmicsRunBatchTrigger
    if kind in JOB_TYPES:
        from airflow_healthomics.triggers.job import HealthOmicsJobTrigger

        return HealthOmicsJobTrigger
    from airflow_healthomics.triggers.run import HealthOmicsRunTrigger

    return HealthOmicsRunTrigger
