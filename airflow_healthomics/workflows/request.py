# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Build and validate what registers a workflow version."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from botocore.validate import ParamValidator

from airflow_healthomics.params.template import read_template, template_problems
from airflow_healthomics.requests.fields import MAX_TAGS, Problems, api_field, checked_fields, convert_field
from airflow_healthomics.requests.json_values import as_json
from airflow_healthomics.requests.run import without_none

OPERATION: Final = "CreateWorkflowVersion"

#: Tag with the digest of a registered workflow or version.
DIGEST_TAG: Final = "airflow-healthomics:digest"

#: Tags that a registration adds: of the digest, and of the commit.
_OUR_TAGS: Final = 2

#: Fields of CreateWorkflowVersion that decide how runs behave, by argument name.
ARGUMENTS: Final = (
    "engine",
    "main",
    "parameter_template",
    "accelerators",
    "storage_type",
    "storage_capacity",
    "container_registry_map",
    "container_registry_map_uri",
)

#: Arguments with a structure of the API.
_STRUCTURES: Final = ("parameter_template", "container_registry_map")

#: Arguments that are no part of the content: the argument with the same rule, and the field.
_PLAIN: Final[Mapping[str, tuple[str, str, str]]] = {
    "name": ("name", "CreateWorkflow", "name"),
    "workflow_id": ("workflow_id", OPERATION, "workflowId"),
    "version_name": ("workflow_version_name", OPERATION, "versionName"),
    "workflow_bucket_owner_id": ("workflow_bucket_owner_id", OPERATION, "workflowBucketOwnerId"),
}

#: Hexadecimal digits of the digest in the default name of a version.
_NAME_LENGTH: Final = 16


class Registration(NamedTuple):
    """
    What to register.

    :param name: name of the workflow to find or create; None if its id is given
    :param workflow_id: id of the workflow; None if its name is given
    :param version_name: name of the version; None for one from the digest
    :param bucket_owner_id: AWS account id of the owner of the S3 bucket with the definition, if it is another
        account
    :param fields: fields that decide how runs behave, by API name
    :param labels: ``description`` and ``tags``
    """

    name: str | None
    workflow_id: str | None
    version_name: str | None
    bucket_owner_id: str | None
    fields: Mapping[str, Any]
    labels: Mapping[str, Any]

    def digest_with(self, definition_digest: str) -> str:
        """
        Return the digest of a definition together with the fields.

        :param definition_digest: digest of the definition
        """
        parts = json.dumps([definition_digest, self.fields], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()

    def version_with(self, digest: str) -> str:
        """
        Return the name of the version.

        :param digest: return value of :meth:`digest_with`
        """
        return self.version_name or digest[:_NAME_LENGTH]


def build_registration(model: Any, **arguments: Any) -> Registration:
    """
    Validate the arguments of a registration, other than the source.

    :param model: HealthOmics' service model in botocore
    :param arguments: ``name``, ``workflow_id``, ``version_name``, ``workflow_bucket_owner_id``,
        ``description``, ``tags`` and those in :data:`ARGUMENTS`; None means not set
    :raises HealthOmicsRequestError: with all problems
    """
    given, problems = without_none(arguments), Problems(OPERATION)
    shape = model.operation_model(OPERATION).input_shape
    if ("name" in given) == ("workflow_id" in given):
        problems.add("pass either name or workflow_id, not both")
    plain = {}
    for argument, (rule, operation, field) in _PLAIN.items():
        if argument in given:
            member = model.operation_model(operation).input_shape.members[field]
            plain[argument], complaints = convert_field(rule, given.pop(argument), member, argument)
            problems.add(*complaints)
    structures: dict[str, Any] = {name: given.pop(name) for name in _STRUCTURES if name in given}
    labels = checked_fields(
        {name: given.pop(name) for name in ("description", "tags") if name in given}, shape, problems
    )
    if len(labels.get("tags", {})) > MAX_TAGS - _OUR_TAGS:
        problems.add(
            f"tags must be at most {MAX_TAGS - _OUR_TAGS}, because the registration adds {_OUR_TAGS}"
        )
    problems.add(*_contradictions(given, structures))
    fields = checked_fields(given, shape, problems)
    for name, value in structures.items():
        fields[api_field(name)] = _structure(name, value, shape.members[api_field(name)], problems)
    problems.refuse()
    return Registration(
        name=plain.get("name"),
        workflow_id=plain.get("workflow_id"),
        version_name=plain.get("version_name"),
        bucket_owner_id=plain.get("workflow_bucket_owner_id"),
        fields=fields,
        labels=labels,
    )


def _contradictions(given: Mapping[str, Any], structures: Mapping[str, Any]) -> list[str]:
    problems = []
    storage, has_capacity = given.get("storage_type"), "storage_capacity" in given
    if storage == "STATIC" and not has_capacity:
        problems.append("storage_capacity (GiB) is required with storage_type STATIC")
    if storage != "STATIC" and has_capacity:
        problems.append("storage_capacity requires storage_type STATIC")
    if "container_registry_map" in structures and "container_registry_map_uri" in given:
        problems.append("pass either container_registry_map or container_registry_map_uri, not both")
    return problems


def _structure(name: str, value: Any, shape: Any, problems: Problems) -> Any:
    """Return a mapping, or that in a JSON file, if it has the form that the API requires."""
    if isinstance(value, str):
        try:
            value = read_template(Path(value))
        except ValueError as error:
            problems.add(re.sub("^template", name, str(error)))
            return None
    document, complaints = as_json(value, name)
    if not complaints and not isinstance(document, Mapping):
        complaints = [f"{name} must be a mapping, or the path of a JSON file"]
    if not complaints and name == "parameter_template":
        complaints = [f"parameter_{problem}" for problem in template_problems(document)]
    if complaints:
        problems.add(*complaints)
        return None
    if name == "parameter_template":
        document = {key: entry or {} for key, entry in document.items()}
    report = ParamValidator().validate(document, shape).generate_report()
    problems.add(*(f"{name}: {line}" for line in report.splitlines()))
    return document
