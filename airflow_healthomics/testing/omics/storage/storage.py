# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""HealthOmics storage in one account and region."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_healthomics.testing.omics.backend import Backend

from .job import Job
from .jobs import Jobs
from .reference_stores import Reference, ReferenceStore, ReferenceStores
from .references import References


class Storage:
    """The stores, and the jobs on them."""

    def __init__(self, backend: Backend) -> None:
        self.reference_stores = ReferenceStores(backend)
        self.references = References(backend, self.reference_stores, lambda: ())

    def resources(self) -> tuple[object, ...]:
        """Return the objects with operations."""
        return (self.reference_stores, self.references)

    def tagged(self) -> Iterator[ReferenceStore | Reference]:
        """Yield everything that can have tags."""
        yield from self.reference_stores.tagged()

    def jobs(self) -> Iterator[Job]:
        """Yield all jobs, in the order of their start."""
        yield from sorted((job for jobs in self._kinds() for job in jobs), key=lambda job: int(job.id))

    def _kinds(self) -> tuple[Jobs, ...]:
        return (self.references.imports,)
