# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Look up the resource class of "run" or "batch"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Resource

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log


def resource_of_kind(kind: str, hook: HealthOmicsHook, log: Log) -> Resource:
    """
    Return the runs or the batches of a connection.

    :param kind: run or batch
    :param hook: hook of the connection
    :param log: the task's log
    """
    if kind == "batch":
        from airflow_healthomics.resources.batch import BatchResource

        return BatchResource(hook, log)
    from airflow_healthomics.resources.run import RunResource

    return RunResource(hook, log)
