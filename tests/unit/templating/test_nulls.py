# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A template that yields None, has a syntax error or gets text from tojson is refused by its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_healthomics.compat import BaseOperator
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.operators import (
    HealthOmicsCancelRunOperator,
    HealthOmicsStartRunBatchOperator,
    HealthOmicsStartRunOperator,
)
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW, FakeTaskInstance, context_of
from tests.unit.histories import start_of
from tests.unit.templating.test_typed import NATIVE, dag_of

MISSING = "{{ ti.xcom_pull('list_files') }}"

#: Arguments with a template that yields None, and the path of that template.
NULLS: dict[str, tuple[dict[str, Any], str]] = {
    "parameter": ({"parameters": {"reads": [MISSING]}}, "parameters.reads[0]"),
    "parameters": ({"parameters": MISSING}, "parameters"),
    "tag": ({"tags": {"cohort": MISSING}}, "tags.cohort"),
    "engine-setting": ({"engine_settings": {"a": MISSING}}, "engine_settings.a"),
    "workflow-id": ({"workflow_id": MISSING}, "workflow_id"),
    "run-id": ({"workflow_id": None, "run_id": MISSING}, "run_id"),
    "cache-id": ({"cache_id": MISSING}, "cache_id"),
    "run-group-id": ({"run_group_id": MISSING}, "run_group_id"),
    "priority": ({"priority": MISSING}, "priority"),
    "name": ({"name": MISSING}, "name"),
    "request-id": ({"request_id": MISSING}, "request_id"),
    "output-uri": ({"output_uri": MISSING}, "output_uri"),
    "parameters-s3-uri": ({"parameters_s3_uri": MISSING}, "parameters_s3_uri"),
    "start-run-kwargs": ({"start_run_kwargs": {"a": MISSING}}, "start_run_kwargs.a"),
    "connection": ({"aws_conn_id": MISSING}, "aws_conn_id"),
    "region": ({"region_name": MISSING}, "region_name"),
}

#: The same for a batch.
BATCH_NULLS: dict[str, tuple[dict[str, Any], str]] = {
    "parameter": ({"parameters": {"reads": [MISSING]}}, "parameters.reads[0]"),
    "setting-parameter": (
        {"run_settings": [{"run_setting_id": "a", "parameters": {"reads": [MISSING]}}]},
        "run_settings[0].parameters.reads[0]",
    ),
    "setting-id": ({"run_settings": [{"run_setting_id": MISSING}]}, "run_settings[0].run_setting_id"),
    "settings": ({"run_settings": MISSING}, "run_settings"),
    "sheet": ({"run_settings": None, "sample_sheet": MISSING}, "sample_sheet"),
    "settings-s3-uri": ({"settings_s3_uri": MISSING}, "settings_s3_uri"),
    "policy": ({"success_policy": MISSING}, "success_policy"),
    "run-tag": ({"run_tags": {"a": MISSING}}, "run_tags.a"),
    "workflow-id": ({"workflow_id": MISSING}, "workflow_id"),
    "batch-name": ({"batch_name": MISSING}, "batch_name"),
}


def render(task: Any, context: Mapping[str, Any] | None = None) -> Any:
    """Have Airflow render a task's fields."""
    task.render_template_fields(context_of(FakeTaskInstance(), dag=task.dag, **(context or {})))
    return task


def start_in(native: bool, **fields: Any) -> HealthOmicsStartRunOperator:
    """Return a task that could start a run, as Airflow has rendered it in a DAG."""
    with dag_of(native):
        operator = start_of(**fields)
    rendered: HealthOmicsStartRunOperator = render(operator)
    return rendered


def batch_in(native: bool, **fields: Any) -> HealthOmicsStartRunBatchOperator:
    """Return a task that could start a batch, as Airflow has rendered it in a DAG."""
    defaults: dict[str, Any] = {
        "task_id": "a_task",
        "workflow_id": WORKFLOW,
        "role_arn": ROLE,
        "output_uri": OUTPUT,
        "run_settings": [{"run_setting_id": "a"}],
    }
    with dag_of(native):
        operator = HealthOmicsStartRunBatchOperator(**{**defaults, **fields})
    rendered: HealthOmicsStartRunBatchOperator = render(operator)
    return rendered


