# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""From a parameter template to a form, and from the form to the run."""

from __future__ import annotations

import ast
import copy
import itertools
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_healthomics import params
from airflow_healthomics.compat import Param
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.params.__main__ import main
from airflow_healthomics.params.form import (
    INPUT_URI_PATTERN,
    TYPES,
    run_parameters,
    workflow_params,
)
from airflow_healthomics.params.values import FORM_KEY
from tests.healthomics import Control
from tests.sdk import DAG
from tests.unit.conftest import WORKFLOW, FakeTaskInstance, context_of
from tests.unit.histories import start_of

TEMPLATE: dict[str, Any] = {
    "threads": {"description": "Number of threads", "optional": True},
    "main.sample-name": {"description": "Name of the sample"},
    "reads": {"description": "S3 URI of the reads", "optional": False},
}
CANARY = "canary-patient-7"
NUMBERS = itertools.count()


def dag_of(form: Mapping[str, Param], **more: Any) -> DAG:
    return DAG(
        "a_dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), params=dict(form), **{"schedule": None, **more}
    )


def filled_in(dag: DAG, conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params of a DAG run, which Airflow checks and merges in this way."""
    merged = copy.deepcopy(dag.params)
    merged.update(conf)
    return merged.validate()


def sent(
    form: Mapping[str, Param], conf: Mapping[str, Any], parameters: Any = None, native: bool = False
) -> Any:
    """Return the parameters that reach HealthOmics when a form is filled in and its task runs."""
    dag = dag_of(form, render_template_as_native_obj=native)
    with dag:
        operator = start_of(parameters=run_parameters() if parameters is None else parameters)
    # Each call makes another task, as a task starts only one run.
    ti = FakeTaskInstance(task_id=f"task_{next(NUMBERS)}")
    context = context_of(ti, dag=dag, params=filled_in(dag, conf))
    operator.render_template_fields(context)
    run_id = operator.execute(context)
    return operator.hook.conn.get_run(id=run_id).get("parameters")


def lets_through(param: Param, value: Any) -> bool:
    dag = dag_of({"it": copy.copy(param)})
    try:
        filled_in(dag, {"it": value})
    except Exception:  # noqa: BLE001 - each version of Airflow has its own
        return False
    return True


def form_of(entry: Any = None, **more: Any) -> Param:
    (param,) = workflow_params({"it": entry}, **more).values()
    return param


# --- the form ---


def test_a_template_becomes_params() -> None:
    """Required ones come first, and optional ones are in a separate section."""
    form = workflow_params(TEMPLATE)
    assert list(form) == ["main.sample-name", "reads", "threads"]
    assert form["main.sample-name"].description == "Name of the sample"
    assert [form[name].schema["type"] for name in form] == ["string", "string", ["string", "null"]]
    assert [form[name].schema.get("section") for name in form] == [None, None, "Optional"]


def test_a_required_param_has_no_value_until_it_is_set() -> None:
    """A DAG run without it is refused."""
    form = workflow_params(TEMPLATE)
    assert not form["reads"].has_value
    dag = dag_of(form)
    with pytest.raises(Exception, match=r"main\.sample-name"):
        filled_in(dag, {})
    with pytest.raises(Exception, match="reads"):
        filled_in(dag, {"main.sample-name": "a", "reads": None})
    assert filled_in(dag, {"main.sample-name": "a", "reads": "s3://b/k"})["threads"] is None


def test_a_schedule_requires_defaults() -> None:
    """Airflow refuses the DAG without them when it parses it, and accepts it with them."""
    with pytest.raises(Exception, match=r"a_dag|params"):
        dag_of(workflow_params(TEMPLATE), schedule="@daily").validate()
    form = workflow_params(TEMPLATE, defaults={"main.sample-name": "a", "reads": "s3://b/k"})
    dag_of(form, schedule="@daily").validate()


@pytest.mark.parametrize("type_", TYPES)
def test_each_type_has_a_form(type_: str) -> None:
    """Optional or required, and with a value of the type."""
    values = {
        "string": "",
        "s3_uri": "s3://b/k",
        "integer": 3,
        "number": 1.5,
        "boolean": False,
        "strings": ["a"],
        "s3_uris": ["s3://b/k", "omics://1/2"],
        "array": [1, "a", None, {"b": []}],
        "object": {},
    }
    wrong: Any = 7 if type_ not in ("integer", "number") else "7"
    for optional in (False, True):
        param = form_of({"optional": optional}, types={"it": type_})
        assert lets_through(param, values[type_])
        assert not lets_through(param, wrong)
        assert lets_through(param, None) == optional


@pytest.mark.parametrize(
    ("uri", "passes"),
    [
        ("s3://bucket/key.fastq.gz", True),
        ("s3://bucket/a key with blanks", True),
        ("s3://bucket/reads/*_{1,2}.fastq.gz", True),
        ("s3://bucket/prefix/", True),
        ("s3://bucket", True),
        ("s3://Old_Bucket/key", True),
        ("s3://111122223333-0123456789-abc-s3alias/111122223333/sequenceStore/1/readSet/2/r.bam", True),
        ("omics://111122223333.storage.us-east-1.amazonaws.com/123/readSet/456/source1", True),
        ("omics://111122223333.storage.us-east-1.amazonaws.com/123/reference/456", True),
        ("", False),
        ("/local/file", False),
        ("https://bucket.s3.amazonaws.com/key", False),
        ("s3:/bucket/key", False),
        ("s3:///key", False),
        (" s3://bucket/key", False),
        ("s3://bucket/key ", False),
        ("s3://bucket/key\n", False),
        ("s3://bucket/key\ns3://bucket/other", False),
    ],
)
def test_the_uri_of_an_input_is_in_s3_or_a_store(uri: str, passes: bool) -> None:
    """URIs that HealthOmics can read pass; an accidental paste does not."""
    assert lets_through(form_of(types={"it": "s3_uri"}), uri) == passes
    if uri:
        assert lets_through(form_of(types={"it": "s3_uris"}), [uri, ""]) == passes


@pytest.mark.parametrize(
    ("description", "is_uri"),
    [
        ("S3 URI of the reads", True),
        ("Reads (S3 URL)", True),
        ("s3-uri", True),
        ("S3 URIs of the reads", False),
        ("S3 path of the reads", False),
        ("Name of the S3 bucket", False),
        ("Sample; results go to s3://bucket/sample", False),
        ("", False),
        (None, False),
    ],
)
def test_a_description_is_used_only_where_it_is_plain(description: str | None, is_uri: bool) -> None:
    """A guess must not exclude a valid value, and the author can override it."""
    param = form_of({"description": description})
    assert (param.schema.get("pattern") == INPUT_URI_PATTERN) == is_uri
    assert lets_through(form_of({"description": description}, types={"it": "string"}), "any text")


def test_a_uri_field_describes_its_format() -> None:
    """Unless its description does."""
    assert form_of({"description": "Reads"}, types={"it": "s3_uri"}).description == (
        "Reads (s3://... or omics://...)"
    )
    assert form_of(types={"it": "s3_uris"}).description == "(s3://... or omics://...)"
    assert form_of({"description": "S3 URI of it"}).description == "S3 URI of it"


def test_types_are_not_guessed_from_text() -> None:
    """A sample may be called 1E5."""
    assert lets_through(form_of(), "1E5")
    assert not lets_through(form_of(), 1e5)


@pytest.mark.parametrize(
    ("default", "other"),
    [
        (4, 4.5),
        (1.5, 2),
        (True, False),
        ("a", ""),
        ({"a": 1}, {}),
        (["a"], ["b", "c"]),
        ([1], ["a", 2, None]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("optional", [False, True])
def test_a_default_sets_the_type(default: Any, other: Any, optional: bool) -> None:
    """The form opens with it, and accepts other values of its type."""
    param = form_of({"optional": optional}, defaults={"it": default})
    assert param.value == default
    assert lets_through(param, other)


def test_a_required_switch_is_off_by_default() -> None:
    """Airflow shows it as off, but would never accept it without a value."""
    assert form_of(types={"it": "boolean"}).value is False
    assert form_of({"optional": True}, types={"it": "boolean"}).value is None


def test_a_custom_schema() -> None:
    """It accepts Airflow's keys; an optional choice may be left empty."""
    choice = {
        "type": "string",
        "enum": ["gatk", "deepvariant"],
        "values_display": {"gatk": "GATK"},
        "title": "Caller",
        "description": "Which one",
        "section": "Expert",
    }
    param = form_of({"description": "other", "optional": True}, types={"it": choice})
    assert (param.description, param.schema["title"], param.schema["section"]) == (
        "Which one",
        "Caller",
        "Expert",
    )
    assert param.schema["values_display"]["gatk"] == "GATK"
    assert lets_through(param, None)
    assert not lets_through(param, "none")
    assert choice["enum"] == ["gatk", "deepvariant"], "the author's mapping is left alone"


def test_sections() -> None:
    """Params in a section follow those without, since Airflow opens the first section."""
    form = workflow_params(TEMPLATE, types={"main.sample-name": {"type": "string", "section": "A"}})
    assert list(form) == ["reads", "main.sample-name", "threads"]
    form = workflow_params(TEMPLATE, section="Align")
    assert {param.schema["section"] for param in form.values()} == {"Align", "Align: optional"}
    assert "section" not in form_of({"optional": True}).schema


def test_some_parameters_are_not_in_the_form() -> None:
    """The DAG author sets them."""
    assert list(workflow_params(TEMPLATE, without=["reads"])) == ["main.sample-name", "threads"]


# --- templates from files, and bad ones ---


def test_a_file_is_relative_to_the_dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Airflow's working directory is."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "template.json").write_text(json.dumps(TEMPLATE))
    dag_file = tmp_path / "dags" / "a_dag.py"
    dag_file.write_text(
        "from airflow_healthomics.params import workflow_params\nform = workflow_params('template.json')\n"
    )
    monkeypatch.chdir(tmp_path)
    assert list(runpy.run_path(str(dag_file))["form"]) == list(workflow_params(TEMPLATE))
    assert workflow_params(tmp_path / "dags" / "template.json").keys() == TEMPLATE.keys()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "cannot be read"),
        (b"{,", r"is not JSON, line 1"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "template must be a mapping"),
    ],
    ids=["missing", "no-json", "no-text", "deep", "list"],
)
def test_the_error_names_a_bad_file(tmp_path: Path, content: bytes | None, rule: str) -> None:
    """With the problem."""
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rule) as raised:
        workflow_params(path)
    assert "a.json" in str(raised.value) or content == b"[]"


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"template": {}}, "template has no parameters"),
        ({"template": [1]}, "template must be a mapping"),
        ({"template": {"a": "text"}}, r"template\.a must be a mapping"),
        ({"template": {3: {}}}, "names must be text"),
        ({"template": {"a": {"description": 3}}}, r"template\.a\.description must be text"),
        ({"template": {"a": {"optional": "yes"}}}, r"template\.a\.optional must be true or false"),
        ({"types": {"read": "string"}}, r"types has .* read \(did you mean reads\?\)"),
        ({"defaults": {"read": "x"}}, r"defaults has .* reads"),
        ({"without": ["read"]}, r"without has .* reads"),
        ({"without": "reads"}, "without must be a list"),
        ({"types": ["reads"]}, "types must be a mapping"),
        ({"types": {"reads": "int"}}, r"types\.reads must be one of string, s3_uri"),
        ({"types": {"reads": ["string"]}}, r"types\.reads must be one of"),
        ({"types": {"reads": {"enum": ["a"]}}}, r"types\.reads must have a type"),
        ({"types": {"reads": {"type": "text"}}}, r"types\.reads is not a JSON schema"),
        ({"types": {"reads": {"type": "string", "default": "a"}}}, r"types\.reads must not have a default"),
        (
            {"types": {"threads": "integer"}, "defaults": {"threads": CANARY}},
            r"defaults\.threads does not match",
        ),
        ({"defaults": {"threads": {CANARY}}}, r"defaults\.threads is of type set"),
        ({"defaults": {"threads": float("nan")}}, r"defaults\.threads is NaN"),
        ({"prefix": 3}, "prefix must be text"),
        ({"section": ""}, "section must be text"),
    ],
)
def test_the_error_names_bad_arguments_and_their_rules(arguments: dict[str, Any], rule: str) -> None:
    """One error, which shows no value."""
    with pytest.raises(ValueError, match=rule) as raised:
        workflow_params(**{"template": TEMPLATE, **arguments})
    assert CANARY not in str(raised.value)


