# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The record of a task about its run: in the task state store, or derived from the names of runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.starting.identity import RequestIds
from airflow_healthomics.starting.record import (
    KEY,
    Attempt,
    NameLookupStore,
    StartRecord,
    TaskStateStore,
    fingerprint,
    has_changed,
    open_start_store,
)
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Store, calls_of, needs_store

CANARY = "canary-patient-7"
LOG = logging.getLogger("tests.run_record")
quick = settings(deadline=None, max_examples=60)

records = st.builds(
    StartRecord,
    request_id=st.text(min_size=1, max_size=128),
    epoch=st.integers(0, 99),
    generation=st.integers(0, 99),
    resource_id=st.none() | st.from_regex(r"[0-9]{1,18}", fullmatch=True),
    uuid=st.none() | st.uuids().map(str),
    fingerprint=st.none() | st.just("k:d"),
    earlier=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    started=st.none() | st.floats(0, 2e9),
    settled=st.none() | st.floats(0, 2e9),
    connection=st.just({"aws_conn_id": "a", "region_name": None, "verify": False}),
)

ATTEMPT = Attempt(number=2, max_tries=5)


@pytest.fixture
def hook(omics: Control) -> HealthOmicsHook:
    """A hook without retries."""
    return HealthOmicsHook(aws_conn_id=None, config=ONE_ATTEMPT)


# --- the store ---


@needs_store
@given(record=records)
@quick
def test_a_record_survives_the_store(record: StartRecord) -> None:
    """As JSON, in any process."""
    store = Store()
    TaskStateStore(store).save(record)
    assert TaskStateStore(store).load() == record


