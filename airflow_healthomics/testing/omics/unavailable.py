# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Operations that the local HealthOmics refuses."""

from __future__ import annotations

import re
from typing import Final

from airflow_healthomics.testing.local import LOCAL

from .exceptions import HealthOmicsError, NotImplementedHereError, error_of

_MESSAGE: Final = "Annotation stores and variant stores are not open to new customers"
_CLOSED: Final = re.compile(r"[A-Z][a-z]+(?:Annotation|Variant)\w+")


def is_closed(operation: str) -> bool:
    """Whether an operation belongs to annotation stores and variant stores."""
    return _CLOSED.fullmatch(operation) is not None


def refusal(operation: str) -> HealthOmicsError:
    """
    Return the error of an operation that is not implemented.

    "AWS HealthOmics variant stores and annotation stores are no longer open to new customers" (user guide,
    page "cross-account-sharing"). The account of a test is a new customer.
    """
    if is_closed(operation):
        return error_of(LOCAL.options.closed_error, f"{_MESSAGE}: {operation}")
    return NotImplementedHereError(f"{operation} is not implemented by the local HealthOmics")
