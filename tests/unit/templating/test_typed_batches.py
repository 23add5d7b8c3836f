# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The template fields of the batch operators and sensor render in a DAG, and values keep their types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_healthomics.operators import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsDeleteRunBatchOperator,
    HealthOmicsStartRunBatchOperator,
)
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor
from tests.healthomics import Control
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW, FakeTaskInstance, context_of
from tests.unit.templating.test_typed import NATIVE, dag_of

STARTS_WITH: dict[Any, dict[str, Any]] = {
    HealthOmicsStartRunBatchOperator: {"workflow_id": "1"},
    HealthOmicsCancelRunBatchOperator: {"batch_id": "1"},
    HealthOmicsDeleteRunBatchOperator: {"batch_id": "1"},
    HealthOmicsRunBatchSensor: {"batch_id": "1"},
}


def rendered(kind: Any, native: bool, params: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Have Airflow render a task's fields in a DAG."""
    with dag_of(native):
        task = kind(task_id="a_task", **{**STARTS_WITH[kind], **fields})
    scope: Any = context_of(FakeTaskInstance(), dag=task.dag)
    scope["params"] = params or {}
    task.render_template_fields(scope)
    return task


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in STARTS_WITH for field in kind.template_fields]
)
def test_every_template_field_renders(kind: Any, field: str, native: bool) -> None:
    """In a native DAG and in any other."""
    task = rendered(kind, native, {"x": "abc"}, **{field: "{{ params.x }}d"})
    assert getattr(task, field) == "abcd"


SETTINGS = [
    {"run_setting_id": "0042", "parameters": {"depth": 30, "version": "1.10", "flag": True, "none": None}}
]


@pytest.mark.parametrize("native", NATIVE)
def test_run_settings_may_come_from_another_task(omics: Control, native: bool) -> None:
    """A template of one expression yields the list itself, whose values keep their types."""
    task = rendered(
        HealthOmicsStartRunBatchOperator, native, {"settings": SETTINGS}, run_settings="{{ params.settings }}"
    )
    assert repr(task.run_settings) == repr(SETTINGS)


@pytest.mark.parametrize("native", NATIVE)
def test_a_template_in_a_run_setting_keeps_the_type_of_its_value(omics: Control, native: bool) -> None:
    """HealthOmics checks JSON types, and "0042" remains "0042"."""
    task = rendered(
        HealthOmicsStartRunBatchOperator,
        native,
        {"depth": 30, "id": "0042"},
        workflow_id=WORKFLOW,
        role_arn=ROLE,
        output_uri=OUTPUT,
        run_settings=[
            {
                "run_setting_id": "{{ params.id }}",
                "priority": "{{ params.depth }}",
                "parameters": {"depth": "{{ params.depth }}", "text": "{{ params.depth }}x"},
            }
        ],
    )
    bodies: list[dict[str, Any]] = []
    task.hook.conn_without_retries.meta.events.register(
        "before-send.omics.StartRunBatch", lambda request, **_: bodies.append(json.loads(request.body))
    )
    task.execute(context_of(FakeTaskInstance()))
    assert bodies[0]["batchRunSettings"]["inlineSettings"] == [
        {"runSettingId": "0042", "priority": 30, "parameters": {"depth": 30, "text": "30x"}}
    ]


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("policy", ["all", "95%", 0.95, 950, "950"])
def test_the_policy_may_be_a_parameter_of_the_dag(native: bool, policy: Any) -> None:
    """Of the operator, and of the sensor, which parses its text."""
    params = {"policy": policy}
    task = rendered(HealthOmicsStartRunBatchOperator, native, params, success_policy="{{ params.policy }}")
    assert repr(task.success_policy) == repr(policy)
    sensor = rendered(HealthOmicsRunBatchSensor, native, params, success_policy="{{ params.policy }}")
    assert str(sensor.success_policy) == str(policy)
    assert sensor.watch


def test_a_task_may_be_mapped_over_sheets(omics: Control) -> None:
    """Each has its own batch."""
    with dag_of(False):
        mapped = HealthOmicsStartRunBatchOperator.partial(task_id="a_task", workflow_id="1").expand(
            sample_sheet=["s3://bucket/a.csv", "s3://bucket/b.csv"]
        )
    ti = FakeTaskInstance(map_index=0)
    ti.task = mapped
    scope: Any = context_of(ti, dag=mapped.dag, task=mapped)
    mapped.render_template_fields(scope)
    assert scope["task"].sample_sheet == "s3://bucket/a.csv"
