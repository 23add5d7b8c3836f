# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""State of the creation or deletion of a configuration, workflow or workflow version."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from airflow_healthomics.resources.watch import NEW_GRACE, Watch
from airflow_healthomics.service.errors import is_not_found

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log

#: States before and after the end of a creation, and after that of a deletion: botocore model, shapes
#: WorkflowStatus and ConfigurationStatus.
_CREATING: Final = frozenset({"CREATING", "UPDATING"})
_CREATED: Final = frozenset({"ACTIVE", "FAILED", "INACTIVE", "DELETING", "DELETED"})
_DELETED: Final = frozenset({"FAILED", "DELETED"})


class StatusWatch(Watch):
    """
    State of a resource that is being created or deleted. Logs its status when it changes.

    :param resource_id: id of the resource, or its name
    :param version_name: name of the workflow version, if it is one
    :param is_new: whether it was created just now by this task, so that a not-found response is ignored for a
        while
    :param is_deletion: whether the wait is for its deletion
    :param log: the task's log
    """

    __slots__ = ("is_deletion", "is_new", "version_name")

    def __init__(
        self,
        resource_id: str,
        *,
        version_name: str | None = None,
        is_new: bool = False,
        is_deletion: bool = False,
        log: Log,
    ) -> None:
        super().__init__(resource_id, uuid=None, grace=float(NEW_GRACE) if is_new else 0.0, log=log)
        self.version_name = version_name
        self.is_new = is_new
        self.is_deletion = is_deletion

    def fetch(self, client: Any) -> dict[str, Any] | None:
        """Describe the resource."""
        try:
            return self.describe(client)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise

    @abstractmethod
    def describe(self, client: Any) -> dict[str, Any]:
        """
        Make the call that describes the resource.

        :param client: a botocore client
        """

    def update(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Process a response. The wait continues if the status is unknown to this version."""
        self._succeed()
        if answer is None and self.may_be_invisible and not self.is_deletion:
            return None
        found = answer or {"status": "DELETED"}
        status = found["status"]
        if status != self.status:
            self._log_status(status)
        self.status = status
        if status not in (_DELETED if self.is_deletion else _CREATED):
            return None
        summary = {"id": self.resource_id, "status": status, "isNew": self.is_new}
        if self.version_name is not None:
            summary["versionName"] = self.version_name
        if message := found.get("statusMessage"):
            summary["statusMessage"] = message
        return summary

    def _log_status(self, status: str) -> None:
        if status in _CREATING | _CREATED:
            self.log.info("HealthOmics %s is %s", self, status)
        else:
            self.log.warning(
                "HealthOmics %s is %s. This version does not know the status; the wait continues",
                self,
                status,
            )


class ConfigurationWatch(StatusWatch):
    """State of a configuration, whose id is its name."""

    __slots__ = ()

    noun = "configuration"
    operation = "GetConfiguration"

    def describe(self, client: Any) -> dict[str, Any]:
        """Call GetConfiguration."""
        return dict(client.get_configuration(name=self.resource_id))


class WorkflowWatch(StatusWatch):
    """State of a workflow."""

    __slots__ = ()

    noun = "workflow"
    operation = "GetWorkflow"

    def describe(self, client: Any) -> dict[str, Any]:
        """Call GetWorkflow."""
        return dict(client.get_workflow(id=self.resource_id))


class WorkflowVersionWatch(StatusWatch):
    """State of a workflow version; the id is that of its workflow."""

    __slots__ = ()

    noun = "workflow version"
    operation = "GetWorkflowVersion"

    def describe(self, client: Any) -> dict[str, Any]:
        """Call GetWorkflowVersion."""
        return dict(client.get_workflow_version(workflowId=self.resource_id, versionName=self.version_name))

    def __str__(self) -> str:
        """Return both, for log lines and errors."""
        return f"version {self.version_name} of workflow {self.resource_id}"


#: Classes by noun.
_WATCHES: Final[Mapping[str, type[StatusWatch]]] = {
    each.noun: each for each in (ConfigurationWatch, WorkflowWatch, WorkflowVersionWatch)
}


def status_watch_of_kind(kind: str) -> type[StatusWatch]:
    """
    Return the class of the waits for a kind of resource.

    :param kind: configuration, workflow or workflow version
    """
    return _WATCHES[kind]