def refusal(task: Any) -> str:
    """Return the error of a task that starts nothing."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        task.execute(context_of(FakeTaskInstance()))
    return str(caught.value)


# --- None ---


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(("fields", "path"), NULLS.values(), ids=NULLS)
def test_a_missing_xcom_is_refused_by_path(
    omics: Control, native: bool, fields: dict[str, Any], path: str
) -> None:
    """In every field and before any call, with the name of the missing XCom."""
    text = refusal(start_in(native, **fields))
    assert f"{path} is a template that yields None: XCom return_value of task list_files" in text
    assert omics.calls() == []


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(("fields", "path"), BATCH_NULLS.values(), ids=BATCH_NULLS)
def test_a_missing_xcom_of_a_batch_is_refused_by_path(
    omics: Control, native: bool, fields: dict[str, Any], path: str
) -> None:
    """In every field and before any call, with the name of the missing XCom."""
    text = refusal(batch_in(native, **fields))
    assert f"{path} is a template that yields None: XCom return_value of task list_files" in text
    assert omics.calls() == []


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    "template",
    [
        "{{ ti.xcom_pull('nope') | default(none) }}",
        "{{ ti.xcom_pull('nope') | d(None, true) }}",
        "{{ nope | default(default_value=none) }}",
        "{{ none }}",
        "{{ none if true else 1 }}",
        "{{ 0 or none }}",
        "{{ ti.xcom_pull('nope', default=none) }}",
        None,
    ],
)
def test_an_explicit_none_is_allowed(native: bool, template: Any) -> None:
    """In a template or as a literal."""
    operator = start_in(native, parameters={"a": [template]}, cache_id=template, priority=template)
    assert (operator.parameters, operator.cache_id, operator.priority) == ({"a": [None]}, None, None)


@pytest.mark.parametrize(
    "template",
    ["{{ ti.xcom_pull('nope') | default('x') }}", "{{ nope | default(params.y) }}", "{{ params.y }}"],
)
def test_none_by_accident_is_refused(template: str) -> None:
    """Jinja's filter passes None on; only a default of None allows it."""
    with dag_of(False):
        operator = start_of(parameters={"a": template})
    assert isinstance(render(operator, {"params": {"y": None}}).parameters["a"], BrokenTemplate)


def test_null_parameters_may_be_allowed(omics: Control) -> None:
    """Inside ``parameters`` only."""
    parameters = {"reads": [MISSING], "sample": {"id": MISSING}}
    operator = start_in(False, allow_null_parameters=True, parameters=parameters)
    operator.execute(context_of(FakeTaskInstance()))
    assert operator.parameters == {"reads": [None], "sample": {"id": None}}
    assert len(omics.runs()) == 1
    for field, value in (("tags", {"a": MISSING}), ("parameters", MISSING), ("cache_id", MISSING)):
        text = refusal(start_in(False, allow_null_parameters=True, **{field: value}))
        assert "yields None" in text


def test_null_parameters_of_a_batch_may_be_allowed(omics: Control) -> None:
    """Those of all runs and of each run, and no other field."""
    task = batch_in(
        False,
        allow_null_parameters=True,
        parameters={"a": MISSING},
        run_settings=[{"run_setting_id": "a", "parameters": {"b": [MISSING]}}],
    )
    task.execute(context_of(FakeTaskInstance()))
    assert task.parameters == {"a": None}
    assert task.run_settings == [{"run_setting_id": "a", "parameters": {"b": [None]}}]
    settings = [{"run_setting_id": "a", "run_tags": {"b": MISSING}}]
    assert "yields None" in refusal(batch_in(False, allow_null_parameters=True, run_settings=settings))


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    ("wrap", "path"), [(lambda x: {"a": [x]}, "parameters.a[0]"), (lambda x: x, "parameters")]
)
def test_the_missing_output_of_another_task_is_refused(
    omics: Control, monkeypatch: pytest.MonkeyPatch, native: bool, wrap: Any, path: str
) -> None:
    """``task.output`` is None, too, if the task returned nothing."""
    with dag_of(native):
        output = BaseOperator(task_id="before").output
        operator = start_of(parameters=wrap(output))
    monkeypatch.setattr(type(output), "resolve", lambda *_, **__: None)
    text = refusal(render(operator))
    assert f"{path} is a template that yields None: XCom return_value of task before is missing" in text
    assert "default(none)" not in text


