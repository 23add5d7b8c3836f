# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The current state of a task instance, which shows whether a person has ended the task."""

from __future__ import annotations

from typing import Any, Final

from airflow_healthomics.compat import IS_AIRFLOW_2

#: States in which no task waits for the run. In any other state the task continues elsewhere or later: in
#: another process or triggerer, in a retry, or after a Clear.
FINISHED_TASK_STATES: Final = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def state_of(task_instance: Any) -> str:
    """
    Return the state of a task instance; "removed" if it no longer exists.

    This queries the supervisor or the triggerer on Airflow 3, and the database on Airflow 2.

    :param task_instance: task instance from the task's context or from a trigger
    """
    if IS_AIRFLOW_2:
        return str(task_instance.current_state() or "removed")
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    # Keyed by task id, or for mapped tasks by task id and map index; there is only one entry.
    (state,) = states.get(task_instance.run_id, {}).values() or ("removed",)
    return str(state)
