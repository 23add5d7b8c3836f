# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What an error of an AWS call means: try again, gone, or refused for good."""

from __future__ import annotations

from typing import Final

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
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from airflow_healthomics.exceptions import HealthOmicsApiError

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

#: What an IAM policy must allow, where the operation's own name is not the whole answer.
_START_RUN_TOO: Final = " (and iam:PassRole on the role_arn)"


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
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in TRANSIENT_CODES or http_status in (408, 429) or http_status >= 500
    # A certificate that does not verify now will not verify later.
    return isinstance(error, (ConnectionError, HTTPClientError)) and not isinstance(error, SSLError)


def is_unreachable(error: BaseException) -> bool:
    """Whether HealthOmics was never reached: no such host, a refused connection, TLS, an unknown proxy."""
    return isinstance(error, (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError))


def may_be_wrong_state(error: BaseException) -> bool:
    """Whether what the call is about may be in the wrong state for it; nobody documents by which error."""
    return error_code(error) in {"ConflictException", "ValidationException"}


def is_throttling(error: BaseException) -> bool:
    """Whether the account has made too many calls, so that making others instead would be no better."""
    return error_code(error) in _THROTTLING_CODES


def is_access_denied(error: BaseException) -> bool:
    """Whether the IAM policy does not allow the call."""
    return error_code(error).startswith("AccessDenied")


def is_credentials_error(error: BaseException) -> bool:
    """Whether AWS does not accept who calls, so that any other call would meet the same."""
    if isinstance(error, ClientError):
        return error_code(error) in _CREDENTIALS_CODES or bool(_sts_operation(error))
    return isinstance(error, _CREDENTIALS_ERRORS)


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
