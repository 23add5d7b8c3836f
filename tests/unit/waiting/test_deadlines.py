# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The remaining time and attempts of a task."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_healthomics.waiting.deadlines import has_tries_left, is_trigger_timeout, time_left
from tests.unit.conftest import TRIGGER_TIMEOUT, Clock, FakeTaskInstance, context_of


@pytest.mark.parametrize(
    ("timeout", "elapsed", "left"), [(None, 10, None), (60, 10, 50), (60, 59.5, 1), (60, 600, 1)]
)
def test_the_timeout_counts_from_the_start_of_the_attempt(
    clock: Clock, timeout: float | None, elapsed: float, left: float | None
) -> None:
    """A deferral of less than a second would time out before its trigger runs."""
    context = context_of(FakeTaskInstance())
    task = SimpleNamespace(execution_timeout=None if timeout is None else timedelta(seconds=timeout))
    clock.advance(elapsed)
    assert time_left(task, context) == (None if left is None else timedelta(seconds=left))


@pytest.mark.parametrize(
    ("method", "kwargs", "is_timeout"),
    [
        ("__fail__", {"error": TRIGGER_TIMEOUT}, True),
        ("__fail__", {"error": "Trigger failure"}, False),
        ("__fail__", {}, False),
        ("__fail__", None, False),
        ("resume", {"error": TRIGGER_TIMEOUT}, False),
    ],
)
def test_only_airflows_message_is_a_timeout(method: str, kwargs: Any, is_timeout: bool) -> None:
    """Any other failure of a trigger comes from Airflow."""
    assert is_trigger_timeout(method, kwargs) is is_timeout


@pytest.mark.parametrize(("number", "has_some"), [(1, True), (2, True), (3, False)])
def test_an_attempt_has_tries_left_up_to_the_last(number: int, has_some: bool) -> None:
    """The number of retries is one less than that of attempts."""
    assert has_tries_left(context_of(FakeTaskInstance(try_number=number, max_tries=2))) is has_some
