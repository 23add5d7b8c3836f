# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The request ID identifies a task instance, in a form that the API accepts."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.starting.identity import RequestIds, TaskIdentity, derive_request_id, is_derived
from tests.healthomics import omics_client
from tests.unit.conftest import FakeTaskInstance, context_of

START_DATE = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
IDENTITY = TaskIdentity(
    dag_id="a_dag",
    dag_run_id="manual__2026-11-22T03:04:05+00:00",
    task_id="a_task",
    map_index=-1,
    start_date=START_DATE,
    epoch=0,
)

identities = st.builds(
    TaskIdentity,
    dag_id=st.text(min_size=1, max_size=250),
    dag_run_id=st.text(min_size=1, max_size=250),
    task_id=st.text(min_size=1, max_size=250),
    map_index=st.integers(-1, 10_000),
    start_date=st.none() | st.datetimes(timezones=st.just(UTC)),
    epoch=st.integers(0, 100),
)
generations = st.integers(0, 1000)

quick = settings(deadline=None, max_examples=150)


@quick
@given(identities, generations)
def test_the_api_accepts_it(identity: TaskIdentity, generation: int) -> None:
    """It has 1 to 128 characters, all of them allowed by the API's pattern."""
    request_id = derive_request_id(identity, generation)
    assert 1 <= len(request_id) <= 128
    assert not [c for c in request_id if unicodedata.category(c).startswith("C")]


@quick
@given(identities, generations)
def test_it_ends_with_a_digest(identity: TaskIdentity, generation: int) -> None:
    """16 hex digits follow the last dot."""
    assert re.fullmatch(r".*\.[0-9a-f]{16}", derive_request_id(identity, generation), re.DOTALL)


@quick
@given(identities, generations)
def test_it_is_stable(identity: TaskIdentity, generation: int) -> None:
    """Equal identities have equal request IDs."""
    assert derive_request_id(identity._replace(), generation) == derive_request_id(identity, generation)


def test_it_is_the_same_in_the_next_release() -> None:
    """The derivation never changes, since a retry after an upgrade must find the run of an earlier try."""
    assert derive_request_id(IDENTITY) == "manual__2026-11-22T03:04:05+00:00.849c9f7012b15bae"


def test_it_begins_with_the_dag_run_id() -> None:
    """A person recognises the DAG run."""
    assert derive_request_id(IDENTITY).startswith("manual__2026-11-22T03:04:05+00:00.")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"dag_id": "another_dag"}, id="dag"),
        pytest.param({"dag_run_id": "manual__2026-11-23T03:04:05+00:00"}, id="dag-run"),
        pytest.param({"task_id": "another_task"}, id="task"),
        pytest.param({"map_index": 0}, id="map-index"),
        pytest.param({"start_date": None}, id="no-start-date"),
        pytest.param({"start_date": datetime(2026, 11, 22, 3, 4, 6, tzinfo=UTC)}, id="start-date"),
        pytest.param({"start_date": datetime(2026, 11, 22, 3, 4, 5, 1, tzinfo=UTC)}, id="microsecond"),
        pytest.param({"epoch": 1}, id="epoch"),
    ],
)
def test_each_part_of_the_identity_counts(change: dict[str, Any]) -> None:
    """Any difference in the identity makes another request ID."""
    assert derive_request_id(IDENTITY._replace(**change)) != derive_request_id(IDENTITY)


def test_each_generation_has_its_own() -> None:
    """A run after a failed one has another request ID."""
    assert len({derive_request_id(IDENTITY, generation) for generation in range(50)}) == 50


@quick
@given(identities, identities, generations, generations)
def test_it_is_unique(one: TaskIdentity, two: TaskIdentity, first: int, second: int) -> None:
    """Different identities or generations have different request IDs."""
    same = (one, first) == (two, second)
    assert (derive_request_id(one, first) == derive_request_id(two, second)) == same


