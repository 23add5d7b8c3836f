# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The failed task of a run that a person should look at."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.reports.blame import failed_by_blame


def task(
    task_id: str, name: str, created: int, stopped: int | None, status: str = "FAILED"
) -> dict[str, Any]:
    """Return an item of ListRunTasks; the times are minutes."""
    times = {"creationTime": created, "stopTime": stopped}
    return {"taskId": task_id, "name": name, "status": status} | {
        field: f"2026-11-30T00:{minute:02}:00Z" for field, minute in times.items() if minute is not None
    }


TASKS = [
    task("10", "align", 0, 5),
    task("11", "align", 6, 20, "COMPLETED"),
    task("12", "sort", 2, 9),
    task("13", "sort_index", 1, 8),
    task("14", "fine", 0, 1, "COMPLETED"),
    task("15", "lost", 3, None),
]


@pytest.mark.parametrize(
    ("message", "order"),
    [
        (None, ["13", "12", "15", "10"]),
        ("Run has failed", ["13", "12", "15", "10"]),
        ("Workflow task 15 ran out of memory", ["15", "13", "12", "10"]),
        ("Unable to start workflow task: sort, id: 12 container", ["12", "13", "15", "10"]),
        ("Task 152 and sort-3 timed out", ["13", "12", "15", "10"]),
        ("align failed", ["10", "13", "12", "15"]),
    ],
)
def test_the_order_of_failed_tasks(message: str | None, order: list[str]) -> None:
    """Named ones come first, then the first that stayed failed, then those that the engine repeated."""
    assert [each["taskId"] for each in failed_by_blame(TASKS, message)] == order


def test_names_are_not_patterns() -> None:
    """Nextflow's names contain brackets."""
    tasks = [task("1", "A", 0, 1), task("2", "B (x", 0, 2)]
    assert [each["taskId"] for each in failed_by_blame(tasks, "B (x failed")] == ["2", "1"]
