# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parse the JSON body of a request."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from .exceptions import ValidationException

#: AWS documents no limit. Parsers and serializers of Python recurse, and end at about 1,000 calls.
MAX_NESTING: Final = 100


def json_object(body: str | bytes) -> dict[str, Any]:
    """
    Parse a JSON object.

    :raises ValidationException: for other or invalid JSON, also for ``NaN``, which Python's parser accepts.
    """
    try:
        parsed = json.loads(body, parse_constant=_refuse)
    except RecursionError:
        raise _nested_too_deeply() from None
    except ValueError:
        raise ValidationException("the request body must be JSON") from None
    if not isinstance(parsed, dict):
        raise ValidationException("the request body must be a JSON object")
    _check_nesting(parsed)
    return parsed


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _check_nesting(parsed: dict[str, Any]) -> None:
    """Walk through the levels one after another, without recursion."""
    level: list[Any] = [parsed]
    for _ in range(MAX_NESTING):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _nested_too_deeply()


def _nested_too_deeply() -> ValidationException:
    return ValidationException(f"the request body must have at most {MAX_NESTING} levels of JSON")
