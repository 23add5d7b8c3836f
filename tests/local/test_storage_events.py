# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Status changes of stores, their contents and their jobs are events in EventBridge."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import ROLE
from .test_events import listen

pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)


def statuses(events: list[Any]) -> list[tuple[str, str]]:
    """Return kind and status of each event."""
    return [(each["detail-type"].removesuffix(" Status Change"), each["detail"]["status"]) for each in events]


def test_the_life_of_a_reference_is_announced(control: Control, omics: Any) -> None:
    """Store, job and reference each have their events, in order."""
    kinds = ("Reference Store", "Reference", "Reference Import Job")
    read = listen(*(f"{kind} Status Change" for kind in kinds))
    store = omics.create_reference_store(name="genomes")
    job_id = omics.start_reference_import_job(
        referenceStoreId=store["id"],
        roleArn=ROLE,
        sources=[{"sourceFile": "s3://genomes/a.fa", "name": "hg38"}],
    )["id"]
    control.advance_job("COMPLETED")
    (reference,) = omics.list_references(referenceStoreId=store["id"])["references"]
    omics.delete_reference(referenceStoreId=store["id"], id=reference["id"])
    omics.delete_reference_store(id=store["id"])
    heard = read()
    assert statuses(heard) == [
        ("Reference Store", "CREATED"),
        ("Reference Store", "ACTIVE"),
        ("Reference Import Job", "SUBMITTED"),
        ("Reference Import Job", "IN_PROGRESS"),
        ("Reference", "ACTIVE"),
        ("Reference Import Job", "COMPLETED"),
        ("Reference", "DELETED"),
        ("Reference Store", "DELETED"),
    ]
    assert heard[0]["detail"] == {"omicsVersion": "1.0.0", "arn": store["arn"], "status": "CREATED"}
    assert (heard[2]["account"], heard[2]["resources"]) == ("123456789012", [store["arn"]])
    assert heard[2]["detail"] == {
        "omicsVersion": "1.0.0",
        "id": job_id,
        "referenceStoreId": store["id"],
        "status": "SUBMITTED",
        "statusMessage": "The job is submitted and will start soon.",
    }
    assert heard[4]["resources"] == [reference["arn"]]
    assert heard[4]["detail"] == {
        "omicsVersion": "1.0.0",
        "arn": reference["arn"],
        "id": reference["id"],
        "referenceStoreId": store["id"],
        "creationJobId": job_id,
        "status": "ACTIVE",
    }
