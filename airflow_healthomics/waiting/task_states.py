# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The state of a task instance as Airflow has it now, which says whether a person has ended the task."""

from __future__ import annotations

from typing import Any, Final

from airflow import __version__ as airflow_version

#: States after which nobody waits for the task's run. Any other means that the task continues elsewhere or
#: later: in another process or triggerer, in a retry, or after a Clear.
FINISHED: Final = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

_IS_AIRFLOW_2: Final = airflow_version.startswith("2.")


def state_of(task_instance: Any) -> str:
    """
    Return the state of a task instance; one that is gone, with its DAG run, counts as removed.

    On Airflow 3 this is a request to the supervisor or the triggerer, on Airflow 2 to the database.

    :param task_instance: of the task's context, or the one that the triggerer gives a trigger
    """
    if _IS_AIRFLOW_2:
        return str(task_instance.current_state() or "removed")
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    # Keyed by the task id, and for mapped tasks by task id and map index; for one task there is one.
    (state,) = states.get(task_instance.run_id, {}).values() or ("removed",)
    return str(state)
