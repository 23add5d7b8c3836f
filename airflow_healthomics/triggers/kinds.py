# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Look up the trigger class of a resource class."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger
from airflow_healthomics.triggers.run import HealthOmicsRunTrigger
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger

WAIT_TRIGGERS: Final[Mapping[type[Resource], type[HealthOmicsWaitTrigger]]] = MappingProxyType(
    {RunResource: HealthOmicsRunTrigger, BatchResource: HealthOmicsRunBatchTrigger}
)
