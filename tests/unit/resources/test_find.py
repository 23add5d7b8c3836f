# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How runs and batches are found by their name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.resources.run import RunResource
from tests.healthomics import Control
from tests.unit.batch_attempts import batch_of
from tests.unit.conftest import FakeTaskInstance, answering, try_of
from tests.unit.kinds import KINDS, Kind
from tests.unit.resources.conftest import Records

# --- both ---


def list_operation(kind: Kind) -> str:
    """Return the operation that lists all resources of a kind."""
    return {"run": "ListRuns", "batch": "ListBatch"}[kind.name]


@KINDS
def test_it_is_found_by_its_whole_name(
    omics: Control, hook: HealthOmicsHook, client: Any, log: Records, kind: Kind
) -> None:
    """No document says how lists compare names, so HealthOmics and the package both do."""
    omics.set_options(name_filter="contains")
    for name in ("g0-of-another", "a-g0"):
        kind.start_beside(client, name)
    resource = resource_of_kind(kind.name, hook, log)
    assert resource.find("g0") is None
    started = kind.start_beside(client, "g0")
    found = resource.find("g0")
    assert found is not None
    assert (found["id"], found["name"]) == (started["id"], "g0")


@KINDS
@pytest.mark.parametrize(
    ("code", "http_status"), [("ThrottlingException", 429), ("ExpiredTokenException", 403)]
)
def test_a_temporary_failure_of_the_search_is_an_error(
    omics: Control, hook: HealthOmicsHook, log: Records, kind: Kind, code: str, http_status: int
) -> None:
    """Otherwise a second one would be started. Only the name is listed, as the account may have many."""
    omics.inject_error(list_operation(kind), code, status=http_status, match={"name": "g0"})
    with pytest.raises(ClientError, match=code):
        resource_of_kind(kind.name, hook, log).find("g0")


@KINDS
def test_a_denied_search_names_the_permission(
    omics: Control, hook: HealthOmicsHook, log: Records, kind: Kind
) -> None:
    """HealthOmics may still know the request ID."""
    omics.inject_error(list_operation(kind), "AccessDeniedException")
    assert resource_of_kind(kind.name, hook, log).find("g0") is None
    ((level, line),) = log.lines
    assert level == logging.WARNING
    assert f"omics:{list_operation(kind)}" in line


# --- runs ---


def test_an_active_run_takes_precedence_over_an_ended_one(
    omics: Control, hook: HealthOmicsHook, log: Records, started: Callable[..., Any]
) -> None:
    """Names are not unique; a retry should find the active one."""
    live = started(name="g0", requestId="a")
    omics.advance_clock(0.1)
    ended = started(name="g0", requestId="b")
    omics.advance("FAILED", run_id=ended["id"])
    assert RunResource(hook, log).find("g0")["id"] == live["id"]  # type: ignore[index]


def test_a_later_run_takes_precedence_over_an_earlier_one(
    omics: Control, hook: HealthOmicsHook, log: Records, started: Callable[..., Any]
) -> None:
    """If both have ended."""
    ids = []
    for request_id in ("a", "b"):
        ids.append(started(name="g0", requestId=request_id)["id"])
        omics.advance("FAILED", run_id=ids[-1])
        omics.advance_clock(1)
    assert RunResource(hook, log).find("g0")["id"] == ids[1]  # type: ignore[index]


def test_a_run_is_found_behind_many_others(
    omics: Control, hook: HealthOmicsHook, log: Records, started: Callable[..., Any]
) -> None:
    """On the second page, where ListRuns compares by a part of the name."""
    omics.set_options(name_filter="contains", manual=True)
    for number in range(101):
        started(name=f"g0-{number}", requestId=f"x{number}")
    run = started(name="g0", requestId="g0")
    assert RunResource(hook, log).find("g0")["id"] == run["id"]  # type: ignore[index]


def test_a_run_that_is_deleted_meanwhile_is_not_found(
    omics: Control, hook: HealthOmicsHook, client: Any, log: Records, started: Callable[..., Any]
) -> None:
    """It is not a refusal."""
    started(name="g0", requestId="g0")
    omics.inject_error("GetRun", "ResourceNotFoundException")
    assert RunResource(hook, log).find("g0") is None
    assert log.lines == []


def test_a_run_whose_id_belongs_to_another_meanwhile_is_not_found(
    omics: Control, hook: HealthOmicsHook, log: Records, started: Callable[..., Any]
) -> None:
    """HealthOmics gave the id of a deleted run to another one."""
    run = started(name="g0", requestId="g0")
    answering(
        hook.conn,
        "GetRun",
        {**run, "name": "of-another", "status": "RUNNING", "creationTime": "2026-11-22T03:04:05Z"},
    )
    assert RunResource(hook, log).find("g0") is None


# --- batches ---


def test_a_later_batch_takes_precedence_over_an_earlier_one(
    omics: Control, hook: HealthOmicsHook, log: Records
) -> None:
    """Names of batches are not unique either."""
    context = try_of(FakeTaskInstance())
    ids = []
    for request_id in ("a", "b"):
        ids.append(batch_of(batch_name="g0", request_id=request_id).execute(context))
        omics.advance_clock(1)
    assert len(set(ids)) == 2
    assert BatchResource(hook, log).find("g0")["id"] == ids[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("status", "run_status"),
    [
        ("INPROGRESS", "RUNNING"),
        ("STOPPING", "STOPPING"),
        ("PROCESSED", "FAILED"),
        ("HIBERNATING", "RUNNING"),
    ],
)
def test_a_batch_has_the_status_of_a_run(
    omics: Control, hook: HealthOmicsHook, log: Records, status: str, run_status: str
) -> None:
    """An unknown status is active. Lists do not show whether enough runs completed."""
    item = {"id": "1", "name": "g0", "status": status, "createdAt": "2026-11-22T03:04:05Z"}
    answering(hook.conn, "ListBatch", {"items": [item]})
    found = BatchResource(hook, log).find("g0")
    assert found is not None
    assert found["status"] == run_status