def test_all_problems_are_reported_at_once() -> None:
    """One correction is enough."""
    with pytest.raises(ValueError, match=r"types\.reads .*types\.threads"):
        workflow_params(TEMPLATE, types={"reads": "a", "threads": "b"})


# --- from the form to the run ---


def test_the_form_reaches_the_run(omics: Control) -> None:
    """With the workflow's names and the types of the values, but not the DAG's other params."""
    form = {
        **workflow_params(TEMPLATE, types={"threads": "integer"}),
        "workflow_id": Param(WORKFLOW, type="string"),
    }
    conf = {"main.sample-name": "0042", "reads": "s3://b/k", "threads": 4, "unknown": 1}
    assert sent(form, conf) == {"main.sample-name": "0042", "reads": "s3://b/k", "threads": 4}


@pytest.mark.parametrize("left", [{}, {"threads": None}, {"threads": ""}])
def test_empty_fields_are_omitted(omics: Control, left: dict[str, Any]) -> None:
    """An optional parameter is sent neither as null nor as an empty text."""
    conf = {"main.sample-name": "a", "reads": "s3://b/k", **left}
    assert sent(workflow_params(TEMPLATE), conf) == {"main.sample-name": "a", "reads": "s3://b/k"}


def test_a_cleared_default_is_omitted(omics: Control) -> None:
    """The workflow has its own default."""
    form = workflow_params({"a": {"optional": True}, "b": {}}, defaults={"a": 4, "b": "x"})
    assert sent(form, {}) == {"a": 4, "b": "x"}
    assert sent(form, {"a": None}) == {"b": "x"}