@needs_store
def test_a_record_never_expires() -> None:
    """A run may take days, and a Clear may follow weeks later."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

    store = Store()
    TaskStateStore(store).save(StartRecord(request_id="r", epoch=0))
    assert store.retentions == [NEVER_EXPIRE]


@pytest.mark.parametrize("value", [None, {}, [], "text", {"epoch": 1}, {"request_id": 1}])
def test_an_invalid_record_counts_as_none(value: Any) -> None:
    """A first attempt finds none, and a user may have edited the store."""
    store = Store()
    if value is not None:
        store.values[KEY] = json.dumps(value)
    assert TaskStateStore(store).load() is None


def test_fields_of_a_later_version_are_left_out() -> None:
    """The package may be downgraded between two tries."""
    store = Store()
    store.values[KEY] = json.dumps(
        {"request_id": "r", "epoch": 1, "resource_id": "7", "of_next_year": {"x": 1}, "created": "2026"}
    )
    assert TaskStateStore(store).load() == StartRecord(request_id="r", epoch=1, resource_id="7")


def test_fields_that_an_earlier_version_lacked_may_be_absent() -> None:
    """All but the request ID and the epoch."""
    store = Store()
    store.values[KEY] = json.dumps({"request_id": "r", "epoch": 1})
    assert TaskStateStore(store).load() == StartRecord(request_id="r", epoch=1)


@pytest.mark.parametrize("with_store", [True, False])
def test_the_store_is_used_if_there_is_one(hook: HealthOmicsHook, with_store: bool) -> None:
    """Otherwise the names of the runs."""
    context: Any = {"task_state_store": Store()} if with_store else {}
    kept = open_start_store(context, RunResource(hook, LOG), NAMES, ATTEMPT, starts=0)
    assert isinstance(kept, TaskStateStore if with_store else NameLookupStore)


# --- the fingerprint ---

requests = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=20), max_size=5
)


@given(request=requests, other=requests)
@quick
def test_a_fingerprint_shows_whether_the_request_has_changed(
    request: dict[str, Any], other: dict[str, Any]
) -> None:
    """The order of keys does not matter."""
    record = StartRecord(request_id="r", epoch=0, fingerprint=fingerprint(request))
    assert not has_changed(record, dict(reversed(request.items())))
    assert has_changed(record, other) == (
        json.dumps(other, sort_keys=True) != json.dumps(request, sort_keys=True)
    )


def test_a_fingerprint_is_keyed() -> None:
    """Equal requests have different ones, so equal parameters cannot be detected."""
    request = {"parameters": {"sample": CANARY}}
    one, two = fingerprint(request), fingerprint(request)
    assert one != two
    assert CANARY not in one


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"sample": CANARY + "8"}},
        {"parameters": {"sample": CANARY, "b": None}},
        {"parameters": {}},
        {"workflowId": "8"},
        {"tags": {"a": "b"}},
    ],
    ids=str,
)
def test_any_change_of_the_request_is_seen(change: dict[str, Any]) -> None:
    """A value, a key, a field."""
    request = {"workflowId": "7", "parameters": {"sample": CANARY}}
    record = StartRecord(request_id="r", epoch=0, fingerprint=fingerprint(request))
    assert has_changed(record, request | change)


def test_without_a_fingerprint_nothing_is_known_about_changes() -> None:
    """A record that was derived from a name has none."""
    assert has_changed(StartRecord(request_id="r", epoch=0), {"a": 1}) is False


# --- names ---


class Names(RequestIds):
    """Short request IDs: ``g0``, ``g1`` and so on."""

    def of(self, epoch: int, generation: int = 0) -> str:
        """Return the request ID of a generation."""
        return f"g{generation}"


CONTEXT: Any = {}
NAMES = Names(CONTEXT, None, RunResource)


def by_name(hook: HealthOmicsHook, starts: int = 1) -> StartRecord | None:
    return NameLookupStore(RunResource(hook, LOG), NAMES, ATTEMPT, starts=starts).load()


@pytest.mark.parametrize(
    ("ends", "generation"),
    [
        ([], None),
        (["RUNNING"], 0),
        (["COMPLETED"], 0),
        (["FAILED"], 0),
        (["FAILED", "RUNNING"], 1),
        (["CANCELLED", "FAILED", "COMPLETED"], 2),
        (["FAILED", "CANCELLED", "FAILED"], 2),
        (["COMPLETED", "RUNNING"], 1),
    ],
    ids=str,
)
def test_the_newest_generation_is_found(
    omics: Control,
    hook: HealthOmicsHook,
    started: Callable[..., Any],
    ends: list[str],
    generation: int | None,
) -> None:
    """A generation follows only a failed one."""
    runs = []
    for number, end in enumerate(ends):
        runs.append(started(name=NAMES.of(0, number), requestId=f"r{number}"))
        omics.advance(end, run_id=runs[-1]["id"])
    expected = generation is not None and StartRecord(
        request_id=NAMES.of(0, generation),
        name=NAMES.of(0, generation),
        epoch=5,
        generation=generation,
        resource_id=runs[generation]["id"],
        uuid=runs[generation]["uuid"],
        arn=runs[generation]["arn"],
        earlier=tuple(run["id"] for run in runs[:generation]),
        attempt=2,
        max_tries=5,
    )
    assert by_name(hook, starts=4) == (expected or None)


@pytest.mark.parametrize("healthomics_options", [{"name_filter": "contains"}, {"name_filter": "exact"}])
def test_a_name_is_matched_exactly(
    omics: Control, hook: HealthOmicsHook, started: Callable[..., Any]
) -> None:
    """No document says how ListRuns compares names."""
    for name in ("g0-of-another", "a-g0", "G0", "g00"):
        started(name=name, requestId=name)
    assert by_name(hook) is None
    run = started(name="g0", requestId="g0")
    record = by_name(hook)
    assert record is not None
    assert record.resource_id == run["id"]


def test_the_first_try_does_not_search(omics: Control, hook: HealthOmicsHook) -> None:
    """There is nothing to find."""
    assert by_name(hook, starts=0) is None
    assert omics.calls() == []


def test_a_denied_search_names_the_permission(
    omics: Control, hook: HealthOmicsHook, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt continues with the request ID alone."""
    omics.inject_error("ListRuns", "AccessDeniedException", times=None)
    assert by_name(hook) is None
    (record,) = [record for record in caplog.records if record.name == LOG.name]
    assert record.levelname == "WARNING"
    assert "omics:ListRuns" in record.getMessage()


def test_a_fixed_request_id_has_one_generation(
    omics: Control, hook: HealthOmicsHook, started: Callable[..., Any]
) -> None:
    """Its failed run is the newest one, so the search ends."""
    run = started(name="mine", requestId="mine")
    omics.advance("FAILED", run_id=run["id"])
    request_ids = RequestIds(CONTEXT, "mine", RunResource)
    record = NameLookupStore(RunResource(hook, LOG), request_ids, ATTEMPT, starts=3).load()
    assert record is not None
    assert (record.resource_id, record.generation) == (run["id"], 0)
    assert calls_of(omics, "ListRuns") == 1
