# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""HealthOmics storage in one account and region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.tags import Tagged

from .access_policies import AccessPolicies
from .inputs import Inputs
from .job import Job
from .jobs import Jobs
from .read_set_jobs import ReadSetJobs
from .read_sets import ReadSets
from .reference_stores import ReferenceStores
from .references import References
from .sequence_stores import SequenceStores
from .uploads import Uploads


class Storage:
    """The stores, their contents and their jobs."""

    def __init__(self, backend: Backend) -> None:
        self.reference_stores = ReferenceStores(backend)
        self.references = References(backend, self.reference_stores, self._used_references)
        self.sequence_stores = SequenceStores(backend)
        self.read_sets = ReadSets(backend, self.sequence_stores, self.reference_stores)
        self.read_set_jobs = ReadSetJobs(backend, self.sequence_stores, self.read_sets)
        self.uploads = Uploads(backend, self.sequence_stores, self.read_sets)
        self.access_policies = AccessPolicies(backend, self.sequence_stores)

        self.inputs = Inputs(backend, self.reference_stores, self.read_sets)

    def resources(self) -> tuple[object, ...]:
        """Return the objects with operations."""
        return (
            self.reference_stores,
            self.references,
            self.sequence_stores,
            self.read_sets,
            self.read_set_jobs,
            self.uploads,
            self.access_policies,
        )

    def tagged(self) -> Iterator[Tagged]:
        """Yield everything that can have tags."""
        yield from self.reference_stores.tagged()
        yield from self.sequence_stores.tagged()

    def jobs(self) -> Iterator[Job]:
        """Yield all jobs, in the order of their start."""
        yield from sorted((job for jobs in self._kinds() for job in jobs), key=lambda job: int(job.id))

    def _kinds(self) -> tuple[Jobs, ...]:
        jobs = self.read_set_jobs
        return (self.references.imports, jobs.imports, jobs.exports, jobs.activations)

    def _used_references(self) -> Iterable[str]:
        return {read_set.request.get("referenceArn", "") for read_set in self.read_sets}
