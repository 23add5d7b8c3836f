# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Find or create workflows and workflow versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_healthomics.creating.creation import Creation
from airflow_healthomics.creating.named import add_missing_tags
from airflow_healthomics.creating.status_watch import WorkflowVersionWatch, WorkflowWatch
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsCreationFailedError,
    HealthOmicsResourceDiffersError,
)
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import explaining, is_gone, may_be_wrong_state
from airflow_healthomics.workflows.definition import Definition
from airflow_healthomics.workflows.request import DIGEST_TAG, Registration

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log

#: States of workflows that get new versions. In other states they cannot run.
_USABLE: Final = frozenset({"ACTIVE", "CREATING", "UPDATING"})


class Found(NamedTuple):
    """
    A workflow or workflow version.

    :param id: id of the workflow
    :param status: its status
    :param is_new: whether it was created just now
    """

    id: str
    status: str
    is_new: bool


class WorkflowRegistry:
    """
    The private workflows of a connection's account and region.

    :param hook: hook of the connection
    :param log: the task's log
    :param registration: what to register
    :param definition: its definition
    :param archive_s3_uri: S3 URI of a prefix for large archives
    """

    def __init__(
        self,
        hook: HealthOmicsHook,
        log: Log,
        registration: Registration,
        definition: Definition,
        archive_s3_uri: str | None = None,
    ) -> None:
        self.hook = hook
        self.log = log
        self.registration = registration
        self.definition = definition
        self.archive_s3_uri = archive_s3_uri
        self.digest = registration.digest_with(definition.digest)
        self.version_name = registration.version_with(self.digest)

    # --- the workflow ---

    def ensure_workflow(self) -> Found:
        """
        Return the workflow with the name of the registration, created if necessary.

        :raises HealthOmicsCreationFailedError: if this definition has failed before
        :raises HealthOmicsApiError: if a call is refused
        """
        name = str(self.registration.name)
        if found := self._find(name):
            return found
        creation = Creation(
            operation="CreateWorkflow",
            noun="workflow",
            identity={"name": name, "digest": self.digest},
            create=lambda request_id: str(self._create_workflow(name, request_id)["id"]),
            exists=self._exists,
            log=self.log,
        )
        try:
            created = creation.run()
        except HealthOmicsApiError as error:
            if error.code == "ConflictException" and (found := self._find(name)):
                # Another task has created it with another description, or from another commit.
                return found
            raise
        # Another task may have created one with another definition at the same time. All use the oldest.
        found = self._find(name) or self._known(created)
        if found.id == created:
            self.log.info("HealthOmics creates workflow %s", created)
        return found._replace(is_new=found.id == created)

    def workflow_watch(self, found: Found) -> WorkflowWatch:
        """
        Return the state of a wait for a workflow.

        :param found: the workflow
        """
        return WorkflowWatch(found.id, is_new=found.is_new, log=self.log)

    def _find(self, name: str) -> Found | None:
        """Return the oldest usable workflow with exactly this name."""
        with explaining("ListWorkflows", f"the name {name}"):
            named = [each for each in self.hook.list_workflows(name=name) if each.get("name") == name]
        named.sort(key=lambda each: (each["creationTime"], int(each["id"])))
        usable = [each for each in named if each["status"] in _USABLE]
        if len(usable) > 1:
            self.log.warning(
                "There are %d workflows with the same name: %s. The oldest gets the version. Set workflow_id "
                "to use another one",
                len(usable),
                ", ".join(each["id"] for each in usable),
            )
        if usable:
            return Found(usable[0]["id"], usable[0]["status"], is_new=False)
        if named and named[-1]["status"] == "FAILED":
            self._refuse_failed(named[-1]["id"])
        return None

    def _refuse_failed(self, workflow_id: str) -> None:
        """Refuse to create the same workflow again that has failed."""
        workflow = self._described(workflow_id)
        if (workflow.get("tags") or {}).get(DIGEST_TAG) == self.digest:
            raise creation_failed(self.hook, {**workflow, "id": workflow_id})

    def _known(self, workflow_id: str) -> Found:
        return Found(workflow_id, str(self._described(workflow_id)["status"]), is_new=False)

    def _exists(self, workflow_id: str) -> bool:
        try:
            self._described(workflow_id)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return False
            raise
        return True

    def _described(self, workflow_id: str) -> dict[str, Any]:
        with explaining("GetWorkflow", f"workflow {workflow_id}"):
            return self.hook.get_workflow(workflow_id)

    def _create_workflow(self, name: str, request_id: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.hook.conn.create_workflow(
            name=name, requestId=request_id, **self._fields()
        )
        return answer

    # --- the version ---

    def ensure_version(self, workflow_id: str) -> Found:
        """
        Return the version with this content, created if necessary.

        :param workflow_id: id of the workflow
        :raises HealthOmicsResourceDiffersError: if the version of this name has other content
        :raises HealthOmicsApiError: if a call is refused
        """
        subject = f"version {self.version_name} of workflow {workflow_id}"
        version = self._version(workflow_id)
        if version is None:
            try:
                with explaining("CreateWorkflowVersion", subject):
                    created = self.hook.conn.create_workflow_version(
                        workflowId=workflow_id, versionName=self.version_name, **self._fields()
                    )
                self.log.info(
                    "HealthOmics creates %s from %d files, %d bytes as a zip archive",
                    subject,
                    self.definition.file_count,
                    len(self.definition.archive),
                )
                return Found(workflow_id, str(created["status"]), is_new=True)
            except HealthOmicsApiError as error:
                if error.__cause__ is None or not may_be_wrong_state(error.__cause__):
                    raise
                # Another task may have created it at the same time.
                version = self._version(workflow_id)
                if version is None:
                    raise
        known = (version.get("tags") or {}).get(DIGEST_TAG)
        if known != self.digest:
            raise HealthOmicsResourceDiffersError(
                f"HealthOmics {subject}",
                [f"its digest is {known or 'unknown'}, not {self.digest}"],
                "A version never changes: choose another version_name, or none.",
            )
        add_missing_tags(self.hook, subject, version, self.registration.labels.get("tags", {}))
        self.log.info("HealthOmics %s has this content", subject)
        return Found(workflow_id, str(version["status"]), is_new=False)

    def version_watch(self, found: Found) -> WorkflowVersionWatch:
        """
        Return the state of a wait for the version.

        :param found: the version
        """
        return WorkflowVersionWatch(
            found.id, version_name=self.version_name, is_new=found.is_new, log=self.log
        )

    def _version(self, workflow_id: str) -> dict[str, Any] | None:
        try:
            with explaining("GetWorkflowVersion", f"version {self.version_name} of workflow {workflow_id}"):
                version = self.hook.get_workflow(workflow_id, version_name=self.version_name)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return None
            raise
        return None if version["status"] == "DELETED" else version

    def _fields(self) -> dict[str, Any]:
        """Return the fields of both creations, with the definition."""
        registration = self.registration
        source = self.definition.source_fields(self.hook, self.archive_s3_uri)
        if "definitionUri" in source and registration.bucket_owner_id is not None:
            source["workflowBucketOwnerId"] = registration.bucket_owner_id
        tags = {**self.definition.tags, **registration.labels.get("tags", {}), DIGEST_TAG: self.digest}
        return {**registration.fields, **registration.labels, "tags": tags, **source}


def creation_failed(hook: HealthOmicsHook, summary: Mapping[str, Any]) -> HealthOmicsCreationFailedError:
    """
    Return the error for a workflow or workflow version that is not ACTIVE.

    :param hook: hook of the connection
    :param summary: its ``id``, ``status``, ``statusMessage`` and, for a version, ``versionName``
    """
    workflow_id, version_name = summary["id"], summary.get("versionName")
    subject = f"workflow {workflow_id}"
    command = f"aws omics delete-workflow --id {workflow_id}"
    if version_name:
        subject = f"version {version_name} of {subject}"
        command = (
            f"aws omics delete-workflow-version --workflow-id {workflow_id} --version-name {version_name}"
        )
    return HealthOmicsCreationFailedError(
        f"HealthOmics {subject}",
        summary["status"],
        summary.get("statusMessage"),
        "Correct the definition, which then is registered as another one. If the cause was elsewhere, delete "
        f"this one first: {command} --region {hook.conn_region_name}",
    )
