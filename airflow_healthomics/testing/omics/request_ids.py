# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Request ids: repeating a request returns its first result (API reference of StartRun)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.testing.local import LOCAL

from .exceptions import ConflictException


@dataclass(kw_only=True, slots=True)
class Use:
    """The first request with an id: the digest of its members, its time and its result."""

    digest: bytes
    at: float
    result: Any


class RequestIds:
    """The used request ids of one account in one region, for each operation."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}

    def result(self, operation: str, params: Mapping[str, Any]) -> Any:
        """
        Return the result of the first request, or None if the id is unknown or expired.

        :raises ConflictException: if the first request was another one.
        """
        use = self._uses.get((operation, params["requestId"]))
        lifetime = LOCAL.options.request_id_lifetime
        if use is None or (lifetime is not None and use.at + lifetime <= LOCAL.clock.now()):
            return None
        if use.digest != _digest(params) and LOCAL.options.request_id_reuse == "conflict":
            raise ConflictException("The requestId was used before with another request")
        return use.result

    def remember(self, operation: str, params: Mapping[str, Any], result: object) -> None:
        """Store the result of a request."""
        use = Use(digest=_digest(params), at=LOCAL.clock.now(), result=result)
        self._uses[operation, params["requestId"]] = use

    def forget(self, operation: str, request_id: str) -> None:
        """Remove an id, so that it can be used again."""
        self._uses.pop((operation, request_id), None)


def _digest(params: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).digest()
