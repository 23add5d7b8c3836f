# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The AWS CLI works with stores, jobs, uploads and shares, with the commands of the user guide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer

from .archives import ARCHIVE
from .conftest import ROLE, aws
from .test_aws_cli import cli, pytestmark  # noqa: F401 - pytest finds the mark by its name

GENOME = b">chr1\nACGTACGT\n"
READS = b"@r1\nACGT\n+\nFFFF\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsServer]:
    """A strict server with files in its S3, and the environment variables for clients."""
    with HealthOmicsServer(strict=True, manual=True, storage_part_bytes=8) as local:
        for name, value in local.environ.items():
            monkeypatch.setenv(name, value)
        s3 = aws("s3")
        for bucket in ("genomes", "exports"):
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket="genomes", Key="hg38.fa", Body=GENOME)
        s3.put_object(Bucket="genomes", Key="a.bam", Body=READS)
        yield local


def test_references_and_read_sets(server: HealthOmicsServer, tmp_path: Path) -> None:
    """Import a reference and aligned reads, download them, and archive, activate, export and delete them."""
    omics, control = cli(server, tmp_path), server.control
    genomes = ("--reference-store-id", omics("create-reference-store", "--name", "genomes")["id"])
    genome = ["--sources", "sourceFile=s3://genomes/hg38.fa,name=hg38,tags={build=38}"]
    job_id = omics("start-reference-import-job", *genomes, "--role-arn", ROLE, *genome)["id"]
    control.advance_job("COMPLETED")
    job = omics("get-reference-import-job", *genomes, "--id", job_id)
    reference_id = job["sources"][0]["referenceId"]
    omics("wait", "reference-import-job-completed", *genomes, "--id", job_id)
    (reference,) = omics("list-references", *genomes, "--filter", "name=hg38")["references"]
    assert omics("list-tags-for-resource", "--resource-arn", reference["arn"])["tags"] == {"build": "38"}
    part = tmp_path / "part"
    download = ("get-reference", *genomes, "--id", reference_id, "--part-number", "2")
    omics(*download, str(part))
    assert part.read_bytes() == GENOME[8:]
    omics(*download, "--range", "1-3", str(part))
    assert part.read_bytes() == GENOME[9:12]

    store = ("--sequence-store-id", omics("create-sequence-store", "--name", "reads")["id"])
    source = {
        "sourceFiles": {"source1": "s3://genomes/a.bam"},
        "sourceFileType": "BAM",
        "subjectId": "subject",
        "sampleId": "sample",
        "referenceArn": reference["arn"],
        "name": "HG1",
    }
    missing = {**source, "sourceFiles": {"source1": "s3://genomes/b.bam"}}
    request = ("--role-arn", ROLE, "--sources", json.dumps([source, missing]))
    job_id = omics("start-read-set-import-job", *store, *request)["id"]
    control.advance_job("COMPLETED")
    job = omics("get-read-set-import-job", *store, "--id", job_id)
    assert job["status"] == "COMPLETED_WITH_FAILURES"
    assert job["sources"][1]["statusMessage"] == "The source file does not exist."
    (read_set,) = omics("list-read-sets", *store, "--filter", "sampleId=sample")["readSets"]
    key = ("--id", read_set["id"])
    omics("get-read-set", *store, *key, "--part-number", "1", str(part))
    assert part.read_bytes() == READS[:8]

    control.archive_read_sets()
    refused = omics("get-read-set", *store, *key, "--part-number", "1", str(part), expect=254)
    assert "ConflictException" in refused
    chosen = ("--sources", f"readSetId={read_set['id']}")
    omics("start-read-set-activation-job", *store, *chosen)
    control.advance_job("COMPLETED")
    assert omics("get-read-set-metadata", *store, *key)["status"] == "ACTIVE"
    destination = ("--destination", "s3://exports/x/", "--role-arn", ROLE)
    omics("start-read-set-export-job", *store, *destination, *chosen)
    control.advance_job("COMPLETED")
    (job,) = omics("list-read-set-export-jobs", *store)["exportJobs"]
    assert job["status"] == "COMPLETED"
    names = [each["Key"] for each in aws("s3").list_objects_v2(Bucket="exports")["Contents"]]
    assert names == [f"x/{read_set['id']}/a.bam", f"x/{read_set['id']}/a.bam.bai"]
    refused = omics("delete-sequence-store", "--id", store[1], expect=254)
    assert "ConflictException" in refused
    omics("batch-delete-read-set", *store, "--ids", read_set["id"])
    omics("delete-sequence-store", "--id", store[1])


def test_an_upload_and_an_access_policy(server: HealthOmicsServer, tmp_path: Path) -> None:
    """Upload reads in parts, list the parts in pages, and set an S3 access policy."""
    omics = cli(server, tmp_path)
    made = omics("create-sequence-store", "--name", "reads")
    store = ("--sequence-store-id", made["id"])
    people = ("--subject-id", "subject", "--sample-id", "sample")
    begun = omics(
        "create-multipart-read-set-upload", *store, "--name", "HG1", "--source-file-type", "FASTQ", *people
    )
    upload = (*store, "--upload-id", begun["uploadId"])
    parts: list[dict[str, Any]] = []
    for number, content in enumerate((READS[:10], READS[10:]), 1):
        (tmp_path / "part").write_bytes(content)
        place = ("--part-source", "SOURCE1", "--part-number", str(number))
        done = omics("upload-read-set-part", *upload, *place, "--payload", str(tmp_path / "part"))
        parts.append({"partSource": "SOURCE1", "partNumber": number, "checksum": done["checksum"]})
    listed = omics("list-read-set-upload-parts", *upload, "--part-source", "SOURCE1", "--page-size", "1")
    assert [each["partSize"] for each in listed["parts"]] == [10, len(READS) - 10]
    done = omics("complete-multipart-read-set-upload", *upload, "--parts", json.dumps(parts))
    read_set = omics("get-read-set-metadata", *store, "--id", done["readSetId"])
    assert (read_set["status"], read_set["files"]["source1"]["contentLength"]) == ("ACTIVE", len(READS))

    access_point = ("--s3-access-point-arn", made["s3Access"]["s3AccessPointArn"])
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    omics("put-s3-access-policy", *access_point, "--s3-access-policy", policy)
    assert omics("get-s3-access-policy", *access_point)["s3AccessPolicy"] == policy


def test_a_share_and_a_closed_store(server: HealthOmicsServer, tmp_path: Path) -> None:
    """Create and delete a share; variant stores are closed to new customers."""
    omics = cli(server, tmp_path)
    arn = aws("omics").create_workflow(definitionZip=ARCHIVE)["arn"]
    offer = ("--resource-arn", arn, "--principal-subscriber", "222222222222", "--share-name", "lab")
    share = ("--share-id", omics("create-share", *offer)["shareId"])
    assert [each["shareName"] for each in omics("list-shares", "--resource-owner", "SELF")["shares"]] == [
        "lab"
    ]
    assert "ResourceNotFoundException" in omics("accept-share", *share, expect=254)
    assert omics("delete-share", *share)["status"] == "DELETING"
    refused = omics("list-variant-stores", expect=254)
    assert "AccessDeniedException" in refused
    assert "not open to new customers" in refused
