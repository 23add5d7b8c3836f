# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments, run settings and defaults become a StartRunBatch request, or one error beforehand."""

from __future__ import annotations

import copy
import json
import math
from collections import UserList
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest
from botocore import xform_name
from botocore.model import StructureShape
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsRequestError, HealthOmicsTemplateError
from airflow_healthomics.requests import batch as batch_request
from airflow_healthomics.requests.batch import (
    BATCH_ARGUMENTS,
    MAX_INLINE_SETTINGS,
    MAX_SETTINGS,
    SETTING_ARGUMENTS,
    build_run_batch,
    build_start_run_batch_request,
    checked_batch_id,
    settings_in_request,
    settings_in_s3,
    settings_json,
)
from airflow_healthomics.requests.fields import MAX_PROBLEMS, api_field
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.requests.run import ARGUMENTS, build_start_run_request
from tests.healthomics import input_shape, violations
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW
from tests.unit.requests.test_run import CONNECTION_DEFAULTS, EVERY_FIELD, REFUSED, SHAPE, json_values, same

BATCH_SHAPE: Any = input_shape("StartRunBatch")
DEFAULT_SHAPE = BATCH_SHAPE.members["defaultRunSetting"]
SETTING_SHAPE = BATCH_SHAPE.members["batchRunSettings"].members["inlineSettings"].member

NEW = {"workflow_id": WORKFLOW, "role_arn": ROLE, "output_uri": OUTPUT}
ONE = {"run_setting_id": "r-1"}
CANARY = "canary-patient-7"


