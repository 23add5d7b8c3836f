# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments and defaults become a StartRun request, or one error before anything is sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import xform_name
from botocore.model import ShapeResolver, StructureShape
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.requests.fields import MAX_PROBLEMS, api_field
from airflow_healthomics.requests.run import ARGUMENTS, build_start_run_request, checked_run_id
from tests.healthomics import input_shape
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW

SHAPE: Any = input_shape("StartRun")
NEW = {"workflow_id": WORKFLOW, "role_arn": ROLE, "output_uri": OUTPUT}
DUPLICATE = {"run_id": "7654321", "role_arn": ROLE, "output_uri": OUTPUT}
CANARY = "canary-patient-7"


def build(
    arguments: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, shape: StructureShape = SHAPE
) -> dict[str, Any]:
    return build_start_run_request(arguments, defaults or {}, shape)


def refused(arguments: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """Return the message that a request is refused with."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        build(arguments, defaults)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AirflowFailException)
    return str(caught.value)


def shape_without(*fields: str) -> StructureShape:
    """Return StartRun's shape as an older botocore has it."""
    older = StructureShape("StartRunRequest", SHAPE._shape_model, SHAPE._shape_resolver)
    older.members = {name: member for name, member in SHAPE.members.items() if name not in fields}
    return older


# --- every field ---


def test_every_field_of_botocore_is_an_argument() -> None:
    """A new field of StartRun fails here first."""
    assert {xform_name(member) for member in SHAPE.members} == set(ARGUMENTS)


def test_every_argument_is_a_field_of_botocore() -> None:
    """An argument is the snake case of its field, and back."""
    assert {api_field(argument) for argument in ARGUMENTS} == set(SHAPE.members)


#: Each argument once, except those that exclude another one.
EVERY_FIELD: dict[str, Any] = {
    "workflow_id": WORKFLOW,
    "workflow_type": "PRIVATE",
    "workflow_version_name": "v1.2-rc_3",
    "workflow_owner_id": "123456789012",
    "role_arn": ROLE,
    "output_uri": OUTPUT,
    "output_uri_prefix_mode": "NONE_WITH_OVERWRITE",
    "requester_pays_enabled": True,
    "parameters": {"a": [1, 2.5, None, True, {"b": "c"}]},
    "name": "Tumor/normal, Größe 7",
    "request_id": "r-1",
    "retention_mode": "RETAIN",
    "storage_type": "STATIC",
    "storage_capacity": 2400,
    "scratch_storage_mode": "LOCAL",
    "run_group_id": "1",
    "priority": 7,
    "cache_id": "2",
    "cache_behavior": "CACHE_ALWAYS",
    "networking_mode": "VPC",
    "configuration_name": "vpc-1",
    "engine_settings": {"engineVersion": "24.10"},
    "session_policy": '{"Version": "2012-10-17"}',
    "log_level": "ALL",
    "tags": {"team": "genomics", "empty": ""},
}


def test_every_argument_is_sent_unchanged() -> None:
    """StartRun receives the DAG author's values."""
    assert EVERY_FIELD.keys() | {"run_id", "parameters_uri"} == set(ARGUMENTS)
    assert build(EVERY_FIELD) == {api_field(name): value for name, value in EVERY_FIELD.items()}


def test_none_counts_as_not_given() -> None:
    """An operator passes all of its arguments on."""
    assert build(dict.fromkeys(ARGUMENTS) | NEW) == build(NEW)


# --- defaults ---


def test_a_new_run_gets_the_defaults_of_the_package() -> None:
    """REMOVE and DYNAMIC are always sent, since AWS documents its own defaults in two ways."""
    assert build(NEW) == {
        "workflowId": WORKFLOW,
        "roleArn": ROLE,
        "outputUri": OUTPUT,
        "retentionMode": "REMOVE",
        "storageType": "DYNAMIC",
    }


CONNECTION_DEFAULTS: dict[str, Any] = {
    "role_arn": "arn:aws:iam::123456789012:role/from/connection",
    "output_uri": "s3://connection/prefix",
    "retention_mode": "RETAIN",
    "storage_type": "STATIC",
    "storage_capacity": 1200,
    "run_group_id": "11",
    "cache_id": "12",
    "cache_behavior": "CACHE_ON_FAILURE",
    "log_level": "FATAL",
    "workflow_owner_id": "210987654321",
    "tags": {"from": "connection"},
}


@pytest.mark.parametrize("name", CONNECTION_DEFAULTS)
def test_the_connection_has_defaults(name: str) -> None:
    """A default of the connection overrides one of the package."""
    request = build({"workflow_id": WORKFLOW}, CONNECTION_DEFAULTS)
    assert request[api_field(name)] == CONNECTION_DEFAULTS[name]


@pytest.mark.parametrize("name", CONNECTION_DEFAULTS)
def test_an_argument_overrides_the_connection(name: str) -> None:
    """The DAG author decides."""
    request = build(EVERY_FIELD, CONNECTION_DEFAULTS)
    assert request[api_field(name)] == EVERY_FIELD[name]


def test_a_null_in_the_connection_is_no_default() -> None:
    """A JSON null counts as absent."""
    assert build(NEW, {"retention_mode": None, "run_group_id": None}) == build(NEW)


def test_dynamic_drops_the_connections_capacity() -> None:
    """The capacity for the connection's STATIC does not apply to the argument DYNAMIC."""
    request = build(NEW | {"storage_type": "DYNAMIC"}, CONNECTION_DEFAULTS)
    assert request["storageType"] == "DYNAMIC"
    assert "storageCapacity" not in request


def test_restricted_drops_the_connections_configuration() -> None:
    """A default VPC configuration does not apply to the argument RESTRICTED."""
    defaults = {"networking_mode": "VPC", "configuration_name": "vpc-1"}
    request = build(NEW | {"networking_mode": "RESTRICTED"}, defaults)
    assert "configurationName" not in request


def test_ready2run_ignores_default_storage() -> None:
    """A READY2RUN workflow has its own storage, and a default for other workflows is no mistake."""
    request = build(NEW | {"workflow_type": "READY2RUN"}, CONNECTION_DEFAULTS)
    assert not {"storageType", "storageCapacity"} & request.keys()
    assert request["retentionMode"] == "RETAIN"


def test_a_duplicate_has_only_the_given_fields() -> None:
    """It inherits the rest: no default of the package is sent."""
    assert build(DUPLICATE) == {"runId": "7654321", "roleArn": ROLE, "outputUri": OUTPUT}


def test_a_duplicate_uses_required_fields_of_the_connection() -> None:
    """Role and output URI, and nothing that would change the run."""
    request = build({"run_id": "7654321"}, CONNECTION_DEFAULTS)
    assert request == {
        "runId": "7654321",
        "roleArn": CONNECTION_DEFAULTS["role_arn"],
        "outputUri": CONNECTION_DEFAULTS["output_uri"],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"storage_type": "STATIC"},
        {"storage_capacity": 2400},
        {"cache_behavior": "CACHE_ALWAYS"},
        {"networking_mode": "VPC"},
        {"priority": 0},
        {"parameters": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_duplicate_may_change_one_field_of_a_pair(change: dict[str, Any]) -> None:
    """The other one may be inherited from the original run."""
    request = build(DUPLICATE | change)
    assert request == build(DUPLICATE) | {api_field(name): value for name, value in change.items()}


# --- types ---


@pytest.mark.parametrize("name", ["workflow_id", "run_group_id", "cache_id", "workflow_owner_id"])
def test_ids_are_sent_as_text(name: str) -> None:
    """An id that a typed template or XCom made a number is text for the API."""
    request = build(NEW | {name: 123456789012})
    assert request[api_field(name)] == "123456789012"


def test_the_run_id_is_sent_as_text() -> None:
    """As the other ids."""
    assert build(DUPLICATE | {"run_id": 7654321})["runId"] == "7654321"


@pytest.mark.parametrize("name", ["priority", "storage_capacity"])
@pytest.mark.parametrize("value", [1200, "1200", 1200.0], ids=["int", "text", "float"])
def test_whole_numbers_are_sent_as_int(name: str, value: Any) -> None:
    """A number that a template made text is a number again."""
    sent = build(NEW | {"storage_type": "STATIC", "storage_capacity": 1} | {name: value})[api_field(name)]
    assert sent == 1200
    assert type(sent) is int


@pytest.mark.parametrize("value", [0, 100_000])
@pytest.mark.parametrize("name", ["priority", "storage_capacity"])
def test_the_limits_of_numbers_are_allowed(name: str, value: int) -> None:
    """The range is inclusive."""
    request = build(NEW | {"storage_type": "STATIC", "storage_capacity": 1} | {name: value})
    assert request[api_field(name)] == value


def test_a_session_policy_may_be_a_mapping() -> None:
    """It is sent as the JSON text that the API requires."""
    policy = {"Version": "2012-10-17", "Statement": []}
    assert json.loads(build(NEW | {"session_policy": policy})["sessionPolicy"]) == policy


def test_an_indented_session_policy_is_allowed() -> None:
    """People write policies over several lines."""
    policy = '{\n\t"Version": "2012-10-17"\r\n}'
    assert build(NEW | {"session_policy": policy})["sessionPolicy"] == policy


# --- refused arguments ---

NEW_STATIC = {"storage_type": "STATIC", "storage_capacity": 1200}
VPC = {"networking_mode": "VPC", "configuration_name": "vpc-1"}

REFUSED = [
    # (the arguments, words that the message must have)
    pytest.param({"workflow_id": None}, ["workflow_id", "run_id"], id="neither-workflow-nor-run"),
    pytest.param({"run_id": "7"}, ["workflow_id", "run_id"], id="workflow-and-run"),
    pytest.param({"role_arn": None}, ["role_arn"], id="no-role"),
    pytest.param({"output_uri": None}, ["output_uri"], id="no-output"),
    *(
        pytest.param({"role_arn": value}, ["role_arn", "ARN"], id=f"role-{index}")
        for index, value in enumerate(
            [
                "",
                "omics",
                "arn:aws:iam::123456789012:user/somebody",
                "arn:aws:iam::12345678901:role/short-account",
                "arn:aws:s3:::bucket",
                "arn:aws:iam::123456789012:role/",
                "arn:aws:iam::123456789012:role/a b",
                f"{ROLE}\n",
                "{{ var.value.role }}",
            ]
        )
    ),
    pytest.param({"role_arn": ROLE + "x" * 128}, ["role_arn", "128"], id="role-too-long"),
    *(
        pytest.param({"output_uri": value}, ["output_uri", "S3"], id=f"output-{index}")
        for index, value in enumerate(
            [
                "",
                "outputs/results",
                "s3:/outputs",
                "s3://",
                "s3:///prefix",
                "S3://outputs",
                "s3://Out_puts/x",
                "s3://ab",
                "https://outputs.s3.amazonaws.com/x",
                "file:///tmp",
                "{{ var.value.output }}",
            ]
        )
    ),
    pytest.param({"output_uri": "s3://outputs/" + "x" * 750}, ["output_uri", "750"], id="output-too-long"),
    pytest.param({"output_uri": "s3://outputs/a\nb"}, ["output_uri"], id="output-newline"),
    pytest.param({"storage_type": "STATIC"}, ["storage_capacity", "STATIC"], id="static-without-capacity"),
    pytest.param(
        {"storage_capacity": 1200}, ["storage_capacity", "DYNAMIC"], id="capacity-by-default-dynamic"
    ),
    pytest.param(
        {"storage_type": "DYNAMIC", "storage_capacity": 1200}, ["storage_capacity", "DYNAMIC"], id="dynamic"
    ),
    *(
        pytest.param(
            NEW_STATIC | {name: value}, [name, "whole number"], id=f"{name}-{type(value).__name__}-{value}"
        )
        for name in ("priority", "storage_capacity")
        for value in ("many", "", "1.5", "1e3", 1.5, True, math.nan, math.inf, [1], {"a": 1}, "0x10")
    ),
    *(
        pytest.param(NEW_STATIC | {name: value}, [name, "100000"], id=f"{name}-range-{value}")
        for name in ("priority", "storage_capacity")
        for value in (-1, 100_001, "-1", "100001", 1e9)
    ),
    *(
        pytest.param({name: value}, [name, *SHAPE.members[api_field(name)].enum], id=f"{name}-{value}")
        for name in (
            "workflow_type",
            "retention_mode",
            "storage_type",
            "cache_behavior",
            "log_level",
            "networking_mode",
            "scratch_storage_mode",
            "output_uri_prefix_mode",
        )
        for value in ("BOGUS", "remove", "")
    ),
    pytest.param(
        {"cache_behavior": "CACHE_ALWAYS"}, ["cache_behavior", "cache_id"], id="behavior-without-cache"
    ),
    pytest.param({"networking_mode": "VPC"}, ["VPC", "configuration_name"], id="vpc-without-configuration"),
    pytest.param({"configuration_name": "c"}, ["configuration_name", "VPC"], id="configuration-without-vpc"),
    pytest.param(
        VPC | {"networking_mode": "RESTRICTED"}, ["configuration_name", "VPC"], id="restricted-configuration"
    ),
    pytest.param(
        {"workflow_type": "READY2RUN", "storage_type": "DYNAMIC"}, ["storage_type", "READY2RUN"], id="r2r"
    ),
    pytest.param(
        {"workflow_type": "READY2RUN", **NEW_STATIC}, ["storage_capacity", "READY2RUN"], id="r2r-capacity"
    ),
    *(
        pytest.param(
            {"parameters": value}, ["parameters", "mapping"], id=f"parameters-{type(value).__name__}"
        )
        for value in ([], [{"a": 1}], "", '{"a": 1}', 7, True, 1.5)
    ),
    pytest.param({"parameters": {"a": math.nan}}, ["parameters.a", "NaN"], id="parameters-nan"),
    pytest.param({"parameters": {"a": [0, math.inf]}}, ["parameters.a[1]"], id="parameters-infinity"),
    pytest.param(
        {"parameters": {"a": datetime(2026, 1, 1, tzinfo=UTC)}}, ["parameters.a"], id="parameters-date"
    ),
    pytest.param({"parameters": {"a": (1, 2)}}, ["parameters.a", "tuple"], id="parameters-tuple"),
    pytest.param({"parameters": {"a": b"x"}}, ["parameters.a", "bytes"], id="parameters-bytes"),
    pytest.param({"parameters": {"a": {"b": {1}}}}, ["parameters.a.b", "set"], id="parameters-set"),
    pytest.param({"parameters": {1: 2}}, ["parameters", "int"], id="parameters-key"),
    pytest.param(
        {"parameters": {"a": "x" * 50_000}}, ["parameters", "50,000", "bytes"], id="parameters-size"
    ),
    pytest.param(
        {"parameters": {"a": "é" * 25_000}}, ["parameters", "50,000", "bytes"], id="parameters-bytes-size"
    ),
    pytest.param({"engine_settings": []}, ["engine_settings", "mapping"], id="engine-settings"),
    pytest.param({"engine_settings": {"a": math.nan}}, ["engine_settings.a"], id="engine-settings-nan"),
    pytest.param({"name": ""}, ["name", "128"], id="name-empty"),
    pytest.param({"name": "x" * 129}, ["name", "128"], id="name-too-long"),
    pytest.param({"name": "a\nb"}, ["name"], id="name-newline"),
    pytest.param({"name": ["a"]}, ["name", "string"], id="name-list"),
    pytest.param({"name": True}, ["name", "string"], id="name-bool"),
    pytest.param({"request_id": ""}, ["request_id", "128"], id="request-id-empty"),
    pytest.param({"request_id": "x" * 129}, ["request_id", "128"], id="request-id-too-long"),
    pytest.param({"request_id": "a\0b"}, ["request_id"], id="request-id-nul"),
    pytest.param({"tags": {str(n): "" for n in range(51)}}, ["tags", "50"], id="tags-51"),
    pytest.param({"tags": {"": "x"}}, ["tags", "128"], id="tag-key-empty"),
    pytest.param({"tags": {"k" * 129: "x"}}, ["tags", "128"], id="tag-key-too-long"),
    pytest.param({"tags": {"k": "x" * 257}}, ["tags.k", "256"], id="tag-value-too-long"),
    pytest.param({"tags": {"k": ["x"]}}, ["tags.k", "string"], id="tag-value-list"),
    pytest.param({"tags": {"k": None}}, ["tags.k", "string"], id="tag-value-null"),
    pytest.param({"tags": {1: "x"}}, ["tags", "string"], id="tag-key-number"),
    pytest.param({"tags": [{"key": "a", "value": "b"}]}, ["tags", "mapping"], id="tags-list"),
    pytest.param({"session_policy": "not json"}, ["session_policy", "JSON"], id="policy-no-json"),
    pytest.param({"session_policy": ""}, ["session_policy"], id="policy-empty"),
    pytest.param({"session_policy": {"a": math.nan}}, ["session_policy.a"], id="policy-nan"),
    pytest.param(
        {"session_policy": json.dumps("x" * 2048)}, ["session_policy", "2048"], id="policy-too-long"
    ),
    pytest.param(
        {"session_policy": {"Sid": "x" * 2048}}, ["session_policy", "2048"], id="policy-mapping-too-long"
    ),
    pytest.param({"session_policy": 7}, ["session_policy"], id="policy-number"),
    *(
        pytest.param({name: value}, [name], id=f"{name}-{value!r}")
        for name in ("workflow_id", "cache_id", "run_group_id")
        for value in ("", "abc", "12 ", "-1", "1" * 19, True, "١٢")
    ),
    *(
        pytest.param({"workflow_id": None, "run_id": value}, ["run_id", "DAG-run"], id=f"run-id-{value!r}")
        for value in ("", "manual__2026-11-22T03:04:05+00:00", "{{ run_id }}", "1" * 19, "None")
    ),
    pytest.param({"workflow_owner_id": "12345"}, ["workflow_owner_id", "12"], id="owner"),
    pytest.param({"workflow_version_name": "-v1"}, ["workflow_version_name"], id="version-begins-with-dash"),
    pytest.param({"workflow_version_name": "v" * 65}, ["workflow_version_name", "64"], id="version-too-long"),
    pytest.param(VPC | {"configuration_name": "a b"}, ["configuration_name"], id="configuration-space"),
    pytest.param(
        {"parameters": {"a": 1}, "parameters_uri": "s3://bucket/key"},
        ["parameters", "parameters_uri", "not both"],
        id="parameters-and-their-file",
    ),
    *(
        pytest.param({"parameters_uri": value}, ["parameters_uri", "S3"], id=f"parameters-file-{value!r}")
        for value in (
            "",
            "key",
            "s3://bucket",
            "s3://bucket/",
            "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=1",
        )
    ),
    pytest.param(
        {"requester_pays_enabled": "yes"}, ["requester_pays_enabled", "true or false"], id="pays-yes"
    ),
    pytest.param({"requester_pays_enabled": 1}, ["requester_pays_enabled", "true or false"], id="pays-1"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_a_bad_argument_is_refused(change: dict[str, Any], words: list[str]) -> None:
    """The message names the argument and the rule."""
    message = refused(NEW | change)
    assert [word for word in words if word not in message] == []


def test_all_problems_are_reported_at_once() -> None:
    """One error has all of them."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        build({"priority": "high", "storage_type": "SLOW", "parameters": []})
    message = str(caught.value)
    for name in ("workflow_id", "role_arn", "output_uri", "priority", "storage_type", "parameters"):
        assert name in message
    assert caught.value.operation == "StartRun"


@pytest.mark.parametrize("name", ["role_arn", "output_uri"])
def test_a_bad_default_is_refused_like_an_argument(name: str) -> None:
    """People write the connection, too."""
    arguments = {key: value for key, value in NEW.items() if key != name}
    assert name in refused(arguments, {name: "nonsense"})


@pytest.mark.parametrize("field", ["outputUriPrefixMode", "sessionPolicy", "scratchStorageMode"])
def test_a_field_newer_than_botocore_is_refused_when_used(field: str) -> None:
    """The message says that boto3 is too old."""
    argument = xform_name(field)
    with pytest.raises(HealthOmicsRequestError, match=f"{argument}.*botocore"):
        build(NEW | {argument: EVERY_FIELD[argument]}, shape=shape_without(field))


def test_a_field_newer_than_botocore_has_no_effect_when_not_used() -> None:
    """The other fields are sent as before."""
    older = shape_without("outputUriPrefixMode", "sessionPolicy")
    assert build(dict.fromkeys(ARGUMENTS) | NEW, shape=older) == build(NEW)


@pytest.mark.parametrize("character", ["x", "é"])
def test_parameters_of_exactly_the_limit_pass(character: str) -> None:
    """50,000 bytes of UTF-8 are allowed."""
    parameters = {"a": character * ((50_000 - len('{"a":""}')) // len(character.encode()))}
    assert build(NEW | {"parameters": parameters})["parameters"] == parameters


@pytest.mark.parametrize(
    ("name", "length"), [("name", 128), ("request_id", 128), ("workflow_version_name", 64)]
)
def test_text_of_exactly_the_limit_passes(name: str, length: int) -> None:
    """Limits are inclusive."""
    assert build(NEW | {name: "x" * length})[api_field(name)] == "x" * length


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:role/service-role/path/name+=,.@_-x",
        "arn:aws-us-gov:iam::123456789012:role/r",
        "arn:aws-cn:iam::123456789012:role/r",
    ],
)
def test_role_arns_with_paths_and_of_other_partitions_pass(arn: str) -> None:
    """IAM allows more than plain names."""
    assert build(NEW | {"role_arn": arn})["roleArn"] == arn


@pytest.mark.parametrize("uri", ["s3://abc", "s3://outputs/", "s3://my.bucket-1/a b/ü/c=1/"])
def test_output_uris_with_any_key_pass(uri: str) -> None:
    """A key may have nearly any character."""
    assert build(NEW | {"output_uri": uri})["outputUri"] == uri


# --- run ids of the other operations ---


@pytest.mark.parametrize("value", ["1", "1" * 18, 1234567], ids=str)
def test_a_run_id_is_returned_as_text(value: Any) -> None:
    """1 to 18 digits."""
    assert checked_run_id("GetRun", value) == str(value)


@pytest.mark.parametrize("value", ["", "x", "1" * 19, "1\n", "manual__2026-11-22", -1, 1.0, True])
def test_an_invalid_run_id_is_refused_with_a_hint(value: Any) -> None:
    """The message adds that the DAG-run ID is something else."""
    with pytest.raises(HealthOmicsRequestError, match=r"run_id.*not the DAG-run ID") as caught:
        checked_run_id("GetRun", value)
    assert caught.value.operation == "GetRun"


# --- properties ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def same(one: Any, two: Any) -> bool:
    """Whether two JSON values are equal and of equal types: 1 is not True, and 1.0 is not 1."""
    return repr(one) == repr(two)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(), json_values, max_size=6))
@example({"": {"": []}, "0": "0042", "1": 1.0, "2": 1, "3": True, "4": None, "5": "true"})
def test_any_json_parameters_are_sent_unchanged(parameters: dict[str, Any]) -> None:
    """They are not converted, sorted or dropped."""
    assert same(build(NEW | {"parameters": parameters})["parameters"], parameters)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_building_does_not_change_its_arguments(parameters: dict[str, Any]) -> None:
    """A retry renders and builds from the same arguments."""
    before = repr(parameters)
    build(NEW | {"parameters": parameters}, {"tags": {"a": "b"}})
    assert repr(parameters) == before


wrong = st.sampled_from(
    [(CANARY,), {CANARY}, CANARY.encode(), math.nan, CANARY * 4000, datetime(2026, 1, 1, tzinfo=UTC), 1j]
)


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(st.text("ab", max_size=2), json_values | st.just(CANARY), max_size=4),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4),
    wrong,
)
def test_no_message_shows_a_parameters_value(parameters: dict[str, Any], path: list[str], value: Any) -> None:
    """Whatever the error and its place, it does not have the value."""
    inner: Any = {"beside": CANARY, "it": value}
    for name in path:
        inner = {name: inner}
    message = refused(NEW | {"parameters": parameters | {"bad": inner}})
    assert CANARY not in message
    assert "parameters" in message


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": CANARY},
        {"parameters": [CANARY]},
        {"parameters": {"a": CANARY}, "role_arn": "nonsense"},
        {"tags": {"k": CANARY * 40}},
        {"tags": CANARY},
        {"engine_settings": CANARY},
        {"session_policy": CANARY},
        {"session_policy": json.dumps(CANARY * 200)},
    ],
    ids=str,
)
def test_no_message_shows_a_value_of_the_user(change: dict[str, Any]) -> None:
    """Neither invalid parameters nor tags, engine settings and policies."""
    assert CANARY not in refused(NEW | change)


@pytest.mark.parametrize(
    ("argument", "default"),
    [
        ({"storage_type": "STATIC"}, {"storage_capacity": 1200}),
        ({"networking_mode": "VPC"}, {"configuration_name": "vpc-1"}),
    ],
)
def test_half_of_a_pair_may_come_from_the_connection(argument: Any, default: Any) -> None:
    """The connection supplies each argument that the operator does not have."""
    request = build(NEW | argument, default)
    assert {*argument.values(), *default.values()} <= set(request.values())


@pytest.mark.parametrize(
    "change",
    [{"parameters": {"a": 10**5000}}, {"priority": "9" * 5000}, {"engine_settings": {"a": 10**5000}}],
    ids=lambda change: next(iter(change)),
)
def test_a_number_of_thousands_of_digits_is_refused(change: dict[str, Any]) -> None:
    """With our error instead of Python's."""
    with pytest.raises(HealthOmicsRequestError, match=next(iter(change))):
        build(NEW | change)


def test_circular_parameters_are_refused() -> None:
    """A mapping that contains itself is not JSON."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(HealthOmicsRequestError, match="parameters"):
        build(NEW | {"parameters": endless})


def test_a_long_list_of_problems_is_cut() -> None:
    """A list of a thousand wrong numbers is one mistake, and a log line has a limit."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        build(NEW | {"parameters": {"a": [math.nan] * 1000}})
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1] == f"... and {1000 - MAX_PROBLEMS} more"


# --- the parameters file, and who pays ---


def test_a_parameters_file_replaces_parameters() -> None:
    """For a new run and for a duplicate."""
    uri = "s3://bucket/folder/parameters.json"
    for arguments in (NEW, DUPLICATE):
        assert build(arguments | {"parameters_uri": uri})["parametersUri"] == uri


@pytest.mark.parametrize(
    ("value", "sent"), [(True, True), (False, False), ("true", True), ("True", True), ("FALSE", False)]
)
def test_a_boolean_may_be_text(value: Any, sent: bool) -> None:
    """A template of more than one expression yields text, and so does a connection's extra."""
    assert build(NEW | {"requester_pays_enabled": value})["requesterPaysEnabled"] is sent
    assert build(NEW, {"requester_pays_enabled": value})["requesterPaysEnabled"] is sent


# --- fields without an argument ---


def shape_with(**members: Any) -> StructureShape:
    """Return StartRun's shape as a newer botocore may have it."""
    shapes = {name.capitalize(): member for name, member in members.items()}
    newer = StructureShape("StartRunRequest", SHAPE._shape_model, SHAPE._shape_resolver)
    resolver = ShapeResolver(shapes)
    newer.members = {
        **SHAPE.members,
        **{name: resolver.get_shape_by_name(name.capitalize()) for name in members},
    }
    return newer


NEWER = shape_with(
    shiny={"type": "string", "min": 2},
    level={"type": "integer"},
    nested={"type": "structure", "members": {}, "document": True},
)


def further(values: Any) -> dict[str, Any]:
    return build_start_run_request(NEW, {}, NEWER, values)


def test_a_field_without_an_argument_is_sent() -> None:
    """AWS adds one about once a month; users need not wait for a release of this package."""
    values = {"shiny": "new", "level": 3, "nested": {"a": [1]}}
    assert further(values) == {**build(NEW), **values}
    assert further({}) == build(NEW)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param([CANARY], ["start_run_kwargs", "mapping"], id="list"),
        pytest.param({"workflowId": CANARY}, ["start_run_kwargs.workflowId", "workflow_id"], id="argument"),
        pytest.param(
            {"workflow_id": CANARY}, ["start_run_kwargs.workflow_id"], id="argument-by-its-own-name"
        ),
        pytest.param({"unheardOf": CANARY}, ["start_run_kwargs.unheardOf", "botocore"], id="unknown"),
        pytest.param({"level": CANARY}, ["start_run_kwargs.level", "integer"], id="type"),
        pytest.param({"shiny": "x"}, ["start_run_kwargs.shiny"], id="too-short"),
        pytest.param(
            {"nested": {CANARY[:3]: object()}}, ["start_run_kwargs.nested", "does not have"], id="no-json"
        ),
        pytest.param({7: CANARY}, ["start_run_kwargs", "key"], id="key"),
    ],
)
def test_a_bad_further_field_is_refused(values: Any, words: list[str]) -> None:
    """By its path and the rule, and never with its value."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        further(values)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert CANARY not in message
