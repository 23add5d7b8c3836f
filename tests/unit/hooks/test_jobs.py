# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook's methods for jobs of stores."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import xform_name

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks import HealthOmicsHook
from tests.healthomics import Control
from tests.unit.conftest import ROLE, Clock
from tests.unit.job_attempts import ACTIVATION, DESTINATION, EXPORT, JOB_KINDS, JobKind, Stores


@pytest.fixture
def stores(omics: Control) -> Stores:
    """A reference store and a sequence store."""
    return Stores(omics)


def arguments_of(stores: Stores, kind: JobKind) -> dict[str, Any]:
    """Return the arguments of a start."""
    arguments = {kind.store: stores.ids[kind.store], kind.sources: stores.values(kind)}
    if kind is EXPORT:
        arguments["destination"] = DESTINATION
    return {**arguments, **({} if kind is ACTIVATION else {"role_arn": ROLE})}


@JOB_KINDS
def test_a_job_is_started_described_and_listed(clock: Clock, stores: Stores, kind: JobKind) -> None:
    """A method named after each operation does it."""
    hook = HealthOmicsHook()
    method = xform_name(kind.operation)
    arguments = arguments_of(stores, kind)
    started = getattr(hook, f"start_{method}")(**arguments, client_token="mine")
    assert getattr(hook, f"start_{method}")(**arguments, client_token="mine")["id"] == started["id"]
    store_id = stores.ids[kind.store]
    described = getattr(hook, f"get_{method}")(store_id, started["id"])
    assert (described["id"], described["status"], described[kind.store_field]) == (
        started["id"],
        "SUBMITTED",
        store_id,
    )
    assert "ResponseMetadata" not in {**described, **started}
    listing = getattr(hook, f"list_{method}s")
    assert started["id"] in [job["id"] for job in listing(store_id, status="SUBMITTED")]
    assert list(listing(store_id, status="CANCELLED")) == []
    assert list(listing(store_id, created_after=datetime.fromtimestamp(clock.time() + 60, UTC))) == []


@JOB_KINDS
def test_a_bad_request_is_refused(omics: Control, stores: Stores, kind: JobKind) -> None:
    """Before any call."""
    arguments = {**arguments_of(stores, kind), kind.sources: []}
    before = omics.call_counts()
    with pytest.raises(HealthOmicsRequestError, match=f"{kind.sources} must have 1 to {kind.limit} elements"):
        getattr(HealthOmicsHook(), f"start_{xform_name(kind.operation)}")(**arguments)
    assert omics.call_counts() == before
