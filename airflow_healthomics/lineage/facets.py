# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The run facets of this package. They require the OpenLineage client, so this module is imported lazily.

``lineage/facets.json`` is their schema; a test compares both.
"""
# ruff: noqa: N815 - OpenLineage requires camel case for fields of facets

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attr
from airflow.providers.common.compat.openlineage.facet import Dataset, RunFacet
from airflow.providers.openlineage.extractors import OperatorLineage

from airflow_healthomics import __version__
from airflow_healthomics.lineage.datasets import Lineage

#: The schema of this release. A package URL, since the package contains it.
_SCHEMA: Final = (
    f"pkg:pypi/airflow-provider-healthomics@{__version__}"
    "?file=airflow_healthomics/lineage/facets.json#/$defs/"
)


@attr.define(kw_only=True)
class HealthOmicsRunRunFacet(RunFacet):
    """A HealthOmics run."""

    runId: str
    uuid: str | None = None
    arn: str | None = None
    status: str | None = None
    failureReason: str | None = None
    duplicateOf: str | None = None
    batchId: str | None = None
    runGroupId: str | None = None
    cacheId: str | None = None
    workflowId: str | None = None
    workflowUuid: str | None = None
    workflowType: str | None = None
    workflowVersionName: str | None = None
    digest: str | None = None
    engine: str | None = None
    engineVersion: str | None = None
    storageType: str | None = None
    storageCapacity: int | None = None
    creationTime: str | None = None
    startTime: str | None = None
    stopTime: str | None = None
    durationSeconds: float | None = None
    inputsTruncated: bool | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{_SCHEMA}HealthOmicsRunRunFacet"


@attr.define(kw_only=True)
class HealthOmicsBatchRunFacet(RunFacet):
    """A HealthOmics run batch."""

    batchId: str
    uuid: str | None = None
    arn: str | None = None
    status: str | None = None
    totalRuns: int | None = None
    runSummary: Mapping[str, int] | None = None
    submissionSummary: Mapping[str, int] | None = None
    runGroupId: str | None = None
    cacheId: str | None = None
    workflowId: str | None = None
    workflowType: str | None = None
    workflowVersionName: str | None = None
    engine: str | None = None
    storageType: str | None = None
    storageCapacity: int | None = None
    creationTime: str | None = None
    submittedTime: str | None = None
    processedTime: str | None = None
    durationSeconds: float | None = None
    inputsTruncated: bool | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{_SCHEMA}HealthOmicsBatchRunFacet"


#: Key and class of the facet, by kind of lineage. OpenLineage's naming rules are in
#: https://github.com/OpenLineage/OpenLineage/blob/main/spec/OpenLineage.md#custom-facet-naming
FACETS: Final[Mapping[str, tuple[str, Any]]] = {
    "run": ("healthOmics_run", HealthOmicsRunRunFacet),
    "batch": ("healthOmics_batch", HealthOmicsBatchRunFacet),
}


def operator_lineage(lineage: Lineage) -> OperatorLineage:
    """Convert a lineage to the type of Airflow's OpenLineage provider."""
    key, facet = FACETS[lineage.kind]
    return OperatorLineage(
        inputs=[Dataset(*each) for each in lineage.inputs],
        outputs=[Dataset(*each) for each in lineage.outputs],
        run_facets={key: facet(**lineage.facts)},
    )
