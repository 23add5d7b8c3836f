# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The event that ends a wait in the triggerer and resumes the task."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsOutcomeUnknownError


class WaitEvent(StrEnum):
    """How a wait in the triggerer ended."""

    ENDED = "ended"
    ERROR = "error"
    REFUSED = "refused"


def to_event(summary: dict[str, Any]) -> dict[str, Any]:
    """
    Return the payload of the event for a run or batch that has ended.

    :param summary: summary of the run or batch
    """
    return {"event": WaitEvent.ENDED.value, "summary": summary}


def summary_from_event(event: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the summary of the run or batch from the trigger's event.

    :param event: payload of the event
    :raises HealthOmicsOutcomeUnknownError: if polls were refused for too long
    :raises HealthOmicsApiError: if the trigger failed otherwise
    """
    match event:
        case {"event": WaitEvent.ENDED.value, "summary": dict(summary)}:
            return summary
        case {"event": WaitEvent.ERROR.value, "message": message, "code": code}:
            raise HealthOmicsApiError(message, code)
        case {
            "event": WaitEvent.REFUSED.value,
            "subject": str(subject),
            "reason": str(reason),
            "code": str(code),
            "seconds": float() | int() as seconds,
        }:
            raise HealthOmicsOutcomeUnknownError(subject, reason, code, seconds)
    raise HealthOmicsOutcomeUnknownError(
        "the run or batch", "the trigger resumed the task without a valid event"
    )
