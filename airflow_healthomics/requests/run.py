# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Build and validate a StartRun request from arguments and defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.model import StructureShape

from airflow_healthomics.requests.fields import Problems, checked_fields, checked_id, further_fields

#: Defaults of new runs without an argument or a default of the connection. REMOVE, because a schedule with
#: RETAIN eventually reaches the account's limit of stored runs; DYNAMIC, because it cannot run out of space.
#: Both are always sent, because AWS's documents contradict each other on the defaults of the service.
BUILT_IN_DEFAULTS: Final[Mapping[str, str]] = {"retention_mode": "REMOVE", "storage_type": "DYNAMIC"}

#: The fields of StartRun, by argument name. A test compares them with the installed botocore.
ARGUMENTS: Final = (
    "workflow_id",
    "workflow_type",
    "workflow_version_name",
    "workflow_owner_id",
    "run_id",
    "role_arn",
    "output_uri",
    "output_uri_prefix_mode",
    "requester_pays_enabled",
    "parameters",
    "parameters_uri",
    "name",
    "request_id",
    "retention_mode",
    "storage_type",
    "storage_capacity",
    "scratch_storage_mode",
    "run_group_id",
    "priority",
    "cache_id",
    "cache_behavior",
    "networking_mode",
    "configuration_name",
    "engine_settings",
    "session_policy",
    "log_level",
    "tags",
)

#: Arguments that identify a run. A default for them would be a mistake.
_NO_DEFAULT: Final = frozenset(
    {"workflow_id", "run_id", "name", "request_id", "parameters", "parameters_uri"}
)

#: Arguments that may have a default in the connection.
DEFAULTABLE: Final = frozenset(ARGUMENTS) - _NO_DEFAULT

#: Defaults for a duplicate run: StartRun requires them. The duplicate inherits the rest from its original.
_DUPLICATE_DEFAULTS: Final = frozenset({"role_arn", "output_uri"})

#: Arguments without meaning for READY2RUN workflows, so their defaults are not sent.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows.html
_PRIVATE_ONLY: Final = frozenset(
    {"storage_type", "storage_capacity", "cache_id", "cache_behavior", "run_group_id"}
)

#: Advice for a required argument without a built-in default.
FROM_SOMEWHERE: Final = "as an argument or in the connection's extra, service_config.omics"

#: Defaults that require a value of another argument. They are dropped if the DAG author sets a different
#: value.
_ONLY_WITH: Final[Mapping[str, tuple[str, str]]] = {
    "storage_capacity": ("storage_type", "STATIC"),
    "configuration_name": ("networking_mode", "VPC"),
}


def checked_run_id(operation: str, run_id: Any) -> str:
    """
    Validate the id of a run.

    :param operation: API operation to name in errors
    :param run_id: the argument after rendering
    :raises HealthOmicsRequestError: if it is not an id of a run
    """
    return checked_id(operation, "run_id", run_id)


def build_start_run_request(
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
    shape: StructureShape,
    further: Any = None,
) -> dict[str, Any]:
    """
    Build and validate the request of a new run (``workflow_id``) or of a duplicate (``run_id``).

    :param arguments: arguments of the DAG author, by name; None means not set
    :param defaults: the connection's defaults, by argument name
    :param shape: StartRun's input shape in botocore, the source of lengths, ranges and enums
    :param further: ``start_run_kwargs``, fields without an argument, by API name
    :raises HealthOmicsRequestError: with all problems
    """
    given = without_none(arguments)
    chosen = _duplicate(given, defaults) if "run_id" in given else new_run(given, defaults)
    problems = Problems("StartRun")
    request = checked_fields(chosen, shape, problems)
    if further is not None:
        request |= further_fields(further, ARGUMENTS, shape, problems, "start_run_kwargs")
    problems.add(*_missing(given, chosen), *contradictions(given, chosen))
    problems.refuse()
    return request


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values other than None: an operator passes all arguments, and JSON has null."""
    return {name: value for name, value in values.items() if value is not None}


def new_run(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of a new run, or of the runs of a batch, including applicable defaults.

    :param given: arguments of the DAG author, by name
    :param defaults: the connection's defaults, by argument name
    """
    defaults = without_none(defaults)
    for name, (other, value) in _ONLY_WITH.items():
        if given.get(other, value) != value:
            defaults.pop(name, None)
    chosen = {**BUILT_IN_DEFAULTS, **defaults, **given}
    if chosen.get("workflow_type") == "READY2RUN":
        return {name: value for name, value in chosen.items() if name in given or name not in _PRIVATE_ONLY}
    return chosen


def _duplicate(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    required = {name: value for name, value in defaults.items() if name in _DUPLICATE_DEFAULTS}
    return {**without_none(required), **given}


def _missing(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> Iterator[str]:
    if ("workflow_id" in given) == ("run_id" in given):
        yield "pass either workflow_id (for a new run) or run_id (the run to duplicate), not both"
    for name in ("role_arn", "output_uri"):
        if name not in chosen:
            yield f"{name} is required, {FROM_SOMEWHERE}"
    if "parameters" in given and "parameters_uri" in given:
        yield "pass either parameters or parameters_uri, not both"


def contradictions(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield contradictions between arguments. A duplicate may inherit arguments that are missing here.

    :param given: arguments of the DAG author, by name
    :param chosen: arguments including defaults
    """
    is_new = "run_id" not in given
    if chosen.get("workflow_type") == "READY2RUN":
        for name in sorted(given.keys() & {"storage_type", "storage_capacity"}):
            yield f"{name} cannot be set for a READY2RUN workflow, because its storage is fixed"
    elif is_new and chosen.get("storage_type") == "STATIC" and "storage_capacity" not in chosen:
        yield "storage_capacity (GiB) is required with storage_type STATIC"
    elif chosen.get("storage_type") == "DYNAMIC" and "storage_capacity" in chosen:
        yield "storage_capacity requires storage_type STATIC; DYNAMIC storage ignores it"

    if is_new and "cache_behavior" in chosen and "cache_id" not in chosen:
        yield "cache_behavior requires cache_id"
    if is_new and chosen.get("networking_mode") == "VPC" and "configuration_name" not in chosen:
        yield "networking_mode VPC requires configuration_name"
    if "configuration_name" in chosen and chosen.get("networking_mode", None if is_new else "VPC") != "VPC":
        yield "configuration_name requires networking_mode VPC"
