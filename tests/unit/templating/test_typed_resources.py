# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Templates of the tasks that create what runs need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.operators import (
    HealthOmicsCreateConfigurationOperator,
    HealthOmicsCreateRunGroupOperator,
    HealthOmicsDeleteRunGroupOperator,
    HealthOmicsRegisterWorkflowOperator,
)
from tests.healthomics import Control
from tests.sdk import DAG
from tests.unit.conftest import FakeTaskInstance, context_of

WDL = "version 1.0\nworkflow germline { input { String sample } }\n"


@pytest.fixture(params=[False, True], ids=["plain", "native"])
def run(omics: Control, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Let Airflow render the fields of a task, and execute it."""

    def rendered(operator: Any, params: dict[str, Any], **fields: Any) -> Any:
        dag = DAG(
            "a_dag",
            schedule=None,
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
            render_template_as_native_obj=request.param,
        )
        task = operator(task_id="a_task", dag=dag, **fields)
        context = context_of(FakeTaskInstance(), dag=dag, params=params)
        task.render_template_fields(context)
        return task.execute(context)

    return rendered


def test_limits_and_tags_keep_their_types(run: Callable[..., Any], client: Any) -> None:
    """And a name of digits stays text."""
    params = {"name": "0042", "runs": 5, "tags": {"team": "genomics"}}
    group_id = run(
        HealthOmicsCreateRunGroupOperator,
        params,
        name="{{ params.name }}",
        max_runs="{{ params.runs }}",
        tags="{{ params.tags }}",
    )
    group = client.get_run_group(id=group_id)
    assert (group["name"], group["maxRuns"], group["tags"]) == ("0042", 5, {"team": "genomics"})


def test_lists_keep_their_type(run: Callable[..., Any], client: Any) -> None:
    """As a whole or element by element."""
    run(
        HealthOmicsCreateConfigurationOperator,
        {"subnets": ["subnet-0a1", "subnet-0b2"], "group": "sg-0a1"},
        name="ours",
        subnet_ids="{{ params.subnets }}",
        security_group_ids=["{{ params.group }}"],
    )
    vpc = client.get_configuration(name="ours")["runConfigurations"]["vpcConfig"]
    assert (vpc["subnetIds"], vpc["securityGroupIds"]) == (["subnet-0a1", "subnet-0b2"], ["sg-0a1"])


def test_mappings_keep_their_type(run: Callable[..., Any], client: Any, tmp_path: Path) -> None:
    """The parameter template too."""
    (tmp_path / "main.wdl").write_text(WDL)
    registered = run(
        HealthOmicsRegisterWorkflowOperator,
        {"folder": str(tmp_path), "version": "1.10", "template": {"sample": {"optional": True}}},
        source="{{ params.folder }}",
        name="germline",
        version_name="{{ params.version }}",
        parameter_template="{{ params.template }}",
    )
    assert registered["versionName"] == "1.10"
    version = client.get_workflow_version(workflowId=registered["workflowId"], versionName="1.10")
    assert version["parameterTemplate"] == {"sample": {"optional": True}}


@pytest.mark.parametrize(
    ("operator", "fields"),
    [
        (HealthOmicsCreateRunGroupOperator, {"name": "{{ params.nothing }}"}),
        (HealthOmicsCreateRunGroupOperator, {"name": "ours", "max_runs": "{{ params.nothing }}"}),
        (HealthOmicsDeleteRunGroupOperator, {"run_group_id": "{{ params.nothing }}"}),
        (HealthOmicsRegisterWorkflowOperator, {"source": "{{ params.nothing }}", "name": "ours"}),
        (HealthOmicsRegisterWorkflowOperator, {"source": "/x", "workflow_id": "{{ params.nothing }}"}),
    ],
)
def test_a_missing_value_is_refused(
    run: Callable[..., Any], omics: Control, operator: Any, fields: dict[str, Any]
) -> None:
    """It never means "not set"."""
    with pytest.raises(HealthOmicsRequestError, match="is a template that yields None"):
        run(operator, {"nothing": None}, **fields)
    assert not omics.call_counts()
