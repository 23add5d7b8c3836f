# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that create and delete run groups and run caches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsRequestError,
    HealthOmicsResourceDiffersError,
)
from airflow_healthomics.operators import (
    HealthOmicsCreateRunCacheOperator,
    HealthOmicsCreateRunGroupOperator,
    HealthOmicsDeleteRunCacheOperator,
    HealthOmicsDeleteRunGroupOperator,
)
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, calls_of, intercepting

S3 = "s3://cache-bucket/prefix"


class Kind(NamedTuple):
    """
    A kind of resource.

    :param suffix: of the names of its operations
    :param create: the operator that creates it
    :param delete: the operator that deletes it
    :param id_argument: the argument with its id
    :param request: fields of a creation
    :param arguments: the same as arguments
    :param change: an argument that can be changed, with its field
    :param run_field: field of StartRun with its id
    """

    suffix: str
    create: Any
    delete: Any
    id_argument: str
    request: dict[str, Any]
    arguments: dict[str, Any]
    change: tuple[dict[str, Any], dict[str, Any]]
    run_field: str


GROUP = Kind(
    "RunGroup",
    HealthOmicsCreateRunGroupOperator,
    HealthOmicsDeleteRunGroupOperator,
    "run_group_id",
    {"name": "ours", "maxRuns": 5},
    {"name": "ours", "max_runs": 5},
    ({"max_runs": 7}, {"maxRuns": 7}),
    "runGroupId",
)
CACHE = Kind(
    "RunCache",
    HealthOmicsCreateRunCacheOperator,
    HealthOmicsDeleteRunCacheOperator,
    "cache_id",
    {"name": "ours", "cacheS3Location": S3},
    {"name": "ours", "cache_s3_location": S3},
    ({"cache_behavior": "CACHE_ALWAYS"}, {"cacheBehavior": "CACHE_ALWAYS"}),
    "cacheId",
)
KINDS = pytest.mark.parametrize("kind", [GROUP, CACHE], ids=lambda kind: kind.suffix)


class Account:
    """The resources of a kind in the account, through a client of the test's own."""

    def __init__(self, client: Any, kind: Kind) -> None:
        self.client = client
        self.snake = {"RunGroup": "run_group", "RunCache": "run_cache"}[kind.suffix]
        self.kind = kind

    def create(self, **fields: Any) -> str:
        """Create one beside the code under test."""
        made = getattr(self.client, f"create_{self.snake}")(**{**self.kind.request, **fields})
        return str(made["id"])

    def get(self, resource_id: str) -> dict[str, Any]:
        """Describe one."""
        found: dict[str, Any] = getattr(self.client, f"get_{self.snake}")(id=resource_id)
        return found

    def ids(self) -> list[str]:
        """Return the ids of all."""
        return [each["id"] for each in getattr(self.client, f"list_{self.snake}s")()["items"]]

    def delete(self, resource_id: str) -> None:
        """Delete one beside the code under test."""
        getattr(self.client, f"delete_{self.snake}")(id=resource_id)


@pytest.fixture
def account(client: Any) -> Callable[[Kind], Account]:
    """Look at the account."""
    return lambda kind: Account(client, kind)


@pytest.fixture
def create(context: Context) -> Callable[..., Any]:
    """Run a task that creates a resource."""

    def run(kind: Kind, **arguments: Any) -> Any:
        given = {"botocore_config": ONE_ATTEMPT, **kind.arguments, **arguments}
        return kind.create(task_id="a_task", **given).execute(context)

    return run


@pytest.fixture
def delete(context: Context) -> Callable[..., Any]:
    """Run a task that deletes a resource."""

    def run(kind: Kind, **arguments: Any) -> Any:
        given = {"botocore_config": ONE_ATTEMPT, **arguments}
        return kind.delete(task_id="a_task", **given).execute(context)

    return run


# --- creation ---


