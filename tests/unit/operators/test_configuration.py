# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that create and delete configurations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import AirflowTaskTimeout, Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsCreationFailedError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
    HealthOmicsResourceDiffersError,
)
from airflow_healthomics.operators import (
    HealthOmicsCreateConfigurationOperator,
    HealthOmicsDeleteConfigurationOperator,
)
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks, calls_of, intercepting
from tests.unit.histories import WAYS

SUBNETS = ["subnet-0a1", "subnet-0b2"]
GROUPS = ["sg-0a1", "sg-0b2"]
VPC = {"subnetIds": SUBNETS, "securityGroupIds": GROUPS}
REQUEST = {"name": "ours", "runConfigurations": {"vpcConfig": VPC}, "description": "of ours"}
ARGUMENTS = {"name": "ours", "subnet_ids": SUBNETS, "security_group_ids": GROUPS, "description": "of ours"}

SLOW = pytest.mark.parametrize(
    "healthomics_options",
    [{"configuration_creating_seconds": 300, "configuration_deleting_seconds": 300}],
    ids=["slow"],
)
BOTH = pytest.mark.parametrize("deferrable", WAYS)


@pytest.fixture
def create(context: Context, tasks: Tasks) -> Callable[..., Any]:
    """Run a task that creates a configuration, through all of its deferrals."""

    def run(**arguments: Any) -> Any:
        given = {"task_id": "a_task", "botocore_config": ONE_ATTEMPT, **ARGUMENTS, **arguments}
        return tasks.run(lambda: HealthOmicsCreateConfigurationOperator(**given), context)

    return run


@pytest.fixture
def delete(context: Context, tasks: Tasks) -> Callable[..., Any]:
    """Run a task that deletes a configuration, through all of its deferrals."""

    def run(**arguments: Any) -> Any:
        given = {"task_id": "a_task", "name": "ours", "botocore_config": ONE_ATTEMPT, **arguments}
        return tasks.run(lambda: HealthOmicsDeleteConfigurationOperator(**given), context)

    return run


def status_of(client: Any) -> str:
    """Return the status of the configuration."""
    return str(client.get_configuration(name="ours")["status"])


# --- creation ---


@SLOW
@BOTH
def test_it_waits_until_the_configuration_is_active(
    omics: Control, client: Any, tasks: Tasks, create: Callable[..., Any], deferrable: bool
) -> None:
    """On the worker or in the triggerer. A second task finds it and changes nothing."""
    assert create(deferrable=deferrable) == "ours"
    assert status_of(client) == "ACTIVE"
    assert len(tasks.deferrals) == int(deferrable)
    found = client.get_configuration(name="ours")
    vpc = found["runConfigurations"]["vpcConfig"]
    assert (vpc["subnetIds"], vpc["securityGroupIds"]) == (SUBNETS, GROUPS)
    assert found["description"] == "of ours"
    assert create(deferrable=deferrable) == "ours"
    assert calls_of(omics, "CreateConfiguration") == 1
    assert len(tasks.deferrals) == int(deferrable)


@SLOW
def test_it_need_not_wait(client: Any, create: Callable[..., Any]) -> None:
    """For a later task may do so, which finds the configuration in CREATING."""
    assert create(wait_for_completion=False) == "ours"
    assert status_of(client) == "CREATING"
    assert create(wait_for_completion=False) == "ours"
    assert create() == "ours"
    assert status_of(client) == "ACTIVE"


