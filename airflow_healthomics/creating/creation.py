# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Create a resource once, whichever tasks create it at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tenacity import Retrying, retry_if_exception, retry_if_result, stop_after_delay, wait_random

from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.requests.creation import creation_request_id
from airflow_healthomics.service.errors import error_code, explaining

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log

#: Seconds for which a new resource may not be found, or its creation may be in flight elsewhere. AWS
#: documents neither. One that is still not found was deleted, and HealthOmics still knew its request ID.
_PATIENCE: Final = 10.0

#: Pause in seconds between two calls of these.
_PAUSE: Final = wait_random(1.0, 2.0)

#: Request IDs to try. More would mean that a resource is deleted as fast as it is created.
_MAX_REPETITIONS: Final = 5


class Creation(NamedTuple):
    """
    The creation of a resource whose name is not unique, so that its request ID must prevent a duplicate.

    :param operation: API operation that creates it
    :param noun: what log lines and errors call it
    :param identity: JSON values; tasks with equal ones create one resource. ``name`` is shown in errors.
    :param create: makes the call with a request ID, and returns the id of the resource
    :param exists: whether a resource is found
    :param log: the task's log
    """

    operation: str
    noun: str
    identity: Mapping[str, Any]
    create: Callable[[str], str]
    exists: Callable[[str], bool]
    log: Log

    def run(self) -> str:
        """
        Return the id of the created resource.

        :raises HealthOmicsApiError: if the call is refused
        """
        for repetition in range(_MAX_REPETITIONS):
            request_id = creation_request_id(self.operation, self.identity, time.time(), repetition)
            with explaining(self.operation, f"the name {self.identity['name']}"):
                created = _in_flight()(self.create, request_id)
            if _visible()(self.exists, created):
                return created
            self.log.info("HealthOmics %s %s was deleted, so another one is created", self.noun, created)
        raise HealthOmicsApiError(
            f"{self.operation} succeeded {_MAX_REPETITIONS} times, but no created {self.noun} is found. "
            "Check whether something deletes them."
        )


def _in_flight() -> Retrying:
    return Retrying(
        retry=retry_if_exception(lambda error: error_code(error) == "ConflictException"),
        stop=stop_after_delay(_PATIENCE),
        wait=_PAUSE,
        sleep=_sleep,
        reraise=True,
    )


def _visible() -> Retrying:
    return Retrying(
        retry=retry_if_result(lambda is_found: not is_found),
        stop=stop_after_delay(_PATIENCE),
        wait=_PAUSE,
        sleep=_sleep,
        retry_error_callback=lambda _: False,
    )


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