@KINDS
def test_a_second_task_finds_what_the_first_created(
    omics: Control,
    account: Callable[[Kind], Account],
    create: Callable[..., Any],
    logged: Callable[[], str],
    kind: Kind,
) -> None:
    """One resource, and nothing is updated."""
    first = create(kind, tags={"team": "genomics"})
    assert create(kind, tags={"team": "genomics"}) == first
    assert account(kind).ids() == [first]
    found = account(kind).get(first)
    assert (found["name"], found["tags"]) == ("ours", {"team": "genomics"})
    assert calls_of(omics, f"Update{kind.suffix}") == 0
    assert calls_of(omics, "TagResource") == 0
    assert "with the same name" not in logged()


@KINDS
def test_a_difference_is_updated(
    omics: Control,
    account: Callable[[Kind], Account],
    create: Callable[..., Any],
    logged: Callable[[], str],
    kind: Kind,
) -> None:
    """If the API can. What is not given stays."""
    existing = account(kind).create(tags={"owner": "us", "stage": "test"})
    arguments, fields = kind.change
    assert create(kind, **arguments, tags={"stage": "production"}) == existing
    found = account(kind).get(existing)
    assert {name: found[name] for name in fields} == fields
    assert found["tags"] == {"owner": "us", "stage": "production"}
    assert f"changed {next(iter(arguments))}" in logged()


def test_the_limits_of_a_group(account: Callable[[Kind], Account], create: Callable[..., Any]) -> None:
    """Each has an argument, and a limit that is not given stays."""
    limits = {"max_runs": 5, "max_cpus": 64, "max_gpus": 2, "max_duration": 90}
    group_id = create(GROUP, **limits)
    assert create(GROUP, max_runs=6) == group_id
    found = account(GROUP).get(group_id)
    shown = (found["maxRuns"], found["maxCpus"], found["maxGpus"], found["maxDuration"])
    assert shown == (6, 64, 2, 90)


def test_the_fields_of_a_cache(account: Callable[[Kind], Account], create: Callable[..., Any]) -> None:
    """Each has an argument."""
    fields = {"cache_behavior": "CACHE_ALWAYS", "description": "ours", "cache_bucket_owner_id": "1" * 12}
    found = account(CACHE).get(create(CACHE, **fields))
    assert (found["cacheS3Uri"], found["cacheBehavior"]) == (S3, "CACHE_ALWAYS")
    assert (found["description"], found["cacheBucketOwnerId"]) == ("ours", "1" * 12)


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        ({"cache_s3_location": "s3://elsewhere/prefix"}, f"cache_s3_location is {S3}, not s3://elsewhere"),
        ({"cache_bucket_owner_id": "1" * 12}, "cache_bucket_owner_id is 123456789012, not 111111111111"),
    ],
    ids=["location", "owner"],
)
def test_a_difference_that_cannot_be_changed_is_refused(
    omics: Control,
    account: Callable[[Kind], Account],
    create: Callable[..., Any],
    arguments: dict[str, Any],
    difference: str,
) -> None:
    """Nothing is changed, not even what could be."""
    existing = account(CACHE).create()
    with pytest.raises(HealthOmicsResourceDiffersError, match=difference) as caught:
        create(CACHE, cache_behavior="CACHE_ALWAYS", **arguments)
    assert existing in str(caught.value)
    assert calls_of(omics, "UpdateRunCache") == 0


def test_a_slash_at_the_end_is_no_difference(
    account: Callable[[Kind], Account], create: Callable[..., Any]
) -> None:
    """It is the same place in S3."""
    existing = account(CACHE).create()
    assert create(CACHE, cache_s3_location=f"{S3}/") == existing


@KINDS
@pytest.mark.parametrize("healthomics_options", [{"name_filter": "contains"}], ids=["contains"])
def test_a_longer_name_is_another_one(
    account: Callable[[Kind], Account], create: Callable[..., Any], kind: Kind
) -> None:
    """AWS does not document how its filter compares names."""
    other = account(kind).create(name="ours too")
    assert create(kind) != other


