# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - the classes are named after the service model
"""The errors of HealthOmics: one class for each error of the service model."""

from __future__ import annotations

import json

from moto.core.exceptions import ServiceException


class HealthOmicsError(ServiceException):
    """An error answer: a code, an HTTP status and a message."""

    status = 400

    def response(self) -> tuple[int, dict[str, str], str]:
        """Return the answer in the form that moto sends."""
        headers = {"x-amzn-errortype": self.code, "content-type": "application/json"}
        return self.status, headers, json.dumps({"message": self.message})


class AccessDeniedException(HealthOmicsError):
    code, status = "AccessDeniedException", 403


class ConflictException(HealthOmicsError):
    code, status = "ConflictException", 409


class InternalServerException(HealthOmicsError):
    code, status = "InternalServerException", 500


class NotSupportedOperationException(HealthOmicsError):
    code, status = "NotSupportedOperationException", 405


class RangeNotSatisfiableException(HealthOmicsError):
    code, status = "RangeNotSatisfiableException", 416


class RequestTimeoutException(HealthOmicsError):
    code, status = "RequestTimeoutException", 408


class ResourceNotFoundException(HealthOmicsError):
    code, status = "ResourceNotFoundException", 404


class ServiceQuotaExceededException(HealthOmicsError):
    code, status = "ServiceQuotaExceededException", 402


class ThrottlingException(HealthOmicsError):
    code, status = "ThrottlingException", 429


class ValidationException(HealthOmicsError):
    code, status = "ValidationException", 400


class NotImplementedHereError(HealthOmicsError):
    """
    The local HealthOmics does not implement an operation of the service.

    The service never answers 501, and botocore does not retry it.
    """

    code, status = "NotSupportedOperationException", 501


_BY_CODE: dict[str, type[HealthOmicsError]] = {
    error.code: error
    for error in (
        AccessDeniedException,
        ConflictException,
        InternalServerException,
        NotSupportedOperationException,
        RangeNotSatisfiableException,
        RequestTimeoutException,
        ResourceNotFoundException,
        ServiceQuotaExceededException,
        ThrottlingException,
        ValidationException,
    )
}


def error_of(code: str, message: str, status: int | None = None) -> HealthOmicsError:
    """Create an error by its code. A code unknown to HealthOmics requires a status."""
    known = _BY_CODE.get(code)
    if known is None and status is None:
        raise ValueError(
            f"{code} is not an error of HealthOmics: pass its HTTP status, or use one of {sorted(_BY_CODE)}"
        )
    error = (known or HealthOmicsError)(code, message)
    if status is not None:
        error.status = status
    return error
