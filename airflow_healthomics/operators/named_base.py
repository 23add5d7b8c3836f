# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the operators that create or delete run groups and run caches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator

from airflow_healthomics.creating.named import NamedResource
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.task import HealthOmicsTask

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class NamedOperator(HealthOmicsTask, AwsBaseOperator[HealthOmicsHook]):
    """
    Base of the operators that create or delete a run group or run cache.

    :cvar named_type: the kind of resource
    """

    named_type: ClassVar[type[NamedResource]]
    waits_on_worker = False

    @cached_property
    def named(self) -> NamedResource:
        """The resources of this task's connection."""
        return self.named_type(self.hook, self.log)


class CreateNamedOperator(NamedOperator):
    """Base of the operators that find a run group or run cache by its name, update it or create it."""

    ui_color = "#d5e8d4"

    @abstractmethod
    def build_request(self) -> Mapping[str, Any]:
        """Return the validated fields of the creation, by API name."""

    def execute(self, context: Context) -> str:
        """Return the id of the resource, after it was created or updated if necessary."""
        fields = self.build_request()
        if "name" not in fields:
            operation = f"Create{self.named.operation_suffix}"
            raise HealthOmicsRequestError(operation, ["name is required: tasks find the resource by it"])
        return self.named.ensure(fields)


class DeleteNamedOperator(NamedOperator):
    """Base of the operators that delete a run group or run cache, by its id or name."""

    ui_color = "#f3d5d5"

    name: str | None

    def execute(self, context: Context) -> str | None:
        """Return the id of the resource; None if no resource has the name."""
        named = self.named
        operation, argument = f"Delete{named.operation_suffix}", named.id_argument
        resource_id = getattr(self, argument)
        refuse_broken_templates(operation, {argument: resource_id, "name": self.name})
        if (resource_id is None) == (self.name is None):
            raise HealthOmicsRequestError(operation, [f"pass either {argument} or name, not both"])
        if resource_id is None:
            found = named.find(str(self.name))
            if found is None:
                self.log.info("HealthOmics has no %s with this name", named.noun)
                return None
            resource_id = found["id"]
        resource_id = named.checked_id(operation, resource_id)
        if named.request_delete(resource_id):
            self.log.info("Deleted HealthOmics %s %s", named.noun, resource_id)
        else:
            self.log.info("HealthOmics %s %s no longer exists", named.noun, resource_id)
        return resource_id