@KINDS
def test_the_oldest_of_several_is_used(
    clock: Clock,
    account: Callable[[Kind], Account],
    create: Callable[..., Any],
    logged: Callable[[], str],
    kind: Kind,
) -> None:
    """So that all tasks agree, and the log names the others."""
    oldest = account(kind).create()
    clock.advance(1)
    other = account(kind).create(tags={"another": "one"})
    assert create(kind) == oldest
    assert f"{oldest}, {other}. The oldest is used" in logged()


@KINDS
def test_tasks_at_the_same_time_create_one(
    account: Callable[[Kind], Account], create: Callable[..., Any], kind: Kind
) -> None:
    """Both have looked it up in vain, but their requests have the same ID."""
    ids: list[str] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if operation == f"Create{kind.suffix}" and not ids:
            ids.append("")
            ids[0] = create(kind)
        return call()

    with intercepting(respond):
        ids.append(create(kind))
    assert ids == [account(kind).ids()[0]] * 2
    assert len(account(kind).ids()) == 1


@KINDS
def test_tasks_with_different_fields_agree(
    clock: Clock, account: Callable[[Kind], Account], create: Callable[..., Any], kind: Kind
) -> None:
    """Both create one at the same time. Then both use the older one."""
    rival: list[str] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if operation == f"Create{kind.suffix}" and not rival:
            rival.append("")
            rival[0] = account(kind).create(tags={"by": "the other"})
            clock.advance(1)
        return call()

    with intercepting(respond):
        assert create(kind) == rival[0]
    assert create(kind) == rival[0]


@KINDS
def test_a_list_may_lag_behind(
    account: Callable[[Kind], Account], create: Callable[..., Any], kind: Kind
) -> None:
    """AWS does not document it. The new one is used then."""

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        return {"items": []} if operation == f"List{kind.suffix}s" else call()

    with intercepting(respond):
        created = create(kind)
    assert account(kind).ids() == [created]


@KINDS
def test_one_that_was_deleted_is_created_again(
    account: Callable[[Kind], Account], create: Callable[..., Any], kind: Kind
) -> None:
    """Though HealthOmics still knows the request ID and answers with the deleted one."""
    first = create(kind)
    account(kind).delete(first)
    second = create(kind)
    assert account(kind).ids() == [second]
    assert second != first


@KINDS
def test_a_creation_in_flight_is_waited_for(
    omics: Control, account: Callable[[Kind], Account], create: Callable[..., Any], kind: Kind
) -> None:
    """HealthOmics answers a duplicate with ConflictException meanwhile."""
    omics.inject_error(f"Create{kind.suffix}", "ConflictException", times=2)
    created = create(kind)
    assert account(kind).ids() == [created]


@KINDS
def test_a_conflict_that_stays_is_an_error(omics: Control, create: Callable[..., Any], kind: Kind) -> None:
    """The task does not wait for ever."""
    omics.inject_error(f"Create{kind.suffix}", "ConflictException", times=None)
    with pytest.raises(HealthOmicsApiError, match="ConflictException"):
        create(kind)