def test_the_order_of_subnets_is_no_difference(client: Any, create: Callable[..., Any]) -> None:
    """Nor that of security groups; and what is not given is not compared. Tags are updated."""
    client.create_configuration(**REQUEST, tags={"owner": "us"})
    assert create(subnet_ids=SUBNETS[::-1], security_group_ids=GROUPS[::-1], tags={"stage": "test"}) == "ours"
    assert create(security_group_ids=None, description=None) == "ours"
    assert client.get_configuration(name="ours")["tags"] == {"owner": "us", "stage": "test"}


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        ({"subnet_ids": ["subnet-0c3"]}, "subnet_ids is subnet-0a1, subnet-0b2, not subnet-0c3"),
        ({"security_group_ids": []}, "security_group_ids is sg-0a1, sg-0b2, not empty"),
        ({"vpc_owner_account_id": "1" * 12}, "vpc_owner_account_id is None, not 111111111111"),
        ({"description": "of theirs"}, "description is of ours, not of theirs"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_difference_is_refused(
    client: Any, create: Callable[..., Any], arguments: dict[str, Any], difference: str
) -> None:
    """HealthOmics cannot change a configuration."""
    client.create_configuration(**REQUEST)
    with pytest.raises(HealthOmicsResourceDiffersError, match=difference):
        create(**arguments, tags={"stage": "test"})
    assert client.get_configuration(name="ours")["tags"] == {}


@SLOW
@BOTH
def test_a_deletion_is_waited_for(
    client: Any, clock: Clock, create: Callable[..., Any], deferrable: bool
) -> None:
    """Then the configuration is created, whatever the deleted one was like."""
    client.create_configuration(name="ours", runConfigurations={"vpcConfig": {"subnetIds": ["subnet-0c3"]}})
    client.delete_configuration(name="ours")
    assert create(deferrable=deferrable) == "ours"
    assert status_of(client) == "ACTIVE"
    assert clock.elapsed >= 600


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_tasks_at_the_same_time_create_one(
    omics: Control, client: Any, create: Callable[..., Any], code: str
) -> None:
    """The slower one is refused, and uses that of the other. AWS does not document the error."""
    omics.set_options(used_name_error=code)
    rival: list[Any] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if operation == "CreateConfiguration" and not rival:
            rival.append("")
            client.create_configuration(**REQUEST)
        return call()

    with intercepting(respond):
        assert create() == "ours"
    assert calls_of(omics, "CreateConfiguration") == 2
    assert len(client.list_configurations()["items"]) == 1


@BOTH
@pytest.mark.parametrize("wait", [True, False])
def test_a_failed_creation_is_an_error(
    omics: Control, create: Callable[..., Any], deferrable: bool, wait: bool
) -> None:
    """That says what to do."""

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        answer = call()
        return {**answer, "status": "FAILED"} if operation == "GetConfiguration" else answer

    with intercepting(respond):
        create(wait_for_completion=False)
        with pytest.raises(HealthOmicsCreationFailedError, match=r"ours is FAILED.*Delete it"):
            create(deferrable=deferrable, wait_for_completion=wait)


@SLOW
@BOTH
def test_a_new_configuration_may_not_be_found_at_first(
    client: Any, create: Callable[..., Any], deferrable: bool
) -> None:
    """AWS does not document it."""
    calls: list[str] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        calls.append(operation)
        if calls[-2:] == ["CreateConfiguration", "GetConfiguration"]:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, operation)
        return call()

    with intercepting(respond):
        assert create(deferrable=deferrable) == "ours"
    assert status_of(client) == "ACTIVE"


@SLOW
@BOTH
def test_a_configuration_that_is_deleted_meanwhile_is_an_error(
    client: Any, clock: Clock, create: Callable[..., Any], deferrable: bool
) -> None:
    """The wait ends."""
    clock.at(100, lambda: client.delete_configuration(name="ours"))
    with pytest.raises(HealthOmicsCreationFailedError, match="ours is DELETING"):
        create(deferrable=deferrable)


@SLOW
@BOTH
def test_a_refused_poll_is_waited_out(
    omics: Control, clock: Clock, create: Callable[..., Any], deferrable: bool
) -> None:
    """For an hour, like that of a run; then another attempt may continue."""
    clock.at(10, lambda: omics.inject_error("GetConfiguration", "AccessDeniedException", times=None))
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetConfiguration"):
        create(deferrable=deferrable)
    assert 3600 <= clock.elapsed <= 3800


@SLOW
def test_a_timeout_says_that_the_creation_continues(
    omics: Control, create: Callable[..., Any], logged: Callable[[], str]
) -> None:
    """There is nothing to cancel."""
    with pytest.raises(AirflowTaskTimeout):
        create(execution_timeout=timedelta(seconds=100))
    assert "HealthOmics continues with configuration ours" in logged()


