# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Texts of the service in logs and errors."""

from __future__ import annotations

import re
from typing import Final

_ELLIPSIS: Final = " … "


def shorten(text: str, limit: int) -> str:
    """
    Cut words out of the middle of a long text, since messages begin with the error and end with its cause.

    No word is cut, so that error codes stay whole, except for a very long one, longer than a quarter of the
    limit.

    :param text: a message or a line of a log
    :param limit: maximum number of characters
    """
    if len(text) <= limit:
        return text
    half = (limit - len(_ELLIPSIS)) // 2
    # One character more shows whether a word ends exactly at the cut.
    return f"{_whole_words(text[: half + 1])}{_ELLIPSIS}{_whole_words(text[: -half - 2 : -1])[::-1]}"


def _whole_words(text: str) -> str:
    """Return a text without its last word, which may be incomplete; a very long one loses a character."""
    last = re.split(r"\s", text)[-1]
    return text[: -len(last) or None].rstrip() if len(last) <= len(text) // 2 else text[:-1]