def test_an_empty_form_sends_nothing(omics: Control) -> None:
    """Not the template either."""
    assert not sent(workflow_params({"a": {"optional": True}}), {})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(["a", "", " ", "b c", ""], {"it": ["a", "b c"]}), ([""], {}), (["", ""], {}), ([], {"it": []})],
)
def test_empty_lines_are_not_items(omics: Control, lines: list[str], expected: dict[str, Any]) -> None:
    """Airflow's form makes an item of each line, including an empty last one."""
    form = workflow_params({"it": {"optional": True}}, types={"it": "strings"})
    assert sent(form, {"it": lines}) == expected


def test_only_lists_of_text_have_lines(omics: Control) -> None:
    """JSON lists do not."""
    form = workflow_params({"it": {}}, types={"it": {"type": "array", "items": True}})
    assert sent(form, {"it": ["", 1]}) == {"it": ["", 1]}


def test_a_required_text_may_be_empty(omics: Control) -> None:
    """If it is set by the API; the form does not accept an empty field."""
    assert sent(workflow_params({"it": {}}), {"it": ""}) == {"it": ""}


def test_more_can_be_added_and_overridden(omics: Control) -> None:
    """By templates too, on either side of the form."""
    form = {**workflow_params({"a": {}, "b": {}, "c": {}}, without=["c"]), "n": Param(3)}
    conf = {"a": "1", "b": "2"}
    for parameters in (
        {**run_parameters(), "c": "{{ params.n }}", "b": "mine"},
        {"c": "{{ params.n }}", "b": "mine", **run_parameters()},
    ):
        assert sent(form, conf, parameters) == {"a": "1", "b": "mine", "c": 3}


