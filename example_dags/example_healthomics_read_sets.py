# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Import a reference and reads into HealthOmics stores, run a workflow on them, and export them."""

from __future__ import annotations

from airflow_healthomics.operators import (
    HealthOmicsActivateReadSetsOperator,
    HealthOmicsExportReadSetsOperator,
    HealthOmicsImportReadSetsOperator,
    HealthOmicsImportReferenceOperator,
    HealthOmicsStartRunOperator,
)
from airflow_healthomics.sensors import HealthOmicsReadSetImportJobSensor

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Imports a reference genome and paired reads, starts a run that reads them from the sequence store, and copies
the reads to another bucket.
"""

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/HealthOmicsStores"
REFERENCES = f"arn:aws:omics:{REGION}:{ACCOUNT}:referenceStore/{{{{ params.reference_store_id }}}}/reference"
READ_SETS = f"omics://{ACCOUNT}.storage.{REGION}.amazonaws.com/{{{{ params.sequence_store_id }}}}/readSet"

with DAG(
    dag_id="example_healthomics_read_sets",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "sequence_store_id": Param("1234567890", type="string", pattern="^[0-9]{10,36}$"),
        "reference_store_id": Param("1234567890", type="string", pattern="^[0-9]{10,36}$"),
        "workflow_id": Param("1234567", type="string", pattern="^[0-9]{1,18}$"),
    },
) as dag:
    # [START reference]
    import_reference = HealthOmicsImportReferenceOperator(
        task_id="import_reference",
        reference_store_id="{{ params.reference_store_id }}",
        sources=[{"source_file": "s3://example-genomes/GRCh38.fasta", "name": "GRCh38"}],
        role_arn=ROLE,
        deferrable=True,
    )
    # [END reference]

    # [START import]
    import_reads = HealthOmicsImportReadSetsOperator(
        task_id="import_reads",
        sequence_store_id="{{ params.sequence_store_id }}",
        sources=[
            {
                "source_files": {
                    "source1": f"s3://example-reads/{sample}_1.fastq.gz",
                    "source2": f"s3://example-reads/{sample}_2.fastq.gz",
                },
                "source_file_type": "FASTQ",
                "subject_id": sample,
                "sample_id": sample,
                "reference_arn": REFERENCES
                + "/{{ ti.xcom_pull('import_reference', key='reference_ids')[0] }}",
            }
            for sample in ("sample-1", "sample-2")
        ],
        role_arn=ROLE,
        deferrable=True,
    )
    # [END import]

    # [START run]
    run = HealthOmicsStartRunOperator(
        task_id="run",
        workflow_id="{{ params.workflow_id }}",
        parameters={
            "reads": f"{READ_SETS}/{{{{ ti.xcom_pull('import_reads', key='read_set_ids')[0] }}}}/source1"
        },
        wait_for_completion=True,
        deferrable=True,
    )
    # [END run]

    # [START export]
    export_reads = HealthOmicsExportReadSetsOperator(
        task_id="export_reads",
        sequence_store_id="{{ params.sequence_store_id }}",
        read_set_ids="{{ ti.xcom_pull('import_reads', key='read_set_ids') }}",
        destination="s3://example-exports/{{ dag_run.run_id }}",
        role_arn=ROLE,
        deferrable=True,
    )
    # [END export]

    # [START activate]
    activate_reads = HealthOmicsActivateReadSetsOperator(
        task_id="activate_reads",
        sequence_store_id="{{ params.sequence_store_id }}",
        read_set_ids="{{ ti.xcom_pull('import_reads', key='read_set_ids') }}",
        deferrable=True,
    )
    # [END activate]

    # [START sensor]
    start_import = HealthOmicsImportReadSetsOperator(
        task_id="start_import",
        sequence_store_id="{{ params.sequence_store_id }}",
        sources=[
            {
                "source_files": {"source1": "s3://example-reads/sample-3.bam"},
                "source_file_type": "UBAM",
                "subject_id": "sample-3",
                "sample_id": "sample-3",
            }
        ],
        role_arn=ROLE,
        wait_for_completion=False,
    )

    wait_for_import = HealthOmicsReadSetImportJobSensor(
        task_id="wait_for_import",
        sequence_store_id="{{ params.sequence_store_id }}",
        job_id=start_import.output,
        deferrable=True,
    )
    # [END sensor]

    import_reference >> import_reads >> activate_reads >> run >> export_reads
