# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Meaning of AWS errors and incomplete responses: transient, not found, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from botocore import exceptions
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
from airflow_healthomics.service.jobs import JOB_TYPES

try:
    from airflow.sdk.exceptions import AirflowRuntimeError
except ImportError:  # Airflow 2
    AirflowRuntimeError = OSError  # type: ignore[assignment,misc]

#: Errors of a connection look-up while Airflow's own API or database fails.
AIRFLOW_API_ERRORS: Final = (AirflowRuntimeError, OSError)

_THROTTLING_CODES: Final = frozenset(
    {"ThrottlingException", "SlowDown", "Throttling", "TooManyRequestsException"}
)

#: Codes of transient errors. Codes in -Exception are from HealthOmics
#: (https://docs.aws.amazon.com/omics/latest/api/CommonErrors.html and the errors of each operation). The
#: others are from AWS front ends of any service. ConditionalRequestConflict is from S3, after concurrent
#: conditional writes (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
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

#: Codes of errors about the credentials rather than the call.
#: https://docs.aws.amazon.com/omics/latest/api/CommonErrors.html, and codes from STS and request signing.
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

#: Other codes that the service documentation has: of HealthOmics, of AWS front ends, and of S3.
#: https://docs.aws.amazon.com/omics/latest/api/CommonErrors.html,
#: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_FURTHER_CODES: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ConflictException",
        "NoSuchBucket",
        "NoSuchKey",
        "NotSupportedOperationException",
        "PreconditionFailed",
        "RangeNotSatisfiableException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ValidationException",
    }
)

#: botocore's errors for missing or temporarily unavailable credentials.
_CREDENTIALS_ERRORS: Final = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

#: Members in every answer of HealthOmics, by operation. AWS's model requires none of them, but an answer
#: without them comes from a proxy.
_REQUIRED_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "GetRun": ("id", "arn", "status", "creationTime"),
    "GetBatch": ("id", "arn", "status", "creationTime"),
    **{f"Get{each.operation}": ("id", "status", "creationTime") for each in JOB_TYPES.values()},
}

_Answer = TypeVar("_Answer", bound=Mapping[str, Any])

#: Operations that pass a role, and the additional permission that they require.
_PASSING_A_ROLE: Final = (
    "StartRun",
    "StartReadSetImportJob",
    "StartReferenceImportJob",
    "StartReadSetExportJob",
)
_ROLE_TOO: Final = " (and iam:PassRole on the role_arn)"


class IncompleteAnswerError(BotoCoreError):
    """
    An answer lacks a member that HealthOmics always returns, so it comes from a proxy.

    :param operation: API operation, such as ``GetRun``
    :param member: missing member of the answer
    """

    fmt = "The answer to {operation} lacks {member}, so it comes from a proxy instead of HealthOmics"


def checked_answer(operation: str, answer: _Answer, uuid: str | None = None) -> _Answer:
    """
    Return an answer unchanged if it has all members that HealthOmics always returns.

    :param operation: ``GetRun``, ``GetBatch``, the Get operation of a job, or a start
    :param answer: of the operation
    :param uuid: the uuid of the run or batch, if known; then the answer must have one too
    :raises IncompleteAnswerError: if a member is missing. This is transient: HealthOmics may answer later.
    """
    for member in (*_REQUIRED_MEMBERS.get(operation, ("id",)), *(["uuid"] if uuid else [])):
        if not answer.get(member):
            raise IncompleteAnswerError(operation=operation, member=member)
    return answer


