# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Request ids and client tokens: repeating a request returns its first result.

API reference of StartRun ("requestId") and of StartReadSetImportJob ("clientToken").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_healthomics.testing.local import LOCAL

from .exceptions import ConflictException, ValidationException


@dataclass(kw_only=True, slots=True)
class Use:
    """The first request with an id: the digest of its members, its time and its result."""

    digest: bytes
    at: float
    result: Any


class RequestIds:
    """The used request ids of one account in one region, for each operation."""

    member: ClassVar[str] = "requestId"

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}

    def result(self, operation: str, params: Mapping[str, Any]) -> Any:
        """
        Return the result of the first request, or None if the id is absent, unknown or expired.

        :raises HealthOmicsError: if the first request was another one.
        """
        use = self._uses.get((operation, params.get(self.member, "")))
        lifetime = LOCAL.options.request_id_lifetime
        if use is None or (lifetime is not None and use.at + lifetime <= LOCAL.clock.now()):
            return None
        if use.digest != _digest(params):
            self.refuse_other_request()
        return use.result

    def refuse_other_request(self) -> None:
        """Refuse a used id with another request, unless the options accept it."""
        if LOCAL.options.request_id_reuse == "conflict":
            raise ConflictException("The requestId was used before with another request")

    def remember(self, operation: str, params: Mapping[str, Any], result: object) -> None:
        """Store the result of a request with an id."""
        if self.member in params:
            use = Use(digest=_digest(params), at=LOCAL.clock.now(), result=result)
            self._uses[operation, params[self.member]] = use

    def forget(self, operation: str, request_id: str) -> None:
        """Remove an id, so that it can be used again."""
        self._uses.pop((operation, request_id), None)


class ClientTokens(RequestIds):
    """The used client tokens, which are optional."""

    member = "clientToken"

    def refuse_other_request(self) -> None:
        """Refuse a used token with another request, unless the options accept it."""
        if LOCAL.options.client_token_reuse == "ValidationException":
            raise ValidationException("The clientToken was used before with another request")


def _digest(params: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).digest()
