# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Look up the trigger class of "run" or "batch"."""

from __future__ import annotations

from airflow_healthomics.resources.base import Kind
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger


def wait_trigger_of_kind(kind: Kind) -> type[HealthOmicsWaitTrigger]:
    """Return the class of the triggers that wait for a run or batch."""
    if kind == "batch":
        from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger

        return HealthOmicsRunBatchTrigger
    from airflow_healthomics.triggers.run import HealthOmicsRunTrigger

    return HealthOmicsRunTrigger