def test_a_dag_may_have_the_forms_of_two_workflows(omics: Control) -> None:
    """Each has a prefix, which the titles omit."""
    form = {
        **workflow_params({"sample": {}}, prefix="align_"),
        **workflow_params({"sample": {}, "depth": {}}, prefix="call_"),
    }
    assert form["align_sample"].schema["title"] == "sample"
    conf = {"align_sample": "a", "call_sample": "c", "call_depth": "3"}
    assert sent(form, conf, run_parameters(prefix="align_")) == {"sample": "a"}
    assert sent(form, conf, run_parameters(prefix="call_")) == {"sample": "c", "depth": "3"}


@pytest.mark.parametrize("prefix", ["", "other_"])
def test_a_dag_without_the_form_is_refused(omics: Control, prefix: str) -> None:
    """The error names the missing params, and shows no value."""
    form = workflow_params({"it": {}}, prefix="some_")
    with pytest.raises(HealthOmicsRequestError, match=r"workflow_params\(\)") as raised:
        sent(form, {"some_it": CANARY}, run_parameters(prefix=prefix))
    assert CANARY not in str(raised.value)
    assert omics.runs() == []


def test_values_are_not_rendered_again(omics: Control) -> None:
    """Templates in an entered value are not rendered, nor is a form within the form."""
    form = workflow_params({"a": {}, "b": {}}, types={"b": "object"})
    conf = {"a": "{{ run_id }}", "b": {FORM_KEY: "", "c": "{{ 1 }}"}}
    assert sent(form, conf) == conf


