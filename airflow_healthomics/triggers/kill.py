# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancelling a run whose deferred task was killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from airflow_healthomics.aws_errors import error_code, is_transient
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.triggers.base import HealthOmicsTrigger

#: States of a task instance after which nobody waits for its run any more. Any other one means that the task
#: goes on elsewhere: another triggerer has taken it over, or a Clear has queued it, and then its next try
#: cancels the run.
_OVER: Final = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

#: CancelRun is limited to 10 calls a second: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_AT_ONCE: Final = 8

#: Seconds for which a throttled or failing cancellation is repeated.
_PATIENCE: Final = 120

_running: set[asyncio.Task[None]] = set()
_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def cancel_if_over(trigger: HealthOmicsTrigger, cancel: Callable[[HealthOmicsHook], None]) -> None:
    """
    Cancel a run in the background, if its task instance is over.

    To be called by a trigger's ``on_kill``, which Airflow aborts after a second and also calls in a triggerer
    that has stalled while another one took its triggers over.

    :param trigger: the trigger that waited for the run
    :param cancel: makes the AWS calls, in a thread
    """
    task = asyncio.get_running_loop().create_task(_cancel_if_over(trigger, cancel))
    # The event loop itself keeps only a weak reference.
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _cancel_if_over(trigger: HealthOmicsTrigger, cancel: Callable[[HealthOmicsHook], None]) -> None:
    loop = asyncio.get_running_loop()
    semaphore = _semaphores.setdefault(loop, asyncio.Semaphore(_AT_ONCE))
    async with semaphore:
        state = await sync_to_async(_state)(trigger.task_instance)
        if state not in _OVER:
            trigger.log.info("The task is %s, so its run is not cancelled", state)
            return
        hook = await trigger.connect()
        retrying = Retrying(
            stop=stop_after_delay(_PATIENCE),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        try:
            await asyncio.to_thread(retrying, cancel, hook)
        except (ClientError, BotoCoreError) as error:
            trigger.log.warning("The run of the killed task could not be cancelled: %s", error_code(error))


def _state(task_instance: Any) -> str:
    """Return the state of a task instance; one that is gone, with its DAG run, counts as removed."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    # Keyed by the task id, and for mapped tasks by task id and map index; asked for one, it is the only one.
    (state,) = states.get(task_instance.run_id, {}).values() or ("removed",)
    return str(state)
