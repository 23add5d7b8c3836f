# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the page's API answers with, and for how long it is good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_healthomics.run_page import payload
from airflow_healthomics.service.errors import (
    error_code,
    is_access_denied,
    is_credentials_error,
    is_not_found,
    is_transient,
)

#: Seconds for which an answer is good while something may change, and after that; an error, and one that
#: more calls would make worse.
POLL_SECONDS: Final = 10
ENDED_SECONDS: Final = 300
ERROR_SECONDS: Final = 10
THROTTLED_SECONDS: Final = 20

#: Seconds for which a failure is good that not all is known of.
INCOMPLETE_SECONDS: Final = 30


class PageError(Exception):
    """
    The page cannot be told what it asked for.

    :param status: HTTP status
    :param detail: for a person
    :param retry_after: seconds after which it may be asked for again, if more calls would make it worse
    """

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


def error_lifetime(error: BaseException) -> float:
    """Return for how many seconds an error is remembered."""
    return getattr(error, "retry_after", None) or ERROR_SECONDS


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """
    An answer of the page's API, ready to be sent.

    :param body: JSON
    :param body_without_logs: the same for those who may not read logs
    :param lifetime: seconds for which it is good
    :param memory: what the next answer need not ask for again, since it does not change
    """

    body: bytes
    body_without_logs: bytes
    lifetime: float
    memory: Mapping[Any, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the answer."""
        bodies = {id(body): len(body) for body in (self.body, self.body_without_logs)}
        return sum(bodies.values())


def make_page(answer: Mapping[str, Any], *, is_complete: bool = True, **more: Any) -> Page:
    """
    Return an answer as it is sent.

    :param answer: of :mod:`~airflow_healthomics.run_page.payload`
    :param is_complete: whether asking again can tell no more of what has ended
    :param more: as for :class:`Page`
    """
    ended = ENDED_SECONDS if is_complete else INCOMPLETE_SECONDS
    lifetime = float(answer["pollSeconds"] if answer["active"] else ended)
    body = _bytes(answer)
    bare = _bytes(payload.without_logs(answer))
    return Page(body=body, body_without_logs=body if bare == body else bare, lifetime=lifetime, **more)


def page_error(error: Exception, operation: str, subject: str, aws_conn_id: str | None) -> PageError:
    """
    Say what the error of a call means for the page, without AWS's own text, which may quote the request.

    :param error: what botocore raised
    :param operation: API operation, such as ``GetRun``
    :param subject: what it was about, such as ``run 1234567``
    :param aws_conn_id: Airflow connection
    """
    code = error_code(error)
    who = f"the connection {aws_conn_id}" if aws_conn_id else "the API server"
    if is_transient(error):
        return PageError(
            503, f"HealthOmics does not answer for now ({operation}: {code}).", THROTTLED_SECONDS
        )
    if is_not_found(error):
        return not_found(subject)
    if is_access_denied(error):
        return PageError(502, f"The IAM policy of {who} must allow omics:{operation}.")
    if is_credentials_error(error):
        return PageError(502, f"AWS does not accept the credentials of {who} ({code}).")
    return PageError(502, f"{operation} of {subject} was refused with {code}.")


def not_found(subject: str) -> PageError:
    return PageError(404, f"HealthOmics does not find {subject} (any more).")


def _bytes(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