@quick
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_text_does_not_move_between_the_parts(a: str, b: str, c: str) -> None:
    """A DAG "a" with a task "bc" is not a DAG "ab" with a task "c"."""
    one = derive_request_id(IDENTITY._replace(dag_id=a + b, task_id=c))
    two = derive_request_id(IDENTITY._replace(dag_id=a, task_id=b + c))
    assert (one == two) == ((a + b, c) == (a, b + c))


def test_long_dag_run_ids_remain_distinct() -> None:
    """DAG-run IDs that differ after the limit have different request IDs of at most 128 characters."""
    ids = {derive_request_id(IDENTITY._replace(dag_run_id="x" * 240 + end)) for end in "abc"}
    assert {len(request_id) for request_id in ids} == {128}
    assert len(ids) == 3


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Move this machine to another time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_the_time_zone_of_a_machine_does_not_matter() -> None:
    """The next attempt may run on another one."""
    test_it_is_the_same_in_the_next_release()


def test_the_time_zone_of_the_start_date_does_not_matter() -> None:
    """A moment is the same start date in any zone."""
    local = START_DATE.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert derive_request_id(IDENTITY._replace(start_date=local)) == derive_request_id(IDENTITY)


@pytest.mark.parametrize(
    ("resource", "shape", "member"),
    [(RunResource, "StartRunRequest", "name"), (BatchResource, "StartRunBatchRequest", "batchName")],
)
def test_it_can_be_the_name_of_its_run_or_batch(resource: type[Resource], shape: str, member: str) -> None:
    """However long the DAG-run ID is; botocore has the limit."""
    limit: Any = omics_client("us-east-1").meta.service_model.shape_for(shape)
    request_id = derive_request_id(IDENTITY._replace(dag_run_id="x" * 240), max_length=resource.name_length)
    assert len(request_id) == resource.name_length == limit.members[member].metadata["max"]


@pytest.mark.parametrize(("map_index", "index"), [(None, -1), (-1, -1), (3, 3)])
def test_it_is_derived_from_the_task_instance(map_index: int | None, index: int) -> None:
    """And is as long as the name of its run or batch may be."""
    ti = FakeTaskInstance(map_index=map_index, run_id="x" * 240)
    identity = IDENTITY._replace(dag_run_id=ti.run_id, map_index=index, epoch=3)
    request_ids = RequestIds(context_of(ti), None, BatchResource)
    assert request_ids.of(3, 2) == derive_request_id(identity, 2, BatchResource.name_length)
    assert request_ids.of(3) == request_ids.of(3, 0)
    assert not request_ids.are_all(request_ids.of(0))


def test_an_explicit_one_is_used_unchanged() -> None:
    """For each Clear and each generation."""
    request_ids = RequestIds(context_of(FakeTaskInstance()), "mine", RunResource)
    assert request_ids.of(3, 2) == "mine"
    assert request_ids.are_all("mine")
    assert not request_ids.are_all("another")


def test_a_character_that_the_api_rejects_is_replaced() -> None:
    """Each is replaced separately, so a person still recognises the DAG run."""
    assert derive_request_id(IDENTITY._replace(dag_run_id="a\nb\u200bc")).startswith("a-b-c.")


def test_an_explicit_one_with_a_broken_template_is_refused() -> None:
    """The error names the argument and the operation."""
    broken = BrokenTemplate("uses a name that is undefined")
    request_ids = RequestIds(context_of(FakeTaskInstance()), broken, BatchResource)
    with pytest.raises(HealthOmicsRequestError, match=r"StartRunBatch.*\brequest_id\b"):
        request_ids.of(0)


@pytest.mark.parametrize(
    "text", ["", "sample-7", "a.0123456789abcdeg", "a.0123456789abcde", "a0123456789abcdef"]
)
def test_a_custom_name_is_not_taken_for_a_derived_one(text: str) -> None:
    """Nor is a derived one with a suffix."""
    assert not is_derived(text)
    derived = derive_request_id(IDENTITY)
    assert is_derived(derived)
    assert not is_derived(f"{derived}-2")
