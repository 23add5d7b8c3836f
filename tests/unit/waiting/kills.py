# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Kill tasks on a worker and in the triggerer as Airflow does."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, Final

import pytest

from airflow_healthomics.compat import AirflowTaskTimeout, Context
from airflow_healthomics.triggers import kill
from tests.unit import virtual_time
from tests.unit.conftest import Clock

#: The message with which Airflow cancels the trigger of a killed task.
USER_ACTION: Final = "__airflow_user_action__"

#: States of a task whose run is cancelled if its trigger is killed, and states with which it continues.
OVER: Final = ["success", "failed", "skipped", "upstream_failed", "removed"]
CONTINUES: Final = [
    "deferred", "scheduled", "queued", "running", "None", "up_for_retry", "up_for_reschedule", "restarting",
]  # fmt: skip

#: The method that receives Airflow's response about the state of a task instance.
STATE_OF: Final = "airflow_healthomics.triggers.kill.state_of"


class Killed(BaseException):
    """The process ends."""


def end_by_a_person(task: Any, context: Any, state: str = "failed") -> None:
    """Do what Airflow does when a person sets the state of a running task, up to SIGKILL."""
    context["ti"].state = state
    task.on_kill()
    # Airflow would kill the process after 5 seconds; this machine may be slower than its.
    task.kill_guard.wait(60)


def killed_while_waiting(task: Any, clock: Clock, context: Context, state: str = "failed") -> None:
    """Kill a task, whose instance gets a state, during its first sleep."""

    def end() -> None:
        end_by_a_person(task, context, state)
        raise Killed

    clock.at(1, end)
    with pytest.raises(Killed):
        task.execute(context)


def timed_out(task: Any, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``execution_timeout`` expire during the first sleep, for which Airflow calls ``on_kill`` too."""

    def sleep(_: float) -> None:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(AirflowTaskTimeout):
        task.execute(context)
    task.on_kill()


def of_a_task(trigger: Any) -> Any:
    """Return a trigger with its task instance, as the triggerer sets it."""
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    return trigger


def kill_trigger(trigger: Any, state: str, clock: Clock, *, aborts: int = 0) -> None:
    """
    Kill a deferred task whose instance has a state, and let the triggerer continue for a while.

    :param aborts: how many times Airflow cancels ``on_kill`` meanwhile
    """
    of_a_task(trigger)

    async def main() -> None:
        caller = asyncio.ensure_future(trigger.on_kill())
        await asyncio.sleep(0)
        for _ in range(aborts):
            caller.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([caller])
        await asyncio.gather(*kill._running, return_exceptions=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STATE_OF, lambda _: state)
        virtual_time.run(clock, main())


def kill_while_it_waits(trigger: Any, clock: Clock, *reason: str, calls_on_kill: bool = False) -> None:
    """Cancel a trigger as a triggerer does, after its first poll."""
    of_a_task(trigger)

    async def main() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(5)
        for _ in range(3):
            waiting.cancel(*reason)
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if calls_on_kill:
            await trigger.on_kill()
        await asyncio.gather(*kill._running, return_exceptions=True)

    virtual_time.run(clock, main())