def error_code(error: BaseException) -> str:
    """Return the AWS error code, or the class name of an error without an answer from AWS."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def bounded_code(code: str) -> str:
    """
    Return a code if it is documented, or the class name of an error of botocore; else "other".

    :param code: return value of :func:`error_code`, or "ok"
    """
    is_known = code in TRANSIENT_CODES or code in _CREDENTIALS_CODES or code in _FURTHER_CODES
    return code if code == "ok" or is_known or hasattr(exceptions, code) else "other"


def is_not_found(error: BaseException) -> bool:
    """Whether the resource does not exist."""
    return error_code(error) == "ResourceNotFoundException"


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: throttling, service faults, network errors."""
    if isinstance(error, ClientError):
        http_status = _http_status(error)
        return error_code(error) in TRANSIENT_CODES or http_status in (408, 429) or http_status >= 500
    if isinstance(error, IncompleteAnswerError):
        return True
    # A certificate that does not verify now will not verify later.
    return isinstance(error, (ConnectionError, HTTPClientError)) and not isinstance(error, SSLError)


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed later, also because somebody renews the credentials."""
    return is_transient(error) or is_credentials_error(error)


def is_unreachable(error: BaseException) -> bool:
    """Whether the call never reached HealthOmics: unknown host, refused connection, TLS or proxy error."""
    return isinstance(error, (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError))


def is_invalid_request(error: BaseException) -> bool:
    """Whether the request breaks a rule, so that only its author can fix it."""
    return isinstance(error, ParamValidationError) or error_code(error) == "ValidationException"


def may_be_wrong_state(error: BaseException) -> bool:
    """Whether the resource may be in the wrong state for the call. AWS does not document the error code."""
    return error_code(error) in {"ConflictException", "ValidationException"}


def is_throttling(error: BaseException) -> bool:
    """Whether AWS throttles the account, so that other calls would fail as well."""
    if error_code(error) in _THROTTLING_CODES:
        return True
    # Front ends may use other codes.
    return isinstance(error, ClientError) and _http_status(error) == 429


def is_access_denied(error: BaseException) -> bool:
    """Whether the IAM policy does not allow the call."""
    return error_code(error).startswith("AccessDenied")


def is_credentials_error(error: BaseException) -> bool:
    """Whether AWS rejects the credentials, so that other calls would fail as well."""
    if isinstance(error, ClientError):
        return error_code(error) in _CREDENTIALS_CODES or bool(_sts_operation(error))
    return isinstance(error, _CREDENTIALS_ERRORS)


def _http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _sts_operation(error: BaseException) -> str:
    """Return the STS operation that failed, if botocore called it to get credentials."""
    operation: str = error.operation_name if isinstance(error, ClientError) else ""
    return operation if operation.startswith("Assume") else ""


def api_error(
    operation: str, subject: str, error: ClientError | BotoCoreError, place: str | None = None
) -> HealthOmicsApiError:
    """
    Return an error with the refused call and advice.

    :param operation: API operation, such as ``GetRun``
    :param subject: resource of the call, such as ``run 1234567``
    :param error: from botocore
    :param place: account and region of the connection, for a resource that was not found
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
            + (_ROLE_TOO if operation in _PASSING_A_ROLE else "")
            + "."
        )
    elif is_credentials_error(error):
        advice = " Check the credentials of the Airflow connection."
    elif code == "ServiceQuotaExceededException" and operation == "StartRun":
        advice = (
            " If the account has reached its limit of stored runs, delete some, and use retention_mode "
            "REMOVE: HealthOmics removes such runs automatically. Runs with RETAIN stay until deleted."
        )
    elif is_not_found(error):
        advice = (
            " Check the id, and the account and region of the connection"
            + (f" ({place})" if place else "")
            + ". The resource may also have been deleted."
        )
    return HealthOmicsApiError(
        f"{operation} for {subject} failed with {code}: {text.rstrip('.')}.{advice}", code
    )


@contextmanager
def explaining(operation: str, subject: str) -> Iterator[None]:
    """
    Raise the error of a refused call with advice. Transient errors stay, since Airflow may retry the task.

    :param operation: API operation, such as ``GetRunGroup``
    :param subject: resource of the call, such as ``run group 1234567``
    :raises HealthOmicsApiError: if the call is refused
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise
        raise api_error(operation, subject, error) from error


def is_gone(error: HealthOmicsApiError) -> bool:
    """Whether a call was refused because its resource does not exist."""
    return error.__cause__ is not None and is_not_found(error.__cause__)
