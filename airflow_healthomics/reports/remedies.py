# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Table of failure reasons: whether a retry can help, and the next step for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple


class Remedy(NamedTuple):
    """Whether another attempt may succeed, and the next step for a person."""

    retry: bool
    next_step: str


#: The next step for every documented failure reason, by whether another attempt may succeed. It may after
#: service faults, after capacity shortages and after ambiguous reasons. Otherwise the same input fails again.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-errors.html
_NEXT_STEPS: Final = {
    True: {
        "SERVICE_ERROR": "Retry; if it keeps failing, contact AWS Support.",
        "INSTANCE_RESERVATION_FAILED": "Retry later, or request other CPUs, GPUs or memory.",
        "MODIFIED_INPUT_RESOURCE": "Retry, and do not modify the inputs while the run is active.",
        "RUN_TASK_FAILED": "Read the log of the failed task.",
        "WORKFLOW_RUN_FAILED": "Read the engine log.",
    },
    False: {
        "RUN_TIMED_OUT": "Shorten the run, or raise the maximum duration of the run group or the account.",
        "TASK_TIMED_OUT": "Raise the task's timeout in the workflow definition.",
        "OUT_OF_MEMORY_ERROR": "Give the task more memory in the workflow definition.",
        "FILE_SYSTEM_OUT_OF_SPACE": "Raise storage_capacity, or set storage_type to DYNAMIC.",
        "ASSUME_ROLE_FAILED": "Allow omics.amazonaws.com in the trust policy of the role_arn.",
        "ECR_PERMISSION_ERROR": "Allow omics.amazonaws.com to pull from the image's ECR repository.",
        "CANNOT_START_CONTAINER_ERROR": "Fix the task's container image.",
        "CANNOT_START_CONTAINER_SIZE_ERROR": "Make the task's container image smaller.",
        "IMAGE_VERIFICATION_FAILURE": "Push the task's container image to ECR again.",
        "INVALID_ECR_IMAGE_URI": "Correct the URI of the task's container image.",
        "IMPORT_FAILED": "Check that the inputs exist and that the role_arn may read them.",
        "EXPORT_FAILED": "Check that the output bucket exists and that the role_arn may write to it.",
        "INPUT_URI_NOT_FOUND": "Check that the input exists and that the role_arn may read it.",
        "INVALID_RUN_PARAMETERS": "Correct the parameters file. HealthOmics reads it after StartRun.",
        "INVALID_URI_INPUT": "Correct the URI of the input.",
        "INACTIVE_OMICS_STORAGE_RESOURCE": "Activate the read set, then clear the task.",
        "INVALID_TASK_RESOURCE_VALUE": "Request CPUs, GPUs and memory that an instance type offers.",
        "UNSUPPORTED_INPUT_SIZE": "Reduce the size of the inputs.",
        "UNSUPPORTED_GPU_INSTANCE_TYPE": "Request a GPU type that the region offers.",
        "WORKFLOW_VER_VALIDATION_FAILED": "Use a Nextflow version that HealthOmics supports.",
    },
}


#: The remedy for every documented reason.
REMEDIES: Final[Mapping[str, Remedy]] = MappingProxyType(
    {reason: Remedy(retry, step) for retry, steps in _NEXT_STEPS.items() for reason, step in steps.items()}
)


def bounded_reason(reason: str | None) -> str:
    """
    Return a documented failure reason unchanged, "other" for any other one, and "none" without one.

    :param reason: from HealthOmics
    """
    return "none" if not reason else reason if reason in REMEDIES else "other"


_NO_REASON: Final = Remedy(True, "Read the run log and the engine log.")


_UNKNOWN_REASON: Final = Remedy(
    True, "Look up the failure reason in the HealthOmics user guide, and read the engine log."
)


NOT_FAILED: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        "CANCELLED": Remedy(True, "Find out who cancelled the run. Clear the task to start it again."),
        "DELETED": Remedy(True, "Find out who deleted the run. Clear the task to start it again."),
    }
)


#: Next steps for a sensor. Clearing it does not start the run again.
SENSOR_STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CANCELLED": "Find out who cancelled the run. To run it again, clear the task that starts it.",
        "DELETED": "Check the run id, and the account and region of the connection. To run it again, clear "
        "the task that starts it.",
    }
)


def remedy_for(failure_reason: str | None, task_reasons: Sequence[str | None] = ()) -> Remedy:
    """
    Return what to do about a FAILED run.

    RUN_TASK_FAILED alone is ambiguous. Such a run is not retried if each of its failed tasks has a permanent
    reason. With a mixture it is: the engine may have repeated a task successfully after a permanent reason.

    :param failure_reason: of the run, if any
    :param task_reasons: of its failed tasks; None if unknown
    """
    if not failure_reason:
        return _NO_REASON
    remedy = REMEDIES.get(failure_reason, _UNKNOWN_REASON)
    if failure_reason != "RUN_TASK_FAILED" or not task_reasons:
        return remedy
    # A task with an unknown reason gets the remedy of RUN_TASK_FAILED.
    remedies = [REMEDIES.get(reason or "", remedy) for reason in task_reasons]
    permanent = [each for each in remedies if not each.retry]
    return Remedy(len(permanent) < len(remedies), (permanent or remedies)[0].next_step)
