# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What an answer or an error of an AWS call means: try again, gone, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from airflow_healthomics.exceptions import HealthOmicsApiError

try:
    from airflow.sdk.exceptions import AirflowRuntimeError
except ImportError:  # Airflow 2
    AirflowRuntimeError = OSError  # type: ignore[assignment,misc]

#: What looking a connection up may raise while Airflow itself is in trouble.
AIRFLOW_API_ERRORS: Final = (AirflowRuntimeError, OSError)

_THROTTLING_CODES: Final = frozenset(
    {"ThrottlingException", "SlowDown", "Throttling", "TooManyRequestsException"}
)

#: Errors that the same call may not meet again, by code. Those in -Exception are HealthOmics' own
#: (https://docs.aws.amazon.com/omics/latest/api/CommonErrors.html and the errors of each operation), the
#: others those which AWS front ends answer with for any service, and S3 to a conditional write that meets
#: another one (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
TRANSIENT_CODES: Final = _THROTTLING_CODES | frozenset(
    {
        "RequestTimeoutException",
        "InternalServerException",
        "ServiceUnavailableException",
        "ConditionalRequestConflict",
        "InternalFailure",
        "RequestTimeout",
        "ServiceUnavailable",
    }
)

#: Errors that come of the credentials and not of the call, by code.
#: https://docs.aws.amazon.com/omics/latest/api/CommonErrors.html, and what STS and signing answer with.
_CREDENTIALS_CODES: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

#: What botocore raises where there are no credentials, or none for now.
_CREDENTIALS_ERRORS: Final = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

#: Members that GetRun and GetBatch always answer with, by operation. AWS's model requires none of them, but
#: an answer without them was written by a proxy on the way.
_REQUIRED_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "GetRun": ("id", "arn", "status", "creationTime"),
    "GetBatch": ("id", "arn", "status", "creationTime"),
}

_Answer = TypeVar("_Answer", bound=Mapping[str, Any])

#: What an IAM policy must allow, where the operation's own name is not the whole answer.
_START_RUN_TOO: Final = " (and iam:PassRole on the role_arn)"


class IncompleteAnswerError(BotoCoreError):
    """
    An answer lacks what HealthOmics always answers with, so it comes from a proxy on the way.

    :param operation: API operation, such as ``GetRun``
    :param member: that the answer lacks
    """

    fmt = "{operation} was answered without {member}: the answer comes from a proxy on the way"


def checked_answer(operation: str, answer: _Answer, *further: str) -> _Answer:
    """
    Return an answer that has the members that HealthOmics always answers with.

    :param operation: ``GetRun``, ``GetBatch`` or a call that starts something
    :param answer: of the operation
    :param further: other members that it must have
    :raises IncompleteAnswerError: if one is absent; the same call may be answered by HealthOmics later
    """
    for member in (*_REQUIRED_MEMBERS.get(operation, ("id",)), *further):
        if not answer.get(member):
            raise IncompleteAnswerError(operation=operation, member=member)
    return answer


def error_code(error: BaseException) -> str:
    """Return the AWS error code, or the class name of an error that no answer of AWS caused."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def is_not_found(error: BaseException) -> bool:
    """Whether the resource does not exist (any more)."""
    return error_code(error) == "ResourceNotFoundException"


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: throttling, a fault of the service, a broken connection."""
    if isinstance(error, ClientError):
        http_status = _http_status(error)
        return error_code(error) in TRANSIENT_CODES or http_status in (408, 429) or http_status >= 500
    if isinstance(error, IncompleteAnswerError):
        return True
    # A certificate that does not verify now will not verify later.
    return isinstance(error, (ConnectionError, HTTPClientError)) and not isinstance(error, SSLError)


def is_unreachable(error: BaseException) -> bool:
    """Whether HealthOmics was never reached: no such host, a refused connection, TLS, an unknown proxy."""
    return isinstance(error, (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError))


def is_invalid_request(error: BaseException) -> bool:
    """Whether the request itself breaks a rule, so that nobody but its author can correct it."""
    return isinstance(error, ParamValidationError) or error_code(error) == "ValidationException"


def may_be_wrong_state(error: BaseException) -> bool:
    """Whether what the call is about may be in the wrong state for it; nobody documents by which error."""
    return error_code(error) in {"ConflictException", "ValidationException"}


def is_throttling(error: BaseException) -> bool:
    """Whether the account has made too many calls, so that making others instead would be no better."""
    if error_code(error) in _THROTTLING_CODES:
        return True
    # A front end may call it otherwise.
    return isinstance(error, ClientError) and _http_status(error) == 429


def is_access_denied(error: BaseException) -> bool:
    """Whether the IAM policy does not allow the call."""
    return error_code(error).startswith("AccessDenied")


def is_credentials_error(error: BaseException) -> bool:
    """Whether AWS does not accept who calls, so that any other call would meet the same."""
    if isinstance(error, ClientError):
        return error_code(error) in _CREDENTIALS_CODES or bool(_sts_operation(error))
    return isinstance(error, _CREDENTIALS_ERRORS)


def _http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _sts_operation(error: BaseException) -> str:
    """Return the call that botocore has made on its own to get credentials, if that is what has failed."""
    operation: str = error.operation_name if isinstance(error, ClientError) else ""
    return operation if operation.startswith("Assume") else ""


def api_error(
    operation: str, subject: str, error: ClientError | BotoCoreError, place: str | None = None
) -> HealthOmicsApiError:
    """
    Say what was refused and what to do about it.

    :param operation: API operation, such as ``GetRun``
    :param subject: what it was about, such as ``run 1234567``
    :param error: what botocore raised
    :param place: account and region that the connection leads to, if something is not found there
    """
    code = error_code(error)
    text = (
        str(error.response.get("Error", {}).get("Message", ""))
        if isinstance(error, ClientError)
        else str(error)
    )
    advice = ""
    if is_access_denied(error):
        sts_operation = _sts_operation(error)
        permission = f"sts:{sts_operation}" if sts_operation else f"omics:{operation}"
        advice = (
            f" The IAM policy must allow {permission}"
            + (_START_RUN_TOO if operation == "StartRun" else "")
            + "."
        )
    elif is_credentials_error(error):
        advice = " Check the credentials of the Airflow connection."
    elif code == "ServiceQuotaExceededException" and operation == "StartRun":
        advice = (
            " If it is the limit of stored runs: delete some, and use retention_mode REMOVE, for which "
            "HealthOmics makes room. Runs with RETAIN stay until somebody deletes them."
        )
    elif is_not_found(error):
        advice = (
            " Check the id, the account and the region of the connection"
            + (f", which leads to {place}" if place else "")
            + "; what was deleted is not found either."
        )
    return HealthOmicsApiError(
        f"{operation} of {subject} was refused with {code}: {text.rstrip('.')}.{advice}", code
    )
