# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Failures of a watcher's calls: the next attempt and the warnings."""

from __future__ import annotations

import time
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.resources.refusals import Refusals
from airflow_healthomics.service.errors import AIRFLOW_API_ERRORS, error_code, is_access_denied

#: Errors that a later attempt may not meet.
FAILURES: Final = (ClientError, BotoCoreError, AirflowException, *AIRFLOW_API_ERRORS)


class Failures:
    """
    Failures since the last success. The first one is logged as a warning, and then one each ten minutes.

    :param subject: beginning of the log line
    :param log: logger
    :ivar reason: reason of the last failure
    """

    def __init__(self, subject: str, log: Any) -> None:
        self.reason: str | None = None
        self._subject = subject
        self._log = log
        self._refusals = Refusals()

    @property
    def pause(self) -> float:
        """Seconds until the next attempt; 0 without failures."""
        return 0.0 if self._refusals.since is None else self._refusals.pause

    @property
    def seconds(self) -> float:
        """Seconds since the first failure."""
        return self._refusals.seconds(time.monotonic())

    def add(self, error: BaseException) -> None:
        """Count a failure."""
        operation = f"{error.operation_name}: " if isinstance(error, ClientError) else ""
        advice = " (the IAM policy must allow it)" if is_access_denied(error) else ""
        self.reason = f"{operation}{error_code(error)}{advice}"
        if self._refusals.add(time.monotonic()):
            self._log.warning(
                "%s: %s. The watcher continues, and nothing is lost", self._subject, self.reason
            )

    def end(self) -> None:
        """Reset after a success."""
        if (seconds := self._refusals.end(time.monotonic())) is not None:
            self._log.info("%s: this is over, after %.0f s", self._subject, seconds)
