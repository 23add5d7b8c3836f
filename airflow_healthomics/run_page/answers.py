# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Responses and errors of the page's API, and how long they are cached."""

from __future__ import annotations

import gzip
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

#: Lifetime of answers in seconds: of an active run,
POLL_SECONDS: Final = 10
#: of a run in a terminal state,
ENDED_SECONDS: Final = 300
#: of a failed run whose diagnosis is incomplete,
INCOMPLETE_SECONDS: Final = 30
#: of an error,
ERROR_SECONDS: Final = 10
#: and of an error that more calls would aggravate.
THROTTLED_SECONDS: Final = 20

#: That of Airflow's own answers.
_COMPRESSION_LEVEL: Final = 5

#: Other services by the prefix of their operations.
_SERVICES: Final = {
    "cloudwatch": "CloudWatch",
    "logs": "CloudWatch Logs",
    "pricing": "The Price List API",
    "s3": "S3",
}


class PageError(Exception):
    """
    The page gets an error instead of an answer.

    :param status: HTTP status
    :param detail: message for the user
    :param retry_after: seconds to wait before the next request, if more calls would aggravate the error
    """

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


def error_lifetime(error: BaseException) -> float:
    """Return the lifetime of an error in seconds."""
    return getattr(error, "retry_after", None) or ERROR_SECONDS


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """
    A serialized answer of the page's API.

    It is compressed once, in the thread that fetches it, and not by Airflow for each request.

    :param body: JSON, compressed by gzip
    :param body_without_logs: the same for users who may not read logs
    :param lifetime: in seconds
    :param memory: immutable facts for the next answer, so that these are not fetched again
    """

    body: bytes
    body_without_logs: bytes
    lifetime: float
    memory: Mapping[Any, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of bytes of the answer."""
        bodies = {id(body): len(body) for body in (self.body, self.body_without_logs)}
        return sum(bodies.values())


def make_page(answer: Mapping[str, Any], *, is_complete: bool = True, **more: Any) -> Page:
    """
    Serialize an answer.

    :param answer: from :mod:`~airflow_healthomics.run_page.payload`
    :param is_complete: whether the answer is final if the run or batch is in a terminal state
    :param more: further arguments of :class:`Page`
    """
    ended = ENDED_SECONDS if is_complete else INCOMPLETE_SECONDS
    lifetime = float(answer["pollSeconds"] if answer["active"] else ended)
    body = _compressed(answer)
    bare = payload.without_logs(answer)
    return Page(
        body=body,
        body_without_logs=body if bare == answer else _compressed(bare),
        lifetime=lifetime,
        **more,
    )


def make_restricted_page(answer: Mapping[str, Any], lifetime: float) -> Page:
    """
    Serialize an answer for users who may read logs. Others get an empty one.

    :param answer: of the page's API
    :param lifetime: in seconds
    """
    return Page(body=_compressed(answer), body_without_logs=_compressed({}), lifetime=lifetime)


def page_error(error: Exception, operation: str, subject: str, aws_conn_id: str | None) -> PageError:
    """
    Convert an error of AWS for the page, without AWS's message, since that may quote the request.

    :param error: from botocore
    :param operation: API operation, such as ``GetRun``, or ``logs:GetLogEvents`` of another service
    :param subject: resource of the call, such as ``run 1234567``
    :param aws_conn_id: Airflow connection
    """
    code = error_code(error)
    if is_transient(error):
        service = _SERVICES.get(operation.partition(":")[0], "HealthOmics")
        return PageError(
            503, f"{service} is temporarily unavailable ({operation}: {code}).", THROTTLED_SECONDS
        )
    if is_not_found(error):
        return not_found(subject)
    if is_access_denied(error):
        return access_denied(operation, aws_conn_id)
    if is_credentials_error(error):
        return PageError(502, f"AWS rejects the credentials of {_owner(aws_conn_id)} ({code}).")
    return PageError(502, f"{operation} for {subject} failed with {code}.")


def access_denied(operation: str, aws_conn_id: str | None) -> PageError:
    """
    Return the error of a call that the IAM policy does not allow.

    :param operation: API operation, such as ``GetRun``, or ``logs:GetLogEvents`` of another service
    :param aws_conn_id: Airflow connection
    """
    permission = operation if ":" in operation else f"omics:{operation}"
    return PageError(502, f"The IAM policy of {_owner(aws_conn_id)} must allow {permission}.")


def not_found(subject: str) -> PageError:
    return PageError(404, f"HealthOmics does not find {subject}. It may have been deleted.")


def _owner(aws_conn_id: str | None) -> str:
    return f"the connection {aws_conn_id}" if aws_conn_id else "the API server"


def _compressed(answer: Mapping[str, Any]) -> bytes:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return gzip.compress(body, _COMPRESSION_LEVEL)
