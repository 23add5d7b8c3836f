# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What to do about a failed run: whether a retry can help, and the next step of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple


class Remedy(NamedTuple):
    """What to do about a failed run: whether another try may succeed, and the next step of a person."""

    retry: bool
    next_step: str


#: The next step for every documented reason, by whether another try may succeed: after faults and shortages
#: of the service, and after what says too little. The other reasons the same input meets again.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-errors.html
_NEXT_STEPS: Final = {
    True: {
        "SERVICE_ERROR": "Run it again; if that keeps failing, ask AWS Support.",
        "INSTANCE_RESERVATION_FAILED": "Run it again later, or ask for other CPUs, GPUs or memory.",
        "MODIFIED_INPUT_RESOURCE": "Run it again, and leave its inputs unchanged meanwhile.",
        "RUN_TASK_FAILED": "Read the log of the failed task.",
        "WORKFLOW_RUN_FAILED": "Read the engine log.",
    },
    False: {
        "RUN_TIMED_OUT": "Make the run shorter, or raise the maximum duration of run group or account.",
        "TASK_TIMED_OUT": "Raise the task's timeout in the workflow definition.",
        "OUT_OF_MEMORY_ERROR": "Give the task more memory in the workflow definition.",
        "FILE_SYSTEM_OUT_OF_SPACE": "Raise storage_capacity, or set storage_type to DYNAMIC.",
        "ASSUME_ROLE_FAILED": "Allow omics.amazonaws.com in the trust policy of the role_arn.",
        "ECR_PERMISSION_ERROR": "Allow omics.amazonaws.com to pull from the image's ECR repository.",
        "CANNOT_START_CONTAINER_ERROR": "Repair the task's container image.",
        "CANNOT_START_CONTAINER_SIZE_ERROR": "Make the task's container image smaller.",
        "IMAGE_VERIFICATION_FAILURE": "Push the task's container image to ECR anew.",
        "INVALID_ECR_IMAGE_URI": "Correct the URI of the task's container image.",
        "IMPORT_FAILED": "Check that the inputs exist and that the role_arn may read them.",
        "EXPORT_FAILED": "Check that the output bucket exists and that the role_arn may write to it.",
        "INPUT_URI_NOT_FOUND": "Check that the input exists and that the role_arn may read it.",
        "INVALID_RUN_PARAMETERS": "Correct the parameters file, which is read after the start.",
        "INVALID_URI_INPUT": "Correct the URI of the input.",
        "INACTIVE_OMICS_STORAGE_RESOURCE": "Activate the read set, then clear the task.",
        "INVALID_TASK_RESOURCE_VALUE": "Ask for CPUs, GPUs and memory that an instance type has.",
        "UNSUPPORTED_INPUT_SIZE": "Give the run less input.",
        "UNSUPPORTED_GPU_INSTANCE_TYPE": "Ask for a GPU that the region has.",
        "WORKFLOW_VER_VALIDATION_FAILED": "Choose a Nextflow version that HealthOmics supports.",
    },
}


#: The remedy for every documented reason.
REMEDIES: Final[Mapping[str, Remedy]] = MappingProxyType(
    {reason: Remedy(retry, step) for retry, steps in _NEXT_STEPS.items() for reason, step in steps.items()}
)


_NO_REASON: Final = Remedy(True, "Read the run log and the engine log.")


_UNKNOWN_REASON: Final = Remedy(True, "Look the reason up in the user guide, and read the engine log.")


_NOT_FAILED: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        "CANCELLED": Remedy(True, "Find out who cancelled the run; clear the task to start it again."),
        "DELETED": Remedy(True, "Find out who deleted the run; clear the task to start it again."),
    }
)


#: The same for a sensor, which starts nothing.
_SENSOR_STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CANCELLED": "Find out who cancelled the run; to run it again, clear the task that starts it.",
        "DELETED": "Check the run id, and where the connection leads. A sensor starts nothing: to run it "
        "again, clear the task that starts it.",
    }
)


def remedy_for(failure_reason: str | None, task_reasons: Sequence[str | None] = ()) -> Remedy:
    """
    Return what to do about a FAILED run.

    RUN_TASK_FAILED says nothing by itself. Such a run is not retried if all its failed tasks have reasons
    that they will meet again; with a mixture, the engine may have repeated one of them with success.

    :param failure_reason: of the run, if there is one
    :param task_reasons: of its failed tasks, None where unknown
    """
    if not failure_reason:
        return _NO_REASON
    remedy = REMEDIES.get(failure_reason, _UNKNOWN_REASON)
    if failure_reason != "RUN_TASK_FAILED" or not task_reasons:
        return remedy
    # What a task's unknown reason calls for is what RUN_TASK_FAILED does.
    remedies = [REMEDIES.get(reason or "", remedy) for reason in task_reasons]
    hopeless = [each for each in remedies if not each.retry]
    return Remedy(len(hopeless) < len(remedies), (hopeless or remedies)[0].next_step)
