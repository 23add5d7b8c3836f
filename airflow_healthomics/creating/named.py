# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Resources that a task finds by name, or creates: the base of run groups and run caches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from botocore import xform_name

from airflow_healthomics.creating.creation import Creation
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsResourceDiffersError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.requests.fields import checked_id
from airflow_healthomics.service.errors import explaining, is_gone

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log


class NamedResource(ABC):
    """
    Resources of a kind whose names are not unique: of several with a name, the oldest is used.

    :param hook: hook of the task's connection
    :param log: the task's log
    :cvar noun: what log lines and errors call it
    :cvar id_argument: the argument with its id
    :cvar operation_suffix: end of the names of its API operations
    :cvar updatable: fields that the API can change
    :cvar fixed: fields that it cannot, with their names in the response of Get
    """

    noun: ClassVar[str]
    id_argument: ClassVar[str]
    operation_suffix: ClassVar[str]
    updatable: ClassVar[tuple[str, ...]]
    fixed: ClassVar[Mapping[str, str]] = {}

    def __init__(self, hook: HealthOmicsHook, log: Log) -> None:
        self.hook = hook
        self.log = log

    # --- calls ---

    @abstractmethod
    def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make the call that creates it, with fields of the API."""

    @abstractmethod
    def get(self, resource_id: str) -> dict[str, Any]:
        """Describe it."""

    @abstractmethod
    def named(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield those that exist and have exactly this name."""

    @abstractmethod
    def update(self, resource_id: str, changes: Mapping[str, Any]) -> None:
        """Change fields, by API name."""

    @abstractmethod
    def delete(self, resource_id: str) -> None:
        """Make the call that deletes it."""

    # --- what tasks need ---

    def checked_id(self, operation: str, value: Any) -> str:
        """
        Return the id in an argument of a task.

        :param operation: API operation to name in errors
        :param value: value of the argument
        :raises HealthOmicsRequestError: if it is not an id
        """
        return checked_id(operation, self.id_argument, value)

    def find(self, name: str) -> dict[str, Any] | None:
        """
        Return the oldest one with exactly this name; None if there is none.

        :param name: its name
        :raises HealthOmicsApiError: if a call is refused
        """
        with explaining(f"List{self._plural}", f"the name {name}"):
            found = sorted(self.named(name), key=lambda each: (each["creationTime"], int(each["id"])))
        if not found:
            return None
        if len(found) > 1:
            self.log.warning(
                "There are %d %ss with the same name: %s. The oldest is used. Delete the others",
                len(found),
                self.noun,
                ", ".join(each["id"] for each in found),
            )
        resource_id = found[0]["id"]
        try:
            return self._described(resource_id)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return None
            raise

    def ensure(self, fields: Mapping[str, Any]) -> str:
        """
        Return the id of the one with the name in the fields. Create or update it if necessary.

        :param fields: valid fields of the API operation that creates it, with ``name``
        :raises HealthOmicsResourceDiffersError: if one with this name differs in what cannot be changed
        :raises HealthOmicsApiError: if a call is refused
        """
        found = self.find(fields["name"])
        if found is None:
            created = self._create(fields)
            # Another task may have created one with other fields at the same time. All use the oldest.
            found = self.find(fields["name"]) or self._described(created)
            if found["id"] == created:
                self.log.info("Created HealthOmics %s %s", self.noun, created)
                return created
        resource_id = str(found["id"])
        self._refuse_differences(found, fields)
        changes = {
            name: fields[name]
            for name in self.updatable
            if name in fields and found.get(name) != fields[name]
        }
        if changes:
            with explaining(f"Update{self.operation_suffix}", f"{self.noun} {resource_id}"):
                self.update(resource_id, changes)
        add_missing_tags(self.hook, f"{self.noun} {resource_id}", found, fields.get("tags", {}))
        self.log.info(
            "HealthOmics %s %s exists%s",
            self.noun,
            resource_id,
            f"; changed {', '.join(map(xform_name, sorted(changes)))}" if changes else "",
        )
        return resource_id

    def request_delete(self, resource_id: str) -> bool:
        """
        Delete it; return False if it does not exist.

        :param resource_id: its id
        :raises HealthOmicsApiError: if the call is refused, for instance because active runs use it
        """
        try:
            with explaining(f"Delete{self.operation_suffix}", f"{self.noun} {resource_id}"):
                self.delete(resource_id)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return False
            raise
        return True

    @property
    def _plural(self) -> str:
        return f"{self.operation_suffix}s"

    def _described(self, resource_id: str) -> dict[str, Any]:
        with explaining(f"Get{self.operation_suffix}", f"{self.noun} {resource_id}"):
            return self.get(resource_id)

    def _create(self, fields: Mapping[str, Any]) -> str:
        creation = Creation(
            operation=f"Create{self.operation_suffix}",
            noun=self.noun,
            identity=fields,
            create=lambda request_id: self.create({**fields, "requestId": request_id})["id"],
            exists=self._exists,
            log=self.log,
        )
        return creation.run()

    def _exists(self, resource_id: str) -> bool:
        try:
            self._described(resource_id)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return False
            raise
        return True

    def _refuse_differences(self, found: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        differences = [
            f"{xform_name(name)} is {found.get(described)}, not {fields[name]}"
            for name, described in self.fixed.items()
            if name in fields and not self.is_equal(name, found.get(described), fields[name])
        ]
        if differences:
            raise HealthOmicsResourceDiffersError(
                f"HealthOmics {self.noun} {found['id']}",
                differences,
                f"Correct the arguments, choose another name, or delete the {self.noun}.",
            )

    def is_equal(self, name: str, found: Any, wanted: Any) -> bool:
        """
        Whether a field that cannot be changed has the wanted value.

        :param name: of the field
        :param found: its value in the response of Get
        :param wanted: its value in the request
        """
        return bool(found == wanted)


def add_missing_tags(
    hook: HealthOmicsHook, subject: str, found: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    """
    Add tags to a resource, or change their values. Other tags stay.

    :param hook: hook of the task's connection
    :param subject: the resource, such as ``run group 1234567``
    :param found: its description, with ``arn`` and ``tags``
    :param tags: values by key
    :raises HealthOmicsApiError: if the call is refused
    """
    missing = {key: value for key, value in tags.items() if (found.get("tags") or {}).get(key) != value}
    if missing:
        with explaining("TagResource", subject):
            hook.tag_resource(found["arn"], missing)
