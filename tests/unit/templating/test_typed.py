# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Templates keep the type of their value, as Airflow itself renders them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_healthomics.compat import BaseOperator
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.operators import (
    HealthOmicsCancelRunOperator,
    HealthOmicsDeleteRunOperator,
    HealthOmicsStartRunBatchOperator,
    HealthOmicsStartRunOperator,
)
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.requests.run import ARGUMENTS
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from tests.healthomics import Control
from tests.sdk import DAG
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.histories import start_of

NATIVE = [pytest.param(False, id="plain"), pytest.param(True, id="native")]

#: Values that a template of one expression may yield, in the typed fields.
VALUES: dict[str, Any] = {
    "int": 3,
    "zero": 0,
    "float": 1.0,
    "true": True,
    "false": False,
    "text": "x",
    "empty": "",
    "digits": "0042",
    "version": "1.10",
    "word-true": "true",
    "word-none": "None",
    "list-in-text": "[1, 2]",
    "mapping-in-text": "{'a': 1}",
    "list": [1, "2", None, [3]],
    "mapping": {"a": {"b": [True, 1.5]}},
    "template-in-value": "{{ run_id }}",
}


CANARY = "canary-patient-7"


def dag_of(native: bool) -> DAG:
    return DAG(
        "a_dag",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        render_template_as_native_obj=native,
    )


def rendered(
    native: bool = False, context: Mapping[str, Any] | None = None, **fields: Any
) -> HealthOmicsStartRunOperator:
    """Have Airflow render an operator's fields in a DAG."""
    with dag_of(native):
        operator = HealthOmicsStartRunOperator(task_id="a_task", **fields)
    operator.render_template_fields(context_of(FakeTaskInstance(), dag=operator.dag, **(context or {})))
    return operator


