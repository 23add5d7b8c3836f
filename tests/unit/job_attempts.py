# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that start a job of a store, and the attempts of a task instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore import xform_name

from airflow_healthomics.compat import Context
from airflow_healthomics.operators import (
    HealthOmicsActivateReadSetsOperator,
    HealthOmicsExportReadSetsOperator,
    HealthOmicsImportReadSetsOperator,
    HealthOmicsImportReferenceOperator,
)
from airflow_healthomics.sensors import (
    HealthOmicsReadSetActivationJobSensor,
    HealthOmicsReadSetExportJobSensor,
    HealthOmicsReadSetImportJobSensor,
    HealthOmicsReferenceImportJobSensor,
)
from tests.healthomics import Control, omics_client
from tests.unit.batch_attempts import crashing
from tests.unit.conftest import ONE_ATTEMPT, ROLE, Crash, FakeTaskInstance, Store, Tasks, try_of

#: Represents a patient's identifier, in names, ids and URIs of sources.
CANARY = "canary-patient-7"

DESTINATION = "s3://exports/read-sets"


def read_set_source(name: str = CANARY, **fields: Any) -> dict[str, Any]:
    """Return a source of an import of read sets."""
    return {
        "source_files": {
            "source1": f"s3://reads/{name}_1.fastq.gz",
            "source2": f"s3://reads/{name}_2.fastq.gz",
        },
        "source_file_type": "FASTQ",
        "subject_id": f"subject-{name}",
        "sample_id": f"sample-{name}",
        "name": name,
        **fields,
    }


def reference_source(name: str = CANARY, **fields: Any) -> dict[str, Any]:
    """Return a source of an import of references."""
    return {"source_file": f"s3://genomes/{name}.fa", "name": name, **fields}


class JobKind:
    """
    A kind of job.

    :param name: what a message calls it
    :param operation: its part of the names of operations
    :param operator: class of the operator
    :param sensor: class of the sensor
    :param store: argument with the id of the store
    :param sources: argument with the sources
    :param results: key of the XCom with the results
    :param limit: maximum number of sources
    """

    def __init__(
        self,
        name: str,
        operation: str,
        operator: Any,
        sensor: Any,
        *,
        store: str = "sequence_store_id",
        sources: str = "read_set_ids",
        results: str = "read_set_ids",
        limit: int = 100,
    ) -> None:
        self.name = name
        self.operation = operation
        self.operator = operator
        self.sensor = sensor
        self.store = store
        self.sources = sources
        self.results = results
        self.limit = limit

    def __str__(self) -> str:
        return self.name

    @property
    def store_field(self) -> str:
        """The API field with the id of the store."""
        return "referenceStoreId" if self.store == "reference_store_id" else "sequenceStoreId"

    @property
    def takes_files(self) -> bool:
        """Whether its sources are files, as those of an import."""
        return self.sources == "sources"


READ_SET_IMPORT = JobKind(
    "read set import job",
    "ReadSetImportJob",
    HealthOmicsImportReadSetsOperator,
    HealthOmicsReadSetImportJobSensor,
    sources="sources",
)
REFERENCE_IMPORT = JobKind(
    "reference import job",
    "ReferenceImportJob",
    HealthOmicsImportReferenceOperator,
    HealthOmicsReferenceImportJobSensor,
    store="reference_store_id",
    sources="sources",
    results="reference_ids",
)
EXPORT = JobKind(
    "read set export job",
    "ReadSetExportJob",
    HealthOmicsExportReadSetsOperator,
    HealthOmicsReadSetExportJobSensor,
)
ACTIVATION = JobKind(
    "read set activation job",
    "ReadSetActivationJob",
    HealthOmicsActivateReadSetsOperator,
    HealthOmicsReadSetActivationJobSensor,
    limit=20,
)

ALL = (READ_SET_IMPORT, REFERENCE_IMPORT, EXPORT, ACTIVATION)
JOB_KINDS = pytest.mark.parametrize("kind", ALL, ids=str)
IMPORTS = pytest.mark.parametrize("kind", [READ_SET_IMPORT, REFERENCE_IMPORT], ids=str)