def test_mapped_tasks_have_the_form_too() -> None:
    """Each has the same values, besides its own."""
    dag = dag_of(workflow_params({"it": {}}))
    with dag:
        mapped = HealthOmicsStartRunOperator.partial(task_id="a_task", parameters=run_parameters()).expand(
            name=["a", "b"]
        )
    ti = FakeTaskInstance(map_index=0)
    ti.task = mapped
    context: Any = context_of(ti, dag=dag, task=mapped, params=filled_in(dag, {"it": "x"}))
    # Airflow reads them again for a mapped task.
    context["dag_run"].conf = {"it": "x"}
    mapped.render_template_fields(context)
    assert context["task"].parameters == {"it": "x"}


def test_a_batch_has_the_form_too() -> None:
    """For the common settings of its runs."""
    dag = dag_of(workflow_params({"it": {}}))
    with dag:
        batch = HealthOmicsStartRunBatchOperator(
            task_id="a_task", workflow_id=WORKFLOW, run_settings=[], parameters=run_parameters()
        )
    batch.render_template_fields(context_of(FakeTaskInstance(), dag=dag, params=filled_in(dag, {"it": "x"})))
    assert batch.parameters == {"it": "x"}


# --- every value ---

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # The local HealthOmics accepts the API's characters, which are all but control characters.
    | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.-", min_size=1), inner, max_size=3)
    ),
    max_leaves=5,
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)
URI = st.builds(
    lambda scheme, key: f"{scheme}://bucket/{key}.bam",
    st.sampled_from(["s3", "omics"]),
    st.text("ab/ *_", max_size=6),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "s3_uri": URI,
    "integer": st.integers(-(2**53), 2**53),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-99, 99),
    "boolean": st.booleans(),
    "strings": st.lists(TEXT.filter(str.strip), max_size=3),
    "s3_uris": st.lists(URI, max_size=3),
    # In Airflow 2 and 3, the items of a list have different schemas, and the same values.
    "array": st.lists(JSON_VALUES, max_size=3),
    "object": st.dictionaries(st.text("ab", min_size=1), JSON_VALUES, max_size=3),
}
ENTRIES = st.sampled_from(sorted(VALUES)).flatmap(
    lambda type_: st.tuples(st.just(type_), st.booleans(), VALUES[type_], st.booleans())
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.text("ab.-_ é", min_size=1, max_size=5), ENTRIES, min_size=1, max_size=4),
    st.sampled_from(["", "x_"]),
    st.booleans(),
)
def test_every_value_arrives_as_it_was_entered(
    omics: Control, entries: dict[str, tuple[str, bool, Any, bool]], prefix: str, native: bool
) -> None:
    """HealthOmics receives the values that the form accepts, and no others."""
    template = {name: {"optional": optional} for name, (_, optional, _, _) in entries.items()}
    types = {name: type_ for name, (type_, _, _, _) in entries.items()}
    entered = {
        name: value
        for name, (_, optional, value, given_) in entries.items()
        if not optional or (given_ and value != "")
    }
    form = workflow_params(template, types=types, prefix=prefix)
    conf = {prefix + name: value for name, value in entered.items()}
    arrived = sent({**form, "other": Param(1)}, conf, run_parameters(prefix=prefix), native)
    assert json.dumps(arrived, sort_keys=True) == json.dumps(entered, sort_keys=True)


# --- the command ---


@pytest.fixture
def workflow(client: Any) -> str:
    """A workflow with unusual names and descriptions."""
    template = {
        "threads": {"description": "Number of threads", "optional": True},
        "main.sample-name": {"description": 'The "sample", it\'s \\ é \u2028'},
        "reads": {"description": "S3 URIs of the reads"},
        "reference": {"description": "S3 path of the reference " + "x" * 90, "optional": True},
        "bare": {},
    }
    created = client.create_workflow(
        name="germline", definitionZip=b"x", parameterTemplate=template, requestId="a"
    )
    return str(created["id"])