@pytest.mark.parametrize("operation", ["GetConfiguration", "CreateConfiguration", "TagResource"])
def test_a_missing_permission_is_named(
    omics: Control, client: Any, create: Callable[..., Any], operation: str
) -> None:
    """For each call."""
    if operation == "TagResource":
        client.create_configuration(**REQUEST)
    omics.inject_error(operation, "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsApiError, match=f"must allow omics:{operation}"):
        create(tags={"stage": "test"})


def test_a_conflict_without_a_configuration_is_an_error(omics: Control, create: Callable[..., Any]) -> None:
    """It is not hidden."""
    omics.inject_error("CreateConfiguration", "ConflictException", times=None)
    with pytest.raises(HealthOmicsApiError, match="ConflictException"):
        create()


def test_a_transient_error_is_left_to_airflow(omics: Control, create: Callable[..., Any]) -> None:
    """Its retry finds or creates the configuration."""
    omics.inject_error("CreateConfiguration", "InternalServerException", times=1)
    with pytest.raises(ClientError):
        create()
    assert create() == "ours"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": "a name"}, "name must begin with"),
        ({"name": None}, "name is required"),
        ({"name": "x" * 129}, "name must be 1 to 128"),
        ({"subnet_ids": None}, "subnet_ids is required"),
        ({"subnet_ids": "subnet-0a1"}, "subnet_ids must be a list"),
        ({"subnet_ids": ["subnet-0a1", "0a2"]}, r"subnet_ids\[1\] must be the id of a subnet"),
        ({"subnet_ids": ["subnet-0a1"] * 17}, "subnet_ids must have 0 to 16 elements, not 17"),
        ({"security_group_ids": ["sg-xyz"]}, r"security_group_ids\[0\] must be the id of a security group"),
        ({"security_group_ids": [7]}, r"security_group_ids\[0\] must be the id of a security group"),
        ({"security_group_ids": ["sg-0a1"] * 6}, "security_group_ids must have 0 to 5 elements"),
        ({"vpc_owner_account_id": "1"}, "vpc_owner_account_id must be an AWS account id"),
        ({"description": ""}, "description must be 1 to 256"),
    ],
)
def test_bad_arguments_are_refused(
    omics: Control, create: Callable[..., Any], arguments: dict[str, Any], problem: str
) -> None:
    """The error names the argument and the rule, and nothing was called."""
    with pytest.raises(HealthOmicsRequestError, match=problem):
        create(**arguments)
    assert omics.call_counts() == Counter()


# --- deletion ---


@SLOW
@BOTH
def test_it_is_deleted(
    omics: Control, client: Any, tasks: Tasks, delete: Callable[..., Any], deferrable: bool
) -> None:
    """The task waits if it should, and succeeds again once the configuration is gone."""
    client.create_configuration(**REQUEST)
    assert delete(wait_for_completion=True, deferrable=deferrable) == "ours"
    assert client.list_configurations()["items"] == []
    assert len(tasks.deferrals) == int(deferrable)
    assert delete(wait_for_completion=True, deferrable=deferrable) == "ours"


@SLOW
def test_the_deletion_need_not_be_waited_for(client: Any, delete: Callable[..., Any]) -> None:
    """By default."""
    client.create_configuration(**REQUEST)
    assert delete() == "ours"
    assert status_of(client) == "DELETING"


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_one_with_active_runs_is_kept(
    omics: Control, client: Any, started: Callable[..., Any], delete: Callable[..., Any], code: str
) -> None:
    """HealthOmics refuses."""
    omics.set_options(delete_error=code)
    client.create_configuration(**REQUEST)
    started(networkingMode="VPC", configurationName="ours")
    with pytest.raises(HealthOmicsApiError, match="active runs"):
        delete()
    assert status_of(client) == "ACTIVE"


@BOTH
def test_a_failed_deletion_is_an_error(client: Any, delete: Callable[..., Any], deferrable: bool) -> None:
    """The configuration still exists."""
    client.create_configuration(**REQUEST)

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        answer = {"name": "ours", "status": "FAILED"}
        return answer if operation == "GetConfiguration" else call()

    with intercepting(respond), pytest.raises(HealthOmicsApiError, match="could not delete"):
        delete(wait_for_completion=True, deferrable=deferrable)


@pytest.mark.parametrize("name", [None, "", "a name"])
def test_a_bad_name_is_refused(omics: Control, delete: Callable[..., Any], name: Any) -> None:
    """Nothing was called."""
    with pytest.raises(HealthOmicsRequestError, match="name "):
        delete(name=name)
    assert omics.call_counts() == Counter()