class Stores:
    """
    A reference store and a sequence store.

    :param omics: the local HealthOmics
    """

    def __init__(self, omics: Control) -> None:
        self.omics = omics
        self.client = omics_client()
        self.ids = {
            "sequence_store_id": self.client.create_sequence_store(name="reads")["id"],
            "reference_store_id": self.client.create_reference_store(name="genomes")["id"],
        }

    def read_sets(self, count: int, *, archived: bool = False) -> list[str]:
        """Import read sets without the code under test, and return their ids."""
        store = {"sequenceStoreId": self.ids["sequence_store_id"]}
        sources = [
            {
                "sourceFiles": {"source1": f"s3://reads/{number}.fastq.gz"},
                "sourceFileType": "FASTQ",
                "subjectId": f"subject-{number}",
                "sampleId": f"sample-{number}",
            }
            for number in range(count)
        ]
        job_id = self.client.start_read_set_import_job(**store, roleArn=ROLE, sources=sources)["id"]
        self.omics.advance_job("COMPLETED", job_id=job_id)
        job = self.client.get_read_set_import_job(**store, id=job_id)
        if archived:
            self.omics.archive_read_sets()
        return [source["readSetId"] for source in job["sources"]]

    def values(self, kind: JobKind, count: int = 3) -> list[Any]:
        """Return sources for a task."""
        if kind is READ_SET_IMPORT:
            return [read_set_source(f"{CANARY}-{number}") for number in range(count)]
        if kind is REFERENCE_IMPORT:
            return [reference_source(f"{CANARY}-{number}") for number in range(count)]
        return self.read_sets(count, archived=kind is ACTIVATION)

    def arguments(self, kind: JobKind, **fields: Any) -> dict[str, Any]:
        """Return the arguments of a task that starts a job of three sources."""
        arguments: dict[str, Any] = {
            "task_id": "a_task",
            "botocore_config": ONE_ATTEMPT,
            kind.store: self.ids[kind.store],
        }
        if kind is not ACTIVATION:
            arguments["role_arn"] = ROLE
        if kind is EXPORT:
            arguments["destination"] = DESTINATION
        if kind.sources not in fields:
            arguments[kind.sources] = self.values(kind)
        return {**arguments, **fields}

    def jobs(self, kind: JobKind) -> list[dict[str, Any]]:
        """Return the jobs that tasks have started; those of :meth:`read_sets` have no client token."""
        return [
            job
            for job in self.omics.jobs()
            if job["operation"] == f"Start{kind.operation}" and job["clientToken"]
        ]

    def describe(self, kind: JobKind) -> dict[str, Any]:
        """Describe the only job that a task has started."""
        (job,) = self.jobs(kind)
        call = getattr(self.client, xform_name(f"Get{kind.operation}"))
        described: dict[str, Any] = call(**{kind.store_field: job["storeId"], "id": job["id"]})
        return described


class JobAttempts:
    """
    The tries of one task instance.

    :param fields: arguments of its operator
    """

    def __init__(
        self, tasks: Tasks, stores: Stores, kind: JobKind, *, with_store: bool = False, **fields: Any
    ) -> None:
        self.tasks = tasks
        self.kind = kind
        self.store = Store() if with_store else None
        self.ti = FakeTaskInstance(try_number=0, max_tries=5)
        self.fields = stores.arguments(kind, **fields)

    @property
    def context(self) -> Context:
        """The context of the current attempt."""
        return try_of(self.ti, self.store)

    def again(self, **fields: Any) -> Any:
        """Make the next try, optionally with new arguments that later tries keep, and return its result."""
        self.ti.try_number += 1
        self.fields.update(fields)
        make: Callable[[], Any] = lambda: self.kind.operator(**self.fields)  # noqa: E731
        return self.tasks.run(make, self.context)

    def crash(self, operation: str, when: str = "before", *, survives: int = 0) -> None:
        """Make the next try, which crashes at a call."""
        with crashing(operation, when, survives=survives), pytest.raises(Crash):
            self.again()

    def clear(self) -> None:
        """Clear the task: Airflow adds the same number of retries again."""
        self.ti.max_tries = self.ti.try_number + 5