def rendered_mapped(
    native: bool, context: Mapping[str, Any], partial: dict[str, Any], **expanded: list[Any]
) -> HealthOmicsStartRunOperator:
    """Have Airflow render the first of the mapped operators."""
    with dag_of(native):
        mapped = HealthOmicsStartRunOperator.partial(task_id="a_task", **partial).expand(**expanded)
    ti = FakeTaskInstance(map_index=0)
    ti.task = mapped
    scope = context_of(ti, dag=mapped.dag, task=mapped, **context)
    mapped.render_template_fields(scope)
    return cast("HealthOmicsStartRunOperator", scope["task"])


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal and of equal types."""
    return repr(one) == repr(two)


# --- the type ---


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("field", ["parameters", "tags", "engine_settings"])
def test_one_expression_keeps_its_type(native: bool, value: Any, field: str) -> None:
    """Inside a mapping, in a native DAG and in any other."""
    operator = rendered(native, {"params": {"x": value}}, **{field: {"a": "{{ params.x }}"}})
    assert same(getattr(operator, field), {"a": value})


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("field", ["parameters", "tags", "engine_settings", "priority", "storage_capacity"])
def test_a_whole_field_keeps_its_type(native: bool, value: Any, field: str) -> None:
    """Even if the field itself is the template."""
    operator = rendered(native, {"params": {"x": value}}, **{field: "{{ params.x }}"})
    assert same(getattr(operator, field), value)


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_mapped_task_keeps_types_too(native: bool, value: Any) -> None:
    """In the mapped arguments and in the common ones."""
    operator = rendered_mapped(
        native,
        {"x": value},
        {"tags": {"t": "{{ x }}"}, "priority": "{{ x }}"},
        parameters=[{"a": ["{{ x }}"]}],
    )
    assert same(operator.parameters, {"a": [value]})
    assert same(operator.tags, {"t": value})
    assert same(operator.priority, value)


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    "template",
    [
        "{{params.x}}",
        "{{ params['x'] }}",
        "{{- params.x -}}",
        "{{ params.x if true else 1 }}",
        "{{ params.x | default(1) }}",
        "{{ {'y': params.x}.y }}",
    ],
)
def test_any_single_expression_keeps_its_type(native: bool, template: str) -> None:
    """In any notation."""
    operator = rendered(native, {"params": {"x": [1, 2]}}, parameters={"a": template})
    assert same(operator.parameters, {"a": [1, 2]})


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ params.x }}{{ params.x }}", "33"),
        (" {{ params.x }}", " 3"),
        ("{{ params.x }} ", "3 "),
        ("{{ params.x }}{# comment #}.", "3."),
        ("00{{ params.x }}", "003"),
        ("1.{{ params.x }}0", "1.30"),
        ("[{{ params.x }}]", "[3]"),
        ("{% if true %}{{ params.x }}{% endif %}", "3"),
        ("{% for n in [1, 2] %}{{ n }}{% endfor %}", "12"),
        ("{% set y = params.x %}{{ y }}", "3"),
        ("s3://bucket/{{ run_id }}/x", "s3://bucket/manual__2026-11-22T03:04:05+00:00/x"),
        ("{{ 'a' }}", "a"),
        ("{{ '0042' }}", "0042"),
    ],
)
def test_anything_else_is_text(native: bool, template: str, expected: str) -> None:
    """Types are not guessed from text, even in a native DAG."""
    operator = rendered(native, {"params": {"x": 3}}, parameters={"a": template})
    assert same(operator.parameters, {"a": expected})


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("value", ["0042", "true", "None", "1.10", "[1]", "", "a{b}", "é\t"])
def test_plain_text_stays(native: bool, value: str) -> None:
    """A value without a template is unchanged."""
    assert same(
        rendered(native, parameters={"a": value, "b": [value]}).parameters, {"a": value, "b": [value]}
    )


@pytest.mark.parametrize("native", NATIVE)
def test_other_values_are_unchanged(native: bool) -> None:
    """Numbers, flags and nulls of the DAG author."""
    value: dict[str, Any] = {"a": 1, "b": 1.0, "c": True, "d": None, "e": [{}, []]}
    assert same(rendered(native, parameters=value).parameters, value)


def test_keys_are_not_rendered() -> None:
    """As in the rest of Airflow."""
    assert rendered(parameters={"{{ run_id }}": 1}).parameters == {"{{ run_id }}": 1}


def test_the_operators_own_mapping_is_left_alone() -> None:
    """Two operators may share it."""
    shared = {"a": "{{ run_id }}", "b": ["{{ run_id }}"]}
    rendered(parameters=shared)
    assert shared == {"a": "{{ run_id }}", "b": ["{{ run_id }}"]}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None, max_examples=60)
@given(value=json_values.filter(lambda value: value is not None), native=st.booleans())
@example(value="{{ params.x }}", native=True)
@example(value="{% raw %}", native=False)
def test_any_json_value_passes_through_a_template(value: Any, native: bool) -> None:
    """At any depth, and without being rendered a second time."""
    operator = rendered(
        native, {"params": {"x": value}}, parameters={"a": "{{ params.x }}", "b": [{"c": "{{ params.x }}"}]}
    )
    assert same(operator.parameters, {"a": value, "b": [{"c": value}]})


@settings(deadline=None, max_examples=60)
@given(text=st.text(st.characters(exclude_characters="{}#%\r\n")), native=st.booleans())
def test_any_text_passes_without_a_template(text: str, native: bool) -> None:
    """Text without Jinja syntax is not changed."""
    assert same(rendered(native, parameters={"a": text, "b": [text]}).parameters, {"a": text, "b": [text]})


# --- XComs ---


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("value", [{"b": [1, None]}, 7, "0042", ["s3://a"]], ids=str)
def test_an_xcom_by_template_keeps_its_type(native: bool, value: Any) -> None:
    """``{{ ti.xcom_pull(...) }}`` is one expression."""
    before = FakeTaskInstance(upstream={("before", "return_value"): value})
    operator = rendered(
        native, {"before": before}, parameters={"a": "{{ before.xcom_pull(task_ids='before') }}"}
    )
    assert same(operator.parameters, {"a": value})


def test_another_tasks_output_is_a_dependency() -> None:
    """An XComArg inside ``parameters`` puts its task upstream."""
    with dag_of(False):
        before = BaseOperator(task_id="before")
        after = HealthOmicsStartRunOperator(task_id="after", parameters={"a": [before.output]})
    assert after.upstream_task_ids == {"before"}


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: {"a": x}, lambda x: {"a": [x, {"b": x}]}],
    ids=["whole", "value", "nested"],
)
def test_another_tasks_output_is_resolved(monkeypatch: pytest.MonkeyPatch, native: bool, wrap: Any) -> None:
    """An XComArg becomes the other task's return value, which is not rendered again."""
    value = {"n": 1, "t": "{{ run_id }}"}
    with dag_of(native):
        output = BaseOperator(task_id="before").output
        operator = HealthOmicsStartRunOperator(task_id="after", parameters=wrap(output))
    monkeypatch.setattr(type(output), "resolve", lambda *_, **__: value)
    operator.render_template_fields(context_of(FakeTaskInstance(), dag=operator.dag))
    assert same(operator.parameters, wrap(value))


# --- undefined names ---

UNDEFINED = ["{{ nope }}", "{{ params.nope }}"]


@pytest.mark.parametrize("native", NATIVE)
def test_an_undefined_name_never_becomes_a_value(native: bool) -> None:
    """It is sent neither as text nor as null: the request is refused."""
    parameters: Any = rendered(native, parameters={"a": "{{ nope }}", "b": 1}).parameters
    assert isinstance(parameters["a"], BrokenTemplate)


def test_a_default_replaces_an_undefined_name() -> None:
    """As in the rest of Jinja."""
    assert rendered(parameters={"a": "{{ nope | default(none) }}"}).parameters == {"a": None}


