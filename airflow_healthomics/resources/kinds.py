# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Look up the resource class of "run" or "batch"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.service.log import Log

KINDS: Final[Mapping[str, Callable[[HealthOmicsHook, Log], Resource]]] = {
    RunResource.noun: RunResource,
    BatchResource.noun: BatchResource,
}
