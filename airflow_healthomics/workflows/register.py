# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Register a workflow version outside of a task, and wait for it."""

from __future__ import annotations

import time
from typing import Any, Final

from airflow_healthomics.creating.status_watch import StatusWatch
from airflow_healthomics.workflows.registry import WorkflowRegistry, creation_failed

#: Seconds between two polls.
_DELAY: Final = 2.0


def register(registry: WorkflowRegistry) -> dict[str, Any]:
    """
    Register a version if necessary, and wait until it is ACTIVE.

    :param registry: what to register, and where
    :return: ``workflowId``, ``versionName`` and ``isNew``
    :raises HealthOmicsResourceDiffersError: if the version of the given name has other content
    :raises HealthOmicsCreationFailedError: if HealthOmics refuses the definition
    :raises HealthOmicsApiError: if a call is refused
    """
    workflow_id = registry.registration.workflow_id
    if workflow_id is None:
        workflow = registry.ensure_workflow()
        workflow_id = workflow.id
        _wait(registry, registry.workflow_watch(workflow))
    version = registry.ensure_version(workflow_id)
    return version_result(_wait(registry, registry.version_watch(version)))


def version_result(summary: dict[str, Any]) -> dict[str, Any]:
    """
    Return what identifies a version for the start operators.

    :param summary: summary of the wait for the version
    """
    return {
        "workflowId": summary["id"],
        "versionName": summary["versionName"],
        "isNew": summary["isNew"],
    }


def _wait(registry: WorkflowRegistry, watch: StatusWatch) -> dict[str, Any]:
    while (summary := watch.poll(registry.hook.conn)) is None:
        time.sleep(watch.pause(_DELAY))
    if summary["status"] != "ACTIVE":
        raise creation_failed(registry.hook, summary)
    return summary
