# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that delete the records of old runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from airflow_healthomics.operators import HealthOmicsDeleteRunsOperator
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, calls_of

DAY = 86_400


@pytest.fixture
def delete(context: Context) -> Callable[..., Any]:
    """Run a task that deletes runs older than a day, and return its counts."""

    def run(**arguments: Any) -> Any:
        given = {"older_than_days": 1, "is_dry_run": False, "botocore_config": ONE_ATTEMPT, **arguments}
        return HealthOmicsDeleteRunsOperator(task_id="a_task", **given).execute(context)

    return run


@pytest.fixture
def run_of(omics: Control, clock: Clock, started: Callable[..., Any]) -> Callable[..., str]:
    """Start a run that ends in a status after ten seconds, and return its id."""
    omics.set_options(manual=True)

    def run(status: str = "COMPLETED", **arguments: Any) -> str:
        run_id = str(started(**arguments)["id"])
        clock.advance(10)
        if status != "RUNNING":
            omics.advance(status, run_id=run_id)
        return run_id

    return run


def remaining(omics: Control) -> list[str]:
    """Return the ids of the runs that were not deleted."""
    return [run["id"] for run in omics.runs() if run["status"] != "DELETED"]


def test_only_old_runs_that_ended_are_deleted(
    omics: Control, clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any]
) -> None:
    """An active run remains however old it is, and so does one that ended fewer than the given days ago."""
    old = [run_of(status) for status in ("COMPLETED", "FAILED", "CANCELLED")]
    active = run_of("RUNNING")
    clock.advance(DAY - 45)
    late = run_of()
    assert delete() == {"matched": 0, "deleted": 0, "refused": 0}
    clock.advance(30)
    assert delete() == {"matched": len(old), "deleted": len(old), "refused": 0}
    assert remaining(omics) == [active, late]


def test_a_dry_run_is_the_default(
    omics: Control,
    clock: Clock,
    run_of: Callable[..., str],
    delete: Callable[..., Any],
    context: Context,
    logged: Callable[[], str],
) -> None:
    """The log and the counts have the runs, without their names."""
    run_id = run_of(name="a patient")
    clock.advance(2 * DAY)
    task = HealthOmicsDeleteRunsOperator(task_id="a_task", older_than_days=1)
    assert task.execute(context) == {"matched": 1, "deleted": 0, "refused": 0}
    assert remaining(omics) == [run_id]
    assert calls_of(omics, "DeleteRun") == 0
    text = logged()
    assert f"Run {run_id}, COMPLETED" in text
    assert "is_dry_run=False" in text
    assert "a patient" not in text


def test_the_log_names_the_oldest(
    clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any], logged: Callable[[], str]
) -> None:
    """The log has a limited number of lines."""
    run_ids = [run_of() for _ in range(22)]
    clock.advance(2 * DAY)
    delete(is_dry_run=True)
    text = logged()
    assert f"Run {run_ids[19]}," in text
    assert f"Run {run_ids[20]}," not in text
    assert "and 2 more" in text


def test_the_oldest_are_deleted_first(
    omics: Control, clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any]
) -> None:
    """In any status, up to the limit."""
    first, second, third = (run_of(status) for status in ("FAILED", "COMPLETED", "CANCELLED"))
    clock.advance(2 * DAY)
    assert delete(max_runs=2)["deleted"] == 2
    assert remaining(omics) == [third]
    assert delete(max_runs=2)["deleted"] == 1
    assert first != second


@pytest.mark.parametrize(
    "filters", [{"name": "ours"}, {"statuses": ["FAILED"]}, {"name": "ours", "statuses": ["FAILED"]}], ids=str
)
def test_filters_are_combined(
    omics: Control, clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any], filters: Any
) -> None:
    """Only a run that matches all of them is deleted."""
    kept = [run_of("COMPLETED", name="theirs")]
    run_of("FAILED", name="ours")
    clock.advance(2 * DAY)
    assert delete(**filters)["deleted"] == 1
    assert remaining(omics) == kept


def test_the_pace_is_half_the_quota(
    clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any]
) -> None:
    """Five calls a second, after those of the first second."""
    for _ in range(30):
        run_of()
    clock.advance(2 * DAY)
    before = clock.elapsed
    delete()
    assert clock.elapsed - before == pytest.approx((30 - 5) / 5, abs=0.5)


def test_a_throttled_call_is_repeated(
    omics: Control, clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any]
) -> None:
    """At a lower rate, until it succeeds."""
    run_of()
    clock.advance(2 * DAY)
    omics.inject_error("DeleteRun", "ThrottlingException", times=4)
    before = clock.elapsed
    assert delete() == {"matched": 1, "deleted": 1, "refused": 0}
    assert clock.elapsed > before


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_refused_run_does_not_stop_the_others(
    omics: Control,
    clock: Clock,
    run_of: Callable[..., str],
    delete: Callable[..., Any],
    logged: Callable[[], str],
    code: str,
) -> None:
    """It is counted, and the log says why."""
    refused, _ = run_of(), run_of()
    clock.advance(2 * DAY)
    omics.inject_error("DeleteRun", code, times=1)
    assert delete() == {"matched": 2, "deleted": 1, "refused": 1}
    assert remaining(omics) == [refused]
    assert f"Run {refused} was not deleted" in logged()


def test_a_run_that_another_task_has_deleted_counts_as_deleted(
    omics: Control, clock: Clock, run_of: Callable[..., str], delete: Callable[..., Any]
) -> None:
    """Its record is gone, which is the purpose."""
    run_of()
    clock.advance(2 * DAY)
    omics.inject_error("DeleteRun", "ResourceNotFoundException", times=1)
    assert delete() == {"matched": 1, "deleted": 1, "refused": 0}


@pytest.mark.parametrize(
    ("code", "error"),
    [("AccessDeniedException", HealthOmicsApiError), ("InternalServerException", ClientError)],
)
def test_other_errors_end_the_task(
    omics: Control,
    clock: Clock,
    run_of: Callable[..., str],
    delete: Callable[..., Any],
    code: str,
    error: type[Exception],
) -> None:
    """The next attempt continues with the remaining runs."""
    run_of(), run_of()
    clock.advance(2 * DAY)
    omics.inject_error("DeleteRun", code, times=1)
    with pytest.raises(error):
        delete()
    assert delete()["deleted"] == 2


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("older_than_days", 0),
        ("older_than_days", "90"),
        ("older_than_days", True),
        ("statuses", "COMPLETED"),
        ("statuses", ["RUNNING"]),
        ("statuses", []),
        ("max_runs", 0),
        ("max_runs", 1.5),
        ("max_runs", True),
        ("is_dry_run", "False"),
    ],
)
def test_bad_arguments_are_refused(
    omics: Control, delete: Callable[..., Any], argument: str, value: Any
) -> None:
    """The error names the argument and the rule, and no call is made."""
    with pytest.raises(HealthOmicsRequestError, match=argument) as caught:
        delete(**{argument: value})
    assert len(caught.value.problems) == 1
    assert omics.call_counts() == Counter()