@KINDS
@pytest.mark.parametrize("verb", ["List", "Create", "Get", "Update", "TagResource"])
def test_a_missing_permission_is_named(
    omics: Control,
    account: Callable[[Kind], Account],
    create: Callable[..., Any],
    kind: Kind,
    verb: str,
) -> None:
    """For each call."""
    if verb in ("Update", "TagResource"):
        account(kind).create()
    operation = {"List": f"List{kind.suffix}s", "TagResource": verb}.get(verb, verb + kind.suffix)
    omics.inject_error(operation, "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsApiError, match=f"must allow omics:{operation}"):
        create(kind, **kind.change[0], tags={"a": "tag"})


@KINDS
def test_a_transient_error_is_left_to_airflow(omics: Control, create: Callable[..., Any], kind: Kind) -> None:
    """Its retry finds or creates the resource."""
    omics.inject_error(f"Create{kind.suffix}", "InternalServerException", times=1)
    with pytest.raises(ClientError):
        create(kind)
    assert create(kind)


@pytest.mark.parametrize(
    ("kind", "arguments", "problem"),
    [
        (GROUP, {"name": ""}, "name must be 1 to 128"),
        (GROUP, {"max_runs": 0}, "max_runs must be from 1 to 100000"),
        (GROUP, {"max_cpus": 1.5}, "max_cpus must be a whole number"),
        (GROUP, {"max_gpus": True}, "max_gpus must be a whole number"),
        (GROUP, {"max_duration": "soon"}, "max_duration must be a whole number"),
        (GROUP, {"tags": ["a"]}, "tags must be a mapping"),
        (CACHE, {"cache_s3_location": "/tmp"}, "cache_s3_location must be an S3 URI"),
        (CACHE, {"cache_behavior": "NEVER"}, "cache_behavior must be one of"),
        (CACHE, {"description": ""}, "description must be 1 to 256"),
        (CACHE, {"cache_bucket_owner_id": "1"}, "cache_bucket_owner_id must be an AWS account id"),
    ],
)
def test_bad_arguments_are_refused(
    omics: Control, create: Callable[..., Any], kind: Kind, arguments: dict[str, Any], problem: str
) -> None:
    """The error names the argument and the rule, and nothing was called."""
    with pytest.raises(HealthOmicsRequestError, match=problem):
        create(kind, **arguments)
    assert omics.call_counts() == Counter()


@KINDS
def test_a_name_that_renders_to_none_is_refused(
    omics: Control, create: Callable[..., Any], kind: Kind
) -> None:
    """A resource without a name would never be found again."""
    with pytest.raises(HealthOmicsRequestError, match="name is required"):
        create(kind, name=None)
    assert omics.call_counts() == Counter()


@pytest.mark.parametrize("status", ["FAILED", "DELETED"])
def test_a_cache_that_cannot_be_used_is_not_found(
    account: Callable[[Kind], Account], create: Callable[..., Any], status: str
) -> None:
    """Another one is created."""
    unusable = account(CACHE).create(tags={"another": "one"})

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        answer = call()
        for item in answer["items"] if operation == "ListRunCaches" else ():
            if item["id"] == unusable:
                item["status"] = status
        return answer

    with intercepting(respond):
        created = create(CACHE)
        assert create(CACHE) == created
    assert created != unusable


# --- deletion ---


@KINDS
def test_it_is_deleted_by_id_or_name(
    account: Callable[[Kind], Account], delete: Callable[..., Any], logged: Callable[[], str], kind: Kind
) -> None:
    """And a second task succeeds, too; its log says that there was nothing to delete."""
    by_id, by_name = account(kind).create(), account(kind).create(name="theirs")
    assert delete(kind, **{kind.id_argument: by_id}) == by_id
    assert "Deleted HealthOmics" in logged()
    assert delete(kind, **{kind.id_argument: by_id}) == by_id
    assert "no longer exists" in logged()
    assert delete(kind, name="theirs") == by_name
    assert delete(kind, name="theirs") is None
    assert account(kind).ids() == []


@KINDS
@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_one_with_active_runs_is_kept(
    omics: Control,
    account: Callable[[Kind], Account],
    started: Callable[..., Any],
    delete: Callable[..., Any],
    kind: Kind,
    code: str,
) -> None:
    """HealthOmics refuses; AWS does not document with which error."""
    omics.set_options(delete_error=code)
    existing = account(kind).create()
    started(**{kind.run_field: existing})
    with pytest.raises(HealthOmicsApiError, match="active runs"):
        delete(kind, name="ours")
    assert account(kind).ids() == [existing]


@KINDS
@pytest.mark.parametrize("which", ["none", "both", "no digits"])
def test_the_id_or_the_name_is_required(
    omics: Control, delete: Callable[..., Any], kind: Kind, which: str
) -> None:
    """Nothing was called."""
    arguments = {
        "none": {},
        "both": {"name": "ours", kind.id_argument: "1234567"},
        "no digits": {kind.id_argument: "ours"},
    }[which]
    with pytest.raises(HealthOmicsRequestError, match=kind.id_argument):
        delete(kind, **arguments)
    assert omics.call_counts() == Counter()
