# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How long texts of the service are shortened."""

from __future__ import annotations

import pytest

from airflow_healthomics.service.text import shorten


@pytest.mark.parametrize(
    ("text", "limit", "shortened"),
    [
        ("refused with ValidationException", 32, "refused with ValidationException"),
        (
            "refused with ValidationException: the bucket is in another region",
            45,
            "refused with … is in another region",
        ),
        ("one two three four", 17, "one two … four"),
        ("x" * 40, 13, "xxxxx … xxxxx"),
        ("failed " + "x" * 40, 33, "failed xxxxxxxx … xxxxxxxxxxxxxxx"),
        ("first\nsecond third\nlast", 17, "first … last"),
    ],
)
def test_words_stay_whole(text: str, limit: int, shortened: str) -> None:
    """A message never ends with "refused with Validat", unless a word is very long."""
    assert shorten(text, limit) == shortened
    assert len(shortened) <= limit