# --- every field ---


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("field", HealthOmicsStartRunOperator.template_fields)
def test_every_field_of_the_start_renders(native: bool, field: str) -> None:
    """Airflow must render each field on the list."""
    value: Any = "{{ params.word }}"
    expected: Any = "rendered"
    if field in ("parameters", "tags", "engine_settings"):
        value, expected = {"a": value}, {"a": expected}
    operator = rendered(native, {"params": {"word": "rendered"}}, **{field: value})
    assert getattr(operator, field) == expected


def test_every_argument_of_start_run_is_a_template_field() -> None:
    """And so are those of the connection."""
    fields = set(HealthOmicsStartRunOperator.template_fields)
    assert fields >= {*ARGUMENTS, "aws_conn_id", "region_name", "verify"}


@pytest.mark.parametrize(
    "task", [HealthOmicsRunSensor, HealthOmicsCancelRunOperator, HealthOmicsDeleteRunOperator]
)
@pytest.mark.parametrize("field", ["run_id", "aws_conn_id", "region_name", "verify"])
def test_every_field_of_the_others_renders(task: Any, field: str) -> None:
    """Above all the run id."""
    assert field in task.template_fields
    with dag_of(False):
        operator = task(task_id="a_task", **{"run_id": "1", field: "{{ params.word }}"})
    operator.render_template_fields(context_of(FakeTaskInstance(), params={"word": "rendered"}))
    assert getattr(operator, field) == "rendered"


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (HealthOmicsStartRunOperator, {"workflow_id": "1"}),
        (HealthOmicsStartRunBatchOperator, {"workflow_id": "1", "run_settings": [{"run_setting_id": "s"}]}),
        (HealthOmicsRunSensor, {"run_id": "1"}),
        (HealthOmicsRunBatchSensor, {"batch_id": "1"}),
    ],
)
def test_a_number_of_log_lines(omics: Control, task: Any, given: dict[str, Any]) -> None:
    """It keeps its type; a template that fails is refused before any start or poll."""
    for template, expected in (("{{ 5 }}", 5), ("{{ nope }}", None)):
        with dag_of(False):
            operator = task(task_id="a_task", log_tail_lines=template, **given)
        context = context_of(FakeTaskInstance(), dag=operator.dag)
        operator.render_template_fields(context)
        if expected is not None:
            assert operator.log_tail_lines == expected
            continue
        with pytest.raises(HealthOmicsRequestError, match="log_tail_lines"):
            operator.execute(context)
    assert omics.calls() == []


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("field", ["workflow_id", "run_id", "cache_id", "run_group_id"])
def test_an_id_by_template_is_sent_as_text(native: bool, field: str) -> None:
    """A native DAG makes it a number, which the request makes text again."""
    operator = rendered(native, {"params": {"id": "0012345"}}, **{field: "{{ params.id }}"})
    assert str(getattr(operator, field)) in ("0012345", "12345")
    plain = rendered(False, {"params": {"id": "0012345"}}, **{field: "{{ params.id }}"})
    assert getattr(plain, field) == "0012345"


def test_the_ui_shows_mappings_as_json() -> None:
    """The Rendered Template view formats them."""
    renderers = HealthOmicsStartRunOperator.template_fields_renderers
    assert renderers.keys() <= set(HealthOmicsStartRunOperator.template_fields)
    assert renderers["parameters"] == "json"


def test_rendered_parameters_can_be_shown() -> None:
    """An undefined value does not break the view of the others."""
    operator = rendered(parameters={"a": "{{ nope }}", "b": 1})
    assert "undefined" in json.dumps(operator.parameters, default=repr)


@pytest.mark.parametrize(
    "template", ["{{ nope.x }}", "a-{{ nope }}", "{{ params.a.b.c }}", "{{ 1 / 0 }}", "{{ x"]
)
def test_a_template_that_fails_shows_no_value_beside_it(template: str, logged: Callable[[], str]) -> None:
    """Airflow would log the whole field if rendering raised, so it does not raise."""
    with DAG("a_dag", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        operator = start_of(parameters={"a": template, "sample": CANARY})
    with suppress(Exception):
        operator.render_template_fields(context_of(FakeTaskInstance(), dag=operator.dag))
    assert CANARY not in logged()


@pytest.mark.parametrize("template", ["{{ nope.x }}", "a-{{ nope }}"])
def test_anything_undefined_is_refused_by_path(omics: Control, template: str) -> None:
    """Like an undefined name."""
    operator = start_of(parameters={"a": {"b": template}})
    operator.render_template_fields(context_of(FakeTaskInstance()))
    with pytest.raises(HealthOmicsRequestError, match=r"parameters\.a\.b"):
        operator.execute(context_of(FakeTaskInstance()))
