# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Look up the resource class of a kind: run, batch or a kind of job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.service.jobs import JOB_TYPES

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log


def resource_of_kind(kind: str, hook: HealthOmicsHook, log: Log) -> Resource:
    """
    Return the runs, the batches or the jobs of a connection.

    :param kind: run, batch or a kind of job. Jobs found by it have no store, so they cannot be described.
    :param hook: hook of the connection
    :param log: the task's log
    """
    if kind == "batch":
        from airflow_healthomics.resources.batch import BatchResource

        return BatchResource(hook, log)
    if kind in JOB_TYPES:
        from airflow_healthomics.resources.job import JOB_RESOURCES

        return JOB_RESOURCES[kind](hook, log)
    from airflow_healthomics.resources.run import RunResource

    return RunResource(hook, log)