@pytest.mark.parametrize("native", NATIVE)
def test_an_xcom_that_a_task_is_mapped_over_is_no_template(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The return value of another task is data, even if it looks like a template."""
    with dag_of(native):
        output = BaseOperator(task_id="before").output
        mapped = HealthOmicsStartRunOperator.partial(task_id="a_task").expand(name=output, parameters=output)
    ti = FakeTaskInstance(map_index=0)
    ti.task = mapped
    scope: Any = context_of(ti, dag=mapped.dag, task=mapped)
    text, mapping = "{{ 1 + 1 }} is {{ 2 }}", {"a": "{{ 1 + 1 }}", "b": ["{{ no such }}"]}
    kwargs = {"name": text, "parameters": mapping}
    monkeypatch.setattr(
        type(mapped), "_expand_mapped_kwargs", lambda *_, **__: (kwargs, set(map(id, kwargs.values())))
    )
    mapped.render_template_fields(scope)
    assert (scope["task"].name, scope["task"].parameters) == (text, mapping)


class NotingOperator(HealthOmicsStartRunOperator):
    """A user's subclass with additional template fields."""

    template_fields = ("notes", *HealthOmicsStartRunOperator.template_fields, "zone")

    def __init__(self, *, notes: Any = None, zone: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.notes = notes
        self.zone = zone


@pytest.mark.parametrize(("native", "none", "three"), [(False, "None", "3"), (True, None, 3)])
def test_the_fields_of_a_subclass_are_rendered_by_airflow(native: bool, none: Any, three: Any) -> None:
    """None is allowed in them, even if they have the literals of other fields."""
    with dag_of(native):
        operator = NotingOperator(
            task_id="a_task",
            notes=[MISSING, "{{ 3 }}"],
            zone=MISSING,
            priority=MISSING,
            tags="{{ 3 }}",
        )
    render(operator)
    tags: object = operator.tags
    assert (operator.notes, operator.zone, tags) == ([none, three], none, 3)
    assert isinstance(operator.priority, BrokenTemplate)


@pytest.mark.parametrize("task", [HealthOmicsRunSensor, HealthOmicsCancelRunOperator])
@pytest.mark.parametrize("native", NATIVE)
def test_a_missing_run_id_names_the_task_that_should_have_pushed_it(
    omics: Control, native: bool, task: Any
) -> None:
    """The error is about a missing XCom, not about the DAG-run ID."""
    with dag_of(native):
        operator = task(task_id="a_task", run_id="{{ ti.xcom_pull(task_ids='start', key='run') }}")
    text = refusal(render(operator))
    assert "run_id is a template that yields None: XCom run of task start is missing" in text
    assert omics.calls() == []


# --- syntax errors ---


@pytest.mark.parametrize(
    ("template", "where"),
    [
        ("{{ x", "line 1: unexpected end of template"),
        ("a\n{{ ) }}", "line 2: unexpected ')'"),
        ("{{ x | no_such }}", "line 1: No filter named 'no_such'"),
        ("{% if x %}", "line 1: Unexpected end of template"),
    ],
)
@pytest.mark.parametrize("field", ["parameters", "workflow_id"])
def test_a_syntax_error_has_its_position(omics: Control, field: str, template: str, where: str) -> None:
    """With path and line."""
    is_typed = field == "parameters"
    path = "parameters.a[0]" if is_typed else field
    text = refusal(start_in(False, **{field: {"a": [template]} if is_typed else template}))
    assert f"{path} is a template that has a syntax error in {where}" in text
    assert omics.calls() == []


# --- tojson ---


@pytest.mark.parametrize("field", ["parameters", "tags", "engine_settings", "start_run_kwargs"])
def test_text_from_tojson_is_reported(omics: Control, field: str) -> None:
    """The filter is not needed: the template keeps the type without it."""
    text = refusal(start_in(False, **{field: "{{ {'a': 1} | tojson }}"}))
    assert f"{field} must be a mapping" in text
    assert "not text from the filter tojson: remove tojson" in text
    assert "Markup" not in text


@pytest.mark.parametrize("field", ["columns", "types", "run_settings"])
def test_text_from_tojson_in_a_batch_is_reported(omics: Control, field: str) -> None:
    """The filter is not needed: the template keeps the type without it."""
    sheet: dict[str, Any] = {"run_settings": None, "sample_sheet": "sheet.csv", "columns": {}}
    fields = {**(sheet if field != "run_settings" else {}), field: "{{ {} | tojson }}"}
    assert "not text from the filter tojson: remove tojson" in refusal(batch_in(False, **fields))
