# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The state of a task instance."""

from __future__ import annotations

import pytest

from airflow_healthomics.waiting import task_states
from tests.unit.conftest import IS_AIRFLOW_2, TASK_INSTANCES, FakeTaskInstance


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 has it in the task instance")
@pytest.mark.parametrize("map_index", [-1, 3])
def test_the_state_belongs_to_the_task_instance(map_index: int) -> None:
    """Another map index, task, run or DAG has another one."""
    ti = FakeTaskInstance(map_index=map_index, state="failed")
    for difference in ({"dag_id": "b"}, {"task_id": "b"}, {"run_id": "b"}, {"map_index": 7}):
        FakeTaskInstance(**{"map_index": map_index, **difference}, state="success")
    assert task_states.state_of(ti) == "failed"


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 has it in the task instance")
def test_a_task_instance_that_does_not_exist_is_removed() -> None:
    """As in a DAG that no longer has the task."""
    ti = FakeTaskInstance()
    TASK_INSTANCES.clear()
    assert task_states.state_of(ti) == "removed"


@pytest.mark.parametrize(("state", "expected"), [("failed", "failed"), (None, "removed")])
def test_airflow_2_has_it_in_the_database(
    monkeypatch: pytest.MonkeyPatch, state: str | None, expected: str
) -> None:
    """Its task instance reads the current one."""
    monkeypatch.setattr(task_states, "IS_AIRFLOW_2", True)
    assert task_states.state_of(FakeTaskInstance(state=state)) == expected
