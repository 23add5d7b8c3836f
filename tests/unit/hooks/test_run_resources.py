# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook's methods for run groups, run caches and configurations."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks import HealthOmicsHook
from tests.healthomics import Control


@pytest.fixture
def hook(omics: Control) -> HealthOmicsHook:
    """A hook of aws_default."""
    return HealthOmicsHook()


def test_the_life_of_a_run_group(hook: HealthOmicsHook) -> None:
    """From its creation to its deletion, by arguments in snake case."""
    group = hook.create_run_group(name="ours", max_runs=5, tags={"team": "genomics"})
    assert "ResponseMetadata" not in group
    hook.update_run_group(group["id"], max_cpus=64)
    hook.tag_resource(group["arn"], {"stage": "test"})
    found = hook.get_run_group(group["id"])
    assert (found["maxRuns"], found["maxCpus"]) == (5, 64)
    assert found["tags"] == {"team": "genomics", "stage": "test"}
    other = hook.create_run_group(name="theirs")
    assert [each["id"] for each in hook.list_run_groups(name="ours")] == [group["id"]]
    assert {each["id"] for each in hook.list_run_groups(page_size=1)} == {group["id"], other["id"]}
    hook.delete_run_group(group["id"])
    assert [each["id"] for each in hook.list_run_groups()] == [other["id"]]


def test_the_life_of_a_run_cache(hook: HealthOmicsHook) -> None:
    """The same."""
    cache = hook.create_run_cache(name="ours", cache_s3_location="s3://cache-bucket/prefix")
    hook.update_run_cache(cache["id"], cache_behavior="CACHE_ALWAYS", description="of ours")
    found = hook.get_run_cache(cache["id"])
    assert (found["cacheBehavior"], found["description"]) == ("CACHE_ALWAYS", "of ours")
    assert [each["id"] for each in hook.list_run_caches(page_size=1)] == [cache["id"]]
    hook.delete_run_cache(cache["id"])
    assert list(hook.list_run_caches()) == []


def test_the_life_of_a_configuration(hook: HealthOmicsHook) -> None:
    """The same, though it cannot be changed."""
    created = hook.create_configuration(name="ours", subnet_ids=["subnet-0a1"], security_group_ids=["sg-0a1"])
    found = hook.get_configuration("ours")
    assert (found["arn"], found["status"]) == (created["arn"], "ACTIVE")
    assert found["runConfigurations"]["vpcConfig"]["subnetIds"] == ["subnet-0a1"]
    hook.delete_configuration("ours")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        hook.get_configuration("ours")


def test_bad_arguments_are_not_sent(hook: HealthOmicsHook, omics: Control) -> None:
    """Each method names the argument."""
    with pytest.raises(HealthOmicsRequestError, match="max_runs"):
        hook.create_run_group(max_runs=0)
    with pytest.raises(HealthOmicsRequestError, match="max_gpus"):
        hook.update_run_group("1234567", max_gpus=0)
    with pytest.raises(HealthOmicsRequestError, match="cache_s3_location is required"):
        hook.create_run_cache(name="ours")
    with pytest.raises(HealthOmicsRequestError, match="cache_behavior"):
        hook.update_run_cache("1234567", cache_behavior="NEVER")
    with pytest.raises(HealthOmicsRequestError, match="subnet_ids is required"):
        hook.create_configuration(name="ours")
    assert not omics.call_counts()