def test_the_command_prints_python_to_paste(
    workflow: str, client: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It has the workflow's template, is formatted, and makes a form."""
    assert main([workflow]) == 0
    source = capsys.readouterr().out
    assert all(line.isprintable() for line in source.split("\n")), "nothing hides in it"
    scope: dict[str, Any] = {}
    exec(compile(ast.parse(source), "pasted", "exec"), scope)
    template = client.get_workflow(id=workflow)["parameterTemplate"]
    assert {name: entry.get("description", "") for name, entry in scope["PARAMETER_TEMPLATE"].items()} == {
        name: entry.get("description", "") for name, entry in template.items()
    }
    assert list(scope["PARAMETER_TEMPLATE"]) == ["bare", "main.sample-name", "reads", "reference", "threads"]
    assert scope["TYPES"] == {"reads": "s3_uris", "reference": "s3_uri", "threads": "integer"}
    assert workflow_params(scope["PARAMETER_TEMPLATE"], types=scope["TYPES"]).keys() == template.keys()
    ruff = Path(sys.executable).with_name("ruff")
    formatter = str(ruff) if ruff.exists() else shutil.which("ruff")
    if formatter:
        (tmp_path / "pasted.py").write_text(source)
        command = [formatter, "format", "--isolated", "--diff", str(tmp_path / "pasted.py")]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    main([workflow])
    assert capsys.readouterr().out == source


def test_the_command_prints_json_for_a_file(
    workflow: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A DAG can read it."""
    assert main([workflow, "--json"]) == 0
    (tmp_path / "template.json").write_text(capsys.readouterr().out)
    assert "main.sample-name" in workflow_params(tmp_path / "template.json")


def test_the_command_knows_versions_and_kinds(
    workflow: str, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version has its own template."""
    client.create_workflow_version(
        workflowId=workflow,
        versionName="2.0",
        definitionZip=b"x",
        parameterTemplate={"only": {}},
        requestId="b",
    )
    assert main([workflow, "--version", "2.0", "--type", "PRIVATE", "--region", "us-east-1"]) == 0
    assert '"only": {}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["9999999"], 1, "9999999"),
        (["9999999", "--aws-conn-id", "no_such"], 1, "no_such"),
        (["no-digits"], 2, "1 to 18 digits"),
        ([], 2, "workflow_id"),
        (["1", "--type", "x"], 2, "READY2RUN"),
    ],
)
def test_the_command_reports_an_error_in_one_line(
    omics: Control, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, word: str
) -> None:
    """On stderr, with an exit code; stdout stays empty."""
    try:
        returned = main(arguments)
    except SystemExit as exit_:
        returned = int(str(exit_.code))
    out, err = capsys.readouterr()
    assert (returned, out) == (code, "")
    assert word in err.splitlines()[-1]
    assert len(err.splitlines()) == 1 or code == 2


def test_a_workflow_without_a_template_is_an_error(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """No form can be made."""
    created = client.create_workflow(name="bare", definitionZip=b"x", requestId="c")
    assert main([created["id"]]) == 1
    assert "no parameter template" in capsys.readouterr().err


def test_nothing_calls_aws_while_a_dag_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form is made without a client."""
    monkeypatch.setattr("botocore.session.Session.create_client", lambda *_, **__: pytest.fail("a client"))
    dag = dag_of(workflow_params(TEMPLATE))
    with dag:
        start_of(parameters=run_parameters())


def test_the_command_runs_as_a_module(tmp_path: Path, logged: Callable[[], str]) -> None:
    """Whatever Airflow logs, stdout has nothing but the Python code."""
    from tests.healthomics import HealthOmicsServer

    with HealthOmicsServer() as server:
        server.control.add_workflow("1234567", parameter_template={"sample": {"description": "Sample"}})
        command = [sys.executable, "-m", "airflow_healthomics.params", "1234567"]
        environment = {
            **server.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(params.__file__).parents[2]),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    scope: dict[str, Any] = {}
    exec(compile(done.stdout, "pasted", "exec"), scope)
    assert scope["PARAMETER_TEMPLATE"] == {"sample": {"description": "Sample"}}