def build(
    arguments: Mapping[str, Any],
    run_settings: Any = (ONE,),
    defaults: Mapping[str, Any] | None = None,
    shape: StructureShape = BATCH_SHAPE,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return build_run_batch(arguments, run_settings, defaults or {}, shape)


def common(arguments: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the common settings of all runs of the batch."""
    fields: dict[str, Any] = build(arguments, defaults=defaults)[0]["defaultRunSetting"]
    return fields


def problems_of(
    arguments: Mapping[str, Any], run_settings: Any = (ONE,), defaults: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Return the problems for which a batch is refused."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        build(arguments, run_settings, defaults)
    assert caught.value.operation == "StartRunBatch"
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AirflowFailException)
    return caught.value.problems


def several(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return N settings that differ by their ids."""
    return [{"run_setting_id": f"r-{number}", **fields} for number in range(count)]


# --- every field ---


def test_every_argument_is_a_field_of_botocore_and_back() -> None:
    """A new field of StartRunBatch or its defaultRunSetting fails here first."""
    own = BATCH_SHAPE.members.keys() - {"defaultRunSetting", "batchRunSettings"}
    assert not own & DEFAULT_SHAPE.members.keys()
    assert {xform_name(field) for field in own | DEFAULT_SHAPE.members.keys()} == set(BATCH_ARGUMENTS)
    assert {api_field(name) for name in BATCH_ARGUMENTS} == own | DEFAULT_SHAPE.members.keys()
    assert len(set(BATCH_ARGUMENTS)) == len(BATCH_ARGUMENTS)


def test_every_setting_argument_is_a_field_of_botocore_and_back() -> None:
    """A new field of a run setting fails here first."""
    assert {xform_name(field) for field in SETTING_SHAPE.members} == set(SETTING_ARGUMENTS)
    assert {api_field(name) for name in SETTING_ARGUMENTS} == set(SETTING_SHAPE.members)


def test_the_limit_of_inline_settings_is_that_of_botocore() -> None:
    """A raised limit fails here first."""
    limits = BATCH_SHAPE.members["batchRunSettings"].members["inlineSettings"].metadata
    assert (limits["min"], limits["max"]) == (1, MAX_INLINE_SETTINGS)


def test_the_differences_between_runs_and_batches_are_known() -> None:
    """The two lists of arguments differ by these only."""
    assert set(ARGUMENTS) - set(BATCH_ARGUMENTS) == {"run_id", "output_uri_prefix_mode", "parameters_uri"}
    assert set(BATCH_ARGUMENTS) - set(ARGUMENTS) == {"batch_name", "run_tags", "output_bucket_owner_id"}


OF_THE_BATCH: dict[str, Any] = {"batch_name": "Cohort 7, größer", "request_id": "b-1", "tags": {"a": "b"}}
EVERY_ARGUMENT: dict[str, Any] = {
    **{name: value for name, value in EVERY_FIELD.items() if name in BATCH_ARGUMENTS},
    **OF_THE_BATCH,
    "run_tags": {"team": "genomics"},
    "output_bucket_owner_id": "012345678901",
}
EVERY_SETTING_FIELD: dict[str, Any] = {
    "run_setting_id": "Tumor/normal, Größe 7",
    "name": "one",
    "output_uri": "s3://outputs/one",
    "output_bucket_owner_id": "210987654321",
    "parameters": {"a": [1, 2.5, None, True, {"b": "c"}]},
    "priority": 0,
    "engine_settings": {"profile": "one"},
    "run_tags": {"sample": ""},
}


def test_every_argument_is_sent_unchanged() -> None:
    """The batch's own fields are beside the common settings of its runs."""
    assert EVERY_ARGUMENT.keys() == set(BATCH_ARGUMENTS)
    request, _ = build(EVERY_ARGUMENT)
    own = {api_field(name): EVERY_ARGUMENT[name] for name in OF_THE_BATCH}
    runs = {api_field(name): value for name, value in EVERY_ARGUMENT.items() if name not in OF_THE_BATCH}
    assert request == {**own, "defaultRunSetting": runs}


def test_every_field_of_a_setting_is_sent_unchanged() -> None:
    """HealthOmics receives the DAG author's values."""
    assert EVERY_SETTING_FIELD.keys() == set(SETTING_ARGUMENTS)
    _, settings = build(NEW, [EVERY_SETTING_FIELD, ONE])
    assert settings == [
        {api_field(name): value for name, value in EVERY_SETTING_FIELD.items()},
        {"runSettingId": "r-1"},
    ]


def test_none_counts_as_not_given() -> None:
    """An operator passes all of its arguments on, and a sample sheet has empty cells."""
    assert build(dict.fromkeys(BATCH_ARGUMENTS) | NEW, [dict.fromkeys(SETTING_ARGUMENTS) | ONE]) == build(NEW)


@pytest.mark.parametrize(
    "make", [list, tuple, UserList, lambda entries: [MappingProxyType(entry) for entry in entries]]
)
def test_any_sequence_of_mappings_is_a_list_of_settings(make: Any) -> None:
    """Such as the XComs of a mapped task, which are a sequence type of Airflow."""
    assert build(NEW, make(several(3)))[1] == [{"runSettingId": f"r-{number}"} for number in range(3)]


# --- defaults ---


def test_a_batch_gets_the_defaults_of_the_package() -> None:
    """REMOVE and DYNAMIC are always sent, as for a single run."""
    assert build(NEW) == (
        {
            "defaultRunSetting": {
                "workflowId": WORKFLOW,
                "roleArn": ROLE,
                "outputUri": OUTPUT,
                "retentionMode": "REMOVE",
                "storageType": "DYNAMIC",
            }
        },
        [{"runSettingId": "r-1"}],
    )


@pytest.mark.parametrize(
    ("arguments", "defaults"),
    [
        ({"workflow_id": WORKFLOW}, CONNECTION_DEFAULTS),
        (NEW, CONNECTION_DEFAULTS),
        (NEW | {"storage_type": "DYNAMIC"}, CONNECTION_DEFAULTS),
        (NEW | {"networking_mode": "RESTRICTED"}, {"networking_mode": "VPC", "configuration_name": "vpc-1"}),
        (NEW | {"networking_mode": "VPC"}, {"configuration_name": "vpc-1"}),
        (NEW, {"retention_mode": None, "run_group_id": None}),
        (NEW | {"priority": "7", "cache_id": 12, "session_policy": {"Version": "2012-10-17"}}, {}),
    ],
)
def test_the_runs_of_a_batch_have_the_defaults_of_a_single_run(
    arguments: dict[str, Any], defaults: dict[str, Any]
) -> None:
    """The same code decides on defaults and types."""
    run = build_start_run_request(arguments, defaults, SHAPE)
    tags = {"runTags": run.pop("tags")} if "tags" in run else {}
    assert common(arguments, defaults) == {**run, **tags}


def test_the_connections_tags_mark_the_batch_and_its_runs() -> None:
    """Runs have costs, and permissions by tags apply to batches, too."""
    request, _ = build(NEW, defaults={"tags": {"from": "connection"}})
    assert request["tags"] == request["defaultRunSetting"]["runTags"] == {"from": "connection"}


@pytest.mark.parametrize(("name", "other"), [("tags", "run_tags"), ("run_tags", "tags")])
def test_tags_of_batch_and_runs_are_separate(name: str, other: str) -> None:
    """An argument overrides the connection for its own target only."""
    given = {name: {"from": "argument"}}

    def tags_by(defaults: dict[str, Any]) -> dict[str, Any]:
        request, _ = build(NEW | given, defaults=defaults)
        return {"tags": request.get("tags"), "run_tags": request["defaultRunSetting"].get("runTags")}

    assert tags_by({}) == {**given, other: None}
    assert tags_by({"tags": {"from": "connection"}}) == {**given, other: {"from": "connection"}}


def test_a_default_that_batches_do_not_have_is_left_out() -> None:
    """The connection serves single runs, too."""
    assert build(NEW, defaults={"output_uri_prefix_mode": "NONE_WITH_OVERWRITE"}) == build(NEW)


def test_a_field_newer_than_botocore_is_refused_when_used() -> None:
    """The message says that boto3 is too old."""
    older = copy.copy(BATCH_SHAPE)
    older.members = dict(BATCH_SHAPE.members)
    older.members["defaultRunSetting"] = copy.copy(DEFAULT_SHAPE)
    older.members["defaultRunSetting"].members = {
        name: member for name, member in DEFAULT_SHAPE.members.items() if name != "sessionPolicy"
    }
    assert build(NEW, shape=older) == build(NEW)
    with pytest.raises(HealthOmicsRequestError, match=r"session_policy.*botocore"):
        build(NEW | {"session_policy": "{}"}, shape=older)


# --- types of settings ---


def test_ids_of_settings_are_sent_as_text() -> None:
    """A sample number is an id."""
    _, settings = build(NEW, [{"run_setting_id": 7, "output_bucket_owner_id": 123456789012, "name": 8}])
    assert settings == [{"runSettingId": "7", "outputBucketOwnerId": "123456789012", "name": "8"}]


@pytest.mark.parametrize("value", [7, "7", 7.0], ids=["int", "text", "float"])
def test_priorities_of_settings_are_sent_as_int(value: Any) -> None:
    """As for a single run."""
    _, (setting,) = build(NEW, [ONE | {"priority": value}])
    assert type(setting["priority"]) is int
    assert setting["priority"] == 7


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_any_json_parameters_are_sent_unchanged(parameters: dict[str, Any]) -> None:
    """They are not converted, sorted or dropped, and the argument is not changed."""
    before = repr(parameters)
    _, (setting,) = build(NEW | {"parameters": {"common": 1}}, [ONE | {"parameters": parameters}])
    assert same(setting["parameters"], parameters)
    assert repr(parameters) == before


def test_plain_parameters_are_not_copied() -> None:
    """100,000 settings stay in memory once."""
    parameters = {"a": [{"b": "c"}]}
    _, (setting,) = build(NEW, [ONE | {"parameters": parameters}])
    assert setting["parameters"] is parameters


def test_other_mappings_and_sequences_become_plain() -> None:
    """As botocore and JSON require."""
    parameters = MappingProxyType({"a": UserList([1])})
    _, (setting,) = build(NEW, [ONE | {"parameters": parameters}])
    assert same(setting["parameters"], {"a": [1]})


# --- the sources of the output URI ---


def test_every_setting_may_have_its_own_output_uri() -> None:
    """Then a common one is not required."""
    request, settings = build({"workflow_id": WORKFLOW, "role_arn": ROLE}, several(2, output_uri=OUTPUT))
    assert "outputUri" not in request["defaultRunSetting"]
    assert [setting["outputUri"] for setting in settings] == [OUTPUT, OUTPUT]


def test_no_output_uri_anywhere_is_refused_once() -> None:
    """However many settings lack it."""
    (problem,) = problems_of({"workflow_id": WORKFLOW, "role_arn": ROLE}, several(50))
    assert "output_uri" in problem
    assert "service_config.omics" in problem


@pytest.mark.parametrize(
    ("lacking", "words"), [([3], ["[3] has none"]), ([3, 5, 6], ["[3]", "2 more have none"])], ids=str
)
def test_some_settings_without_output_uri_are_refused_once(lacking: list[int], words: list[str]) -> None:
    """The message names the first of them."""
    run_settings = several(8, output_uri=OUTPUT)
    for index in lacking:
        run_settings[index]["output_uri"] = None
    (problem,) = problems_of({"workflow_id": WORKFLOW, "role_arn": ROLE}, run_settings)
    assert [word for word in ["output_uri", *words] if word not in problem] == []


def test_a_common_output_uri_is_enough() -> None:
    """From the connection, too."""
    assert build({"workflow_id": WORKFLOW, "role_arn": ROLE}, defaults={"output_uri": OUTPUT}) == build(NEW)


def test_settings_unseen_may_have_output_uris() -> None:
    """Settings in S3 are not read here."""
    request = build_start_run_batch_request({"workflow_id": WORKFLOW, "role_arn": ROLE}, {}, BATCH_SHAPE)
    assert "outputUri" not in request["defaultRunSetting"]
    assert "batchRunSettings" not in request


# --- arguments that are refused ---

CHANGES_REFUSED: list[Any] = [case.values[0] for case in REFUSED]


@pytest.mark.parametrize(
    "change",
    [
        change
        for change in CHANGES_REFUSED
        if change.keys() <= set(BATCH_ARGUMENTS) | {"tags"}
        and change not in ({"workflow_id": None}, {"output_uri": None})
        and "READY2RUN" not in change.values()
    ],
    ids=lambda change: "-".join(change),
)
def test_a_batch_has_the_rules_of_a_single_run(change: dict[str, Any]) -> None:
    """The same code checks both."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        build_start_run_request(NEW | change, {}, SHAPE)
    assert problems_of(NEW | change) == caught.value.problems
    if "tags" in change:
        problem = caught.value.problems[0].replace("tags", "run_tags")
        assert problems_of(NEW | {"run_tags": change["tags"]}) == (problem,)


BATCH_REFUSED = [
    # (the arguments, words that the only problem must have)
    pytest.param({"workflow_id": None}, ["workflow_id is required"], id="no-workflow"),
    pytest.param({"role_arn": None}, ["role_arn", "service_config.omics"], id="no-role"),
    pytest.param({"run_id": "7"}, ["run_id", "duplicate"], id="run-id"),
    pytest.param({"workflow_type": "READY2RUN"}, ["workflow_type", "READY2RUN"], id="ready2run"),
    pytest.param(
        {"workflow_type": "READY2RUN", "storage_type": "STATIC"}, ["READY2RUN"], id="ready2run-storage"
    ),
    pytest.param(
        {"output_uri_prefix_mode": "NONE_WITH_OVERWRITE"}, ["output_uri_prefix_mode", "single"], id="prefix"
    ),
    pytest.param({"rol_arn": ROLE}, ["rol_arn"], id="misspelt"),
    pytest.param({"batch_name": ""}, ["batch_name", "64"], id="batch-name-empty"),
    pytest.param({"batch_name": "x" * 65}, ["batch_name", "64"], id="batch-name-too-long"),
    pytest.param({"batch_name": "a\nb"}, ["batch_name", "control"], id="batch-name-newline"),
    pytest.param({"batch_name": ["a"]}, ["batch_name", "string"], id="batch-name-list"),
    *(
        pytest.param({"output_bucket_owner_id": value}, ["output_bucket_owner_id", "12"], id=f"owner-{value}")
        for value in ("", "12345", 12345, "1" * 13, "omics")
    ),
    *(
        pytest.param(
            {name: {str(number): "" for number in range(51)}}, [name, "50", "51"], id=f"{name}-too-many"
        )
        for name in ("tags", "run_tags")
    ),
    pytest.param({"run_tags": {"\ud800": "x"}}, ["run_tags", "not valid text"], id="tag-key-surrogate"),
    pytest.param({"parameters": BrokenTemplate("fails")}, ["parameters", "fails"], id="template"),
]


@pytest.mark.parametrize(("change", "words"), BATCH_REFUSED)
def test_a_bad_argument_is_one_problem(change: dict[str, Any], words: list[str]) -> None:
    """It names the argument and the rule."""
    (problem,) = problems_of(NEW | change)
    assert [word for word in words if word not in problem] == []


@pytest.mark.parametrize("name", ["role_arn", "output_uri", "workflow_type", "tags"])
def test_a_bad_default_is_refused_like_an_argument(name: str) -> None:
    """People write the connection, too; its tags are in two places."""
    arguments = {key: value for key, value in NEW.items() if key != name}
    problems = problems_of(arguments, defaults={name: "nonsense"})
    assert len(problems) == (2 if name == "tags" else 1)
    assert all(name in problem for problem in problems)


# --- settings that are refused ---

SETTING_REFUSED = [
    # (the third of four settings, words that the only problem must have)
    pytest.param({"run_setting_id": None}, [".run_setting_id is required"], id="no-id"),
    pytest.param({"run_setting_id": ""}, [".run_setting_id", "128"], id="id-empty"),
    pytest.param({"run_setting_id": "x" * 129}, [".run_setting_id", "128"], id="id-too-long"),
    pytest.param({"run_setting_id": "a\tb"}, [".run_setting_id", "control"], id="id-tab"),
    pytest.param({"run_setting_id": True}, [".run_setting_id", "string"], id="id-bool"),
    pytest.param({"run_setting_id": 1.5}, [".run_setting_id", "string"], id="id-float"),
    pytest.param({"run_setting_id": ["a"]}, [".run_setting_id", "string"], id="id-list"),
    pytest.param({"run_setting_id": "r-0"}, [".run_setting_id", "run_settings[0]"], id="id-twice"),
    pytest.param({"name": ""}, [".name", "128"], id="name-empty"),
    pytest.param({"name": "x" * 129}, [".name", "128"], id="name-too-long"),
    pytest.param({"output_uri": "outputs/x"}, [".output_uri", "S3"], id="output"),
    pytest.param({"output_uri": "s3://outputs/" + "x" * 750}, [".output_uri", "750"], id="output-too-long"),
    pytest.param({"output_bucket_owner_id": "1"}, [".output_bucket_owner_id", "12"], id="owner"),
    pytest.param({"priority": "high"}, [".priority", "whole number"], id="priority-text"),
    pytest.param({"priority": True}, [".priority", "whole number"], id="priority-bool"),
    pytest.param({"priority": 100_001}, [".priority", "100000"], id="priority-range"),
    pytest.param({"parameters": []}, [".parameters", "mapping"], id="parameters-list"),
    pytest.param({"parameters": '{"a": 1}'}, [".parameters", "mapping"], id="parameters-text"),
    pytest.param({"parameters": {"x": math.nan}}, [".parameters.x", "NaN"], id="parameters-nan"),
    pytest.param({"parameters": {"x": [0, math.inf]}}, [".parameters.x[1]"], id="parameters-infinity"),
    pytest.param(
        {"parameters": {"x": datetime(2026, 1, 1, tzinfo=UTC)}}, [".parameters.x", "datetime"], id="date"
    ),
    pytest.param({"parameters": {"x": (1, 2)}}, [".parameters.x", "tuple"], id="parameters-tuple"),
    pytest.param({"parameters": {1: 2}}, [".parameters", "int"], id="parameters-key"),
    pytest.param({"parameters": {"x": "y" * 50_000}}, [".parameters", "50,000", "bytes"], id="size"),
    pytest.param({"engine_settings": []}, [".engine_settings", "mapping"], id="engine-settings"),
    pytest.param({"engine_settings": {"a": math.nan}}, [".engine_settings.a"], id="engine-settings-nan"),
    pytest.param({"run_tags": [{"key": "a"}]}, [".run_tags", "mapping"], id="tags-list"),
    pytest.param({"run_tags": {"k": "x" * 257}}, [".run_tags.k", "256"], id="tag-value-too-long"),
    pytest.param({"run_tags": {"": "x"}}, [".run_tags", "128"], id="tag-key-empty"),
    pytest.param({"run_tags": {str(n): "" for n in range(51)}}, [".run_tags", "50", "51"], id="tags-51"),
    pytest.param({"run_id": "7"}, [".run_id", "duplicate"], id="run-id"),
    pytest.param({"tags": {"a": "b"}}, [".tags", "run_tags"], id="tags"),
    pytest.param({"storage_type": "STATIC"}, [".storage_type", "whole batch"], id="storage"),
    pytest.param({"workflow_id": WORKFLOW}, [".workflow_id", "whole batch"], id="workflow"),
    pytest.param({"outputUri": OUTPUT}, [".outputUri", "output_uri"], id="api-name"),
    pytest.param({"param": {}}, [".param", "unknown", "parameters"], id="misspelt"),
    pytest.param({7: "x"}, ["a key", "int"], id="key-number"),
    pytest.param({"cache_id": None}, [".cache_id", "whole batch"], id="unknown-none"),
    pytest.param({"parameters": BrokenTemplate("fails")}, [".parameters", "fails"], id="template"),
    pytest.param(
        {"parameters": {"x": BrokenTemplate("fails")}}, [".parameters.x", "fails"], id="template-inside"
    ),
]


@pytest.mark.parametrize(("change", "words"), SETTING_REFUSED)
def test_a_bad_setting_is_one_problem(change: dict[Any, Any], words: list[str]) -> None:
    """It names the position in the list, the field and the rule, whatever the common settings are."""
    run_settings: list[Any] = several(4)
    run_settings[2] = run_settings[2] | change
    for arguments in (NEW, NEW | {"parameters": {"common": 1}, "run_tags": {"common": "1"}}):
        (problem,) = problems_of(arguments, run_settings)
        assert [word for word in ["run_settings[2]", *words] if word not in problem] == []


LISTS_REFUSED = [
    # (run_settings, words that the only problem must have)
    pytest.param(None, ["run_settings", "list", "NoneType"], id="none"),
    pytest.param([], ["run_settings", "empty"], id="empty"),
    pytest.param(UserList(), ["run_settings", "empty"], id="empty-sequence"),
    pytest.param({"r-1": {}}, ["run_settings", "list", "dict"], id="mapping"),
    pytest.param('[{"run_setting_id": "1"}]', ["run_settings", "list", "str"], id="text"),
    pytest.param(b"[]", ["run_settings", "list", "bytes"], id="bytes"),
    pytest.param(iter([ONE]), ["run_settings", "list", "iterator"], id="iterator"),
    pytest.param(7, ["run_settings", "list", "int"], id="number"),
    pytest.param([ONE, "r-2"], ["run_settings[1]", "mapping", "str"], id="entry-text"),
    pytest.param([None, ONE], ["run_settings[0]", "mapping", "NoneType"], id="entry-none"),
    pytest.param(BrokenTemplate("fails"), ["run_settings", "fails"], id="template"),
    pytest.param([ONE, BrokenTemplate("fails")], ["run_settings[1]", "fails"], id="entry-template"),
    pytest.param([None] * (MAX_SETTINGS + 1), ["run_settings", "100,001", "100,000"], id="too-many"),
]


@pytest.mark.parametrize(("run_settings", "words"), LISTS_REFUSED)
def test_a_bad_list_is_one_problem(run_settings: Any, words: list[str]) -> None:
    """Whatever its entries are."""
    (problem,) = problems_of(NEW, run_settings)
    assert [word for word in words if word not in problem] == []


@pytest.mark.parametrize(
    "run_settings",
    [
        BrokenTemplate("waits", is_temporary=True),
        [BrokenTemplate("waits", is_temporary=True)],
        [ONE | {"parameters": {"a": BrokenTemplate("waits", is_temporary=True)}}],
        [{"run_setting_id": BrokenTemplate("waits", is_temporary=True)}],
    ],
    ids=["list", "entry", "parameter", "id"],
)
def test_a_template_that_failed_temporarily_is_retried(run_settings: Any) -> None:
    """As for a single run."""
    with pytest.raises(HealthOmicsTemplateError, match=r"run_settings.*waits"):
        build(NEW, run_settings)


def test_the_form_of_run_settings_is_reported_once() -> None:
    """With the rows that break it, for each kind of problem."""
    wrong: list[Any] = several(300, sample="s")
    wrong[7] = "r-7"
    wrong[9:12] = [{"priority": 1}] * 3
    wrong[200::2] = [None] * 50
    (problem,) = problems_of(NEW, wrong)
    assert problem.count("must be a list of mappings") == 1
    assert problem.count("output_bucket_owner_id") == 1
    for words in (
        "run_settings[0-6, 8, 12-199, 201, 203, 205, 207, 209 and 45 more].sample is unknown",
        "run_settings[7] must be a mapping, not str",
        "run_settings[9-11].run_setting_id is required",
        "run_settings[200, 202, 204, 206, 208, 210, 212, 214 and 42 more] must be a mapping, not NoneType",
    ):
        assert words in problem


def test_many_problems_of_the_form_are_cut() -> None:
    """A sheet that was passed as run settings may have many columns."""
    (problem,) = problems_of(NEW, [{f"column {number}": 1 for number in range(500)}])
    assert "and 491 more mistakes" in problem
    assert len(problem) < 1000


def test_ids_are_compared_as_they_are_sent() -> None:
    """7 and "7" are one id."""
    (problem,) = problems_of(NEW, [{"run_setting_id": 7}, ONE, {"run_setting_id": "7"}])
    assert "run_settings[2].run_setting_id" in problem
    assert "run_settings[0]" in problem


def test_all_problems_are_reported_at_once() -> None:
    """One error has the problems of the arguments and of the settings."""
    problems = problems_of({"priority": "high"}, [{"priority": "low"}])
    text = "\n".join(problems)
    for name in ("priority", "workflow_id", "role_arn", "output_uri"):
        assert name in text
    for name in ("priority", "run_setting_id"):
        assert f"run_settings[0].{name}" in text
    assert len(problems) == 6


def test_a_long_list_of_problems_is_cut() -> None:
    """The log stays readable."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        build(NEW, several(4711, priority="high", outputUri="x"))
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1] == f"... and {4711 + 1 - MAX_PROBLEMS:,} more"
    assert len(str(caught.value)) < 5000


def test_a_short_list_of_problems_is_complete() -> None:
    """It is not cut before the limit."""
    assert len(problems_of(NEW, several(MAX_PROBLEMS, priority="high"))) == MAX_PROBLEMS


def test_the_largest_batch_is_allowed() -> None:
    """100,000 runs."""
    _, settings = build(NEW, several(MAX_SETTINGS))
    assert len(settings) == MAX_SETTINGS


# --- merging ---


@pytest.mark.parametrize("filler", ["x", "é"])
@pytest.mark.parametrize("extra", [0, 1])
def test_merged_parameters_have_a_limit(filler: str, extra: int) -> None:
    """The limit is 50,000 bytes of both together; a replaced value does not count."""
    common = {"a": 1, "replaced": "y" * 30_000}
    own = {"replaced": None, "filler": ""}
    rest = 50_000 - len(json.dumps({**common, **own}, separators=(",", ":")))
    count, remainder = divmod(rest, len(filler.encode()))
    own["filler"] = filler * count + "z" * (remainder + extra)
    arguments, run_settings = NEW | {"parameters": common}, [ONE | {"parameters": own}]
    if not extra:
        assert build(arguments, run_settings)[1][0]["parameters"] == own
        return
    (problem,) = problems_of(arguments, run_settings)
    words = ["run_settings[0].parameters", "parameters of the batch", "50,000", "50,001"]
    assert [word for word in words if word not in problem] == []


parameters_of = st.dictionaries(st.text("abc", max_size=2), json_values, min_size=1, max_size=5)


@settings(deadline=None, max_examples=200)
@given(parameters_of, parameters_of)
def test_the_size_of_merged_parameters_is_exact(common: dict[str, Any], own: dict[str, Any]) -> None:
    """It is calculated without merging them for each run."""
    size = len(json.dumps({**common, **own}, ensure_ascii=False, separators=(",", ":")).encode())
    with mock.patch.object(batch_request, "MAX_PARAMETERS_BYTES", 0):
        (problem,) = problems_of(NEW | {"parameters": common}, [ONE | {"parameters": own}])
    assert problem.endswith(f"not {size:,}")


def test_merged_tags_have_a_limit() -> None:
    """The limit is 50 of both together; a key of both counts once."""
    arguments = NEW | {"run_tags": {str(number): "" for number in range(30)}}
    build(arguments, [ONE | {"run_tags": {str(number): "x" for number in range(20, 50)}}])
    (problem,) = problems_of(arguments, [ONE | {"run_tags": {str(number): "x" for number in range(20, 51)}}])
    assert [word for word in ["run_settings[0].run_tags", "50", "51"] if word not in problem] == []


# --- valid requests ---

texts = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=128)
uris = st.text(st.characters(exclude_categories=["C"]), max_size=700).map("s3://outputs/".__add__)
accounts = st.from_regex(r"\A[0-9]{12}\Z")
tags = st.dictionaries(texts, st.text(st.characters(exclude_categories=["C"]), max_size=256), max_size=4)
setting_fields = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "output_uri": uris,
        "output_bucket_owner_id": accounts,
        "parameters": st.dictionaries(st.text(), json_values, max_size=4),
        "priority": st.integers(0, 100_000),
        "engine_settings": st.dictionaries(st.text(), json_values, max_size=2),
        "run_tags": tags,
    },
)
batches = st.tuples(
    setting_fields.map(lambda fields: {**NEW, **fields}),
    st.dictionaries(texts, setting_fields, min_size=1, max_size=4).map(
        lambda found: [{**fields, "run_setting_id": setting_id} for setting_id, fields in found.items()]
    ),
)


