# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The errors pickle, and show Airflow whether to retry."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from airflow_healthomics import exceptions
from airflow_healthomics.compat import AirflowException, AirflowFailException
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsRequestError,
    HealthOmicsRunBatchFailedError,
    HealthOmicsRunBatchFailedPermanentlyError,
    HealthOmicsRunFailedError,
    HealthOmicsRunFailedPermanentlyError,
)

RUN_FAILED = ("1234567", "FAILED", "OUT_OF_MEMORY_ERROR", "Task 7 ran out of memory", "https://console/run")


def sample_of(error: type[HealthOmicsError]) -> HealthOmicsError:
    """Return an error with a value for each of its arguments, so future errors are tested too."""
    if error.__init__ is HealthOmicsError.__init__:
        return error("something")
    samples = {
        "bool": True,
        "float": 1.5,
        "Sequence[str]": ["one thing", "another"],
        "Mapping[str, int]": {"FAILED": 7},
    }
    return error(
        *(
            samples.get(str(parameter.annotation), f"<{name}>")
            for name, parameter in inspect.signature(error).parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        )
    )


ERRORS = [
    HealthOmicsRequestError("StartRun", ["role_arn is required"]),
    HealthOmicsApiError("GetRun was refused"),
    HealthOmicsRunFailedError("1234567", "CANCELLED"),
    *(
        sample_of(error)
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, HealthOmicsError)
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_it_pickles(error: HealthOmicsError, way: Any) -> None:
    """Type, message and attributes survive."""
    again = way(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (HealthOmicsError, AirflowException),
        (HealthOmicsRequestError, HealthOmicsError),
        (HealthOmicsRequestError, ValueError),
        (HealthOmicsRequestError, AirflowFailException),
        (HealthOmicsApiError, HealthOmicsError),
        (HealthOmicsRunFailedError, HealthOmicsError),
        (HealthOmicsRunFailedPermanentlyError, HealthOmicsRunFailedError),
        (HealthOmicsRunFailedPermanentlyError, AirflowFailException),
        (HealthOmicsRunBatchFailedPermanentlyError, HealthOmicsRunBatchFailedError),
        (HealthOmicsRunBatchFailedPermanentlyError, AirflowFailException),
    ],
)
def test_the_tree(error: type, base: type) -> None:
    """Catching the base catches the leaf."""
    assert issubclass(error, base)


def test_a_failed_run_may_be_retried() -> None:
    """Airflow applies the DAG's retries, unless the error is the permanent one."""
    assert not issubclass(HealthOmicsRunFailedError, AirflowFailException)


def test_a_failed_run_has_typed_attributes() -> None:
    """A callback reads why a run failed without parsing text."""
    error = HealthOmicsRunFailedError(*RUN_FAILED)
    assert (error.run_id, error.status, error.failure_reason) == RUN_FAILED[:3]
    assert (error.status_message, error.console_url) == RUN_FAILED[3:]


@pytest.mark.parametrize("part", RUN_FAILED)
def test_a_failed_run_has_a_complete_message(part: str) -> None:
    """It has run, status, AWS's reason and text, and the console link."""
    assert part in str(HealthOmicsRunFailedError(*RUN_FAILED))


def test_a_failed_run_without_a_reason_shows_no_none() -> None:
    """Facts that AWS does not return are left out."""
    assert "None" not in str(HealthOmicsRunFailedError("1234567", "CANCELLED"))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_bad_request_lists_all_problems(count: int) -> None:
    """One error has everything that breaks a rule."""
    problems = [f"argument_{number} is wrong" for number in range(count)]
    error = HealthOmicsRequestError("StartRun", problems)
    assert all(problem in str(error) for problem in problems)
    assert "StartRun" in str(error)
    assert tuple(error.problems) == tuple(problems)