@settings(deadline=None, max_examples=100)
@given(batches)
def test_the_request_is_valid(batch: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """Both for botocore and for the local HealthOmics, which is stricter."""
    request, run_settings = build(*batch)
    request = {"requestId": "b-1", **request, "batchRunSettings": settings_in_request(run_settings)}
    assert ParamValidator().validate(request, BATCH_SHAPE).generate_report() == ""
    assert list(violations(BATCH_SHAPE, request)) == []


@settings(deadline=None, max_examples=100)
@given(batches)
def test_the_file_holds_the_settings(batch: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """It is JSON in UTF-8, one setting a line, and the same for the same settings."""
    _, run_settings = build(*batch)
    file = settings_json(run_settings)
    assert same(json.loads(file.decode()), run_settings)
    assert file.count(b"\n") == len(run_settings) + 2
    assert settings_json(build(*copy.deepcopy(batch))[1]) == file


def test_the_file_does_not_depend_on_the_order_of_fields() -> None:
    """Fields have a fixed order; parameters have the user's."""
    one = {"run_setting_id": "1", "priority": 1, "parameters": {"b": 1, "a": "ü"}}
    other = dict(reversed(one.items()))
    file = settings_json(build(NEW, [one])[1])
    assert settings_json(build(NEW, [other])[1]) == file
    assert file.decode() == ('[\n{"runSettingId":"1","parameters":{"b":1,"a":"ü"},"priority":1}\n]\n')


def test_a_request_has_a_limit_of_settings() -> None:
    """100 are allowed; for more, the message says where to store them."""
    _, run_settings = build(NEW, several(MAX_INLINE_SETTINGS + 1))
    assert settings_in_request(run_settings[:-1]) == {"inlineSettings": run_settings[:-1]}
    with pytest.raises(HealthOmicsRequestError, match=r"run_settings has 101 entries.*s3_uri_settings"):
        settings_in_request(run_settings)


def test_settings_may_be_in_s3() -> None:
    """By the URI of an object."""
    assert settings_in_s3("s3://bucket/key.json", BATCH_SHAPE) == {"s3UriSettings": "s3://bucket/key.json"}


@pytest.mark.parametrize(
    "uri",
    ["", "bucket/key", "s3://bucket", "s3://bucket/", "s3://b/key", "s3://bucket/" + "x" * 750, 7, ["x"]],
)
def test_an_invalid_uri_is_refused(uri: Any) -> None:
    """The message names the argument."""
    with pytest.raises(HealthOmicsRequestError, match="s3_uri_settings"):
        settings_in_s3(uri, BATCH_SHAPE)


# --- privacy ---


def messages_with_canaries() -> list[str]:
    """Return the errors for bad arguments and settings that have a secret in each value."""
    bad: list[Any] = [
        CANARY,
        [CANARY],
        {"k": (CANARY,)},
        {"k": {CANARY}},
        {"k": CANARY * 5000},
        {"k": [CANARY.encode()]},
        CANARY + "\n",
        CANARY * 100,
    ]
    fields = [name for name in SETTING_ARGUMENTS if name != "run_setting_id"]
    run_settings: list[Any] = [{"run_setting_id": value} for value in bad]
    run_settings += [{"run_setting_id": CANARY}, {"run_setting_id": CANARY, "cache_id": CANARY, "x": CANARY}]
    run_settings += [
        {"run_setting_id": f"{CANARY}{name}{position}", name: value}
        for name in fields
        for position, value in enumerate(bad)
    ]
    run_settings += [CANARY, [CANARY], (CANARY,), None]
    common = {"parameters": {"a": CANARY}, "run_tags": {"a": CANARY}}
    requests: list[tuple[dict[str, Any], Any]] = [
        *((arguments, run_settings) for arguments in ({}, NEW, NEW | common)),
        *((NEW | {name: value}, CANARY) for name in BATCH_ARGUMENTS for value in bad),
        *((NEW, value) for value in bad),
    ]
    with mock.patch("airflow_healthomics.requests.fields.MAX_PROBLEMS", 10_000):
        return ["\n".join(problems_of(*request)) for request in requests]


def test_no_message_shows_a_value() -> None:
    """Parameters are patients' data, and ids of settings may identify patients."""
    messages = messages_with_canaries()
    assert [message for message in messages if CANARY in message] == []
    assert all("run_settings[" in message for message in messages[:3])


# --- batch ids of the other operations ---


@pytest.mark.parametrize("value", ["1", "1" * 18, 1234567], ids=str)
def test_a_batch_id_is_returned_as_text(value: Any) -> None:
    """1 to 18 digits."""
    assert checked_batch_id("GetBatch", value) == str(value)


@pytest.mark.parametrize("value", ["", "x", "1" * 19, None, "1\n", -1, 1.0, True])
def test_an_invalid_batch_id_is_refused(value: Any) -> None:
    """The message names the argument."""
    with pytest.raises(HealthOmicsRequestError, match="batch_id") as caught:
        checked_batch_id("GetBatch", value)
    assert caught.value.operation == "GetBatch"
