# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that start a run, the attempts of a task instance, and where they crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.starting.exactly_once import LISTING_GRACE
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.conftest import (
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    Crash,
    FakeTaskInstance,
    Store,
    die,
    needs_store,
    try_of,
)

STORES = [pytest.param(True, id="store", marks=needs_store), pytest.param(False, id="names")]
WAYS = [pytest.param(False, id="sync"), pytest.param(True, id="deferred")]


def start_of(**fields: Any) -> HealthOmicsStartRunOperator:
    """Return a task that starts a run of a workflow, or duplicates another run."""
    defaults: dict[str, Any] = {"role_arn": ROLE, "output_uri": OUTPUT, "botocore_config": ONE_ATTEMPT}
    if "run_id" not in fields:
        defaults["workflow_id"] = WORKFLOW
    return HealthOmicsStartRunOperator(**{"task_id": "a_task", **defaults, **fields})


def waiting(deferrable: bool, **fields: Any) -> Callable[[], HealthOmicsStartRunOperator]:
    """Return a function that makes a task that starts a run and waits for it."""
    arguments = {"wait_for_completion": True, "deferrable": deferrable, "waiter_delay": 60, **fields}
    return lambda: start_of(**arguments)


#: Where the process dies: at a write of the store, or before or after a call.
CRASHES = ["before-record", "after-record", "before-call", "after-call", "before-run-id", "after-run-id"]


class History:
    """The tries of one task instance, and the runs that they have started."""

    def __init__(self, omics: Control, *, with_store: bool, **fields: Any) -> None:
        omics.reset()
        omics.stop_clock()
        omics.set_options(manual=True)
        self.omics = omics
        self.store = Store() if with_store else None
        self.ti = FakeTaskInstance(try_number=0, max_tries=20)
        self.fields = fields
        self.hook: Any = start_of().hook  # it remembers no run, and creating a client takes time
        self.epoch_of: dict[str, int] = {}

    def try_again(self, crash: str | None = None) -> Any:
        """Make the next try; return its run id, or None if it has crashed."""
        self.ti.try_number += 1
        operator = start_of(**self.fields)
        if self.hook is not None:
            operator.__dict__["hook"] = self.hook
        events = operator.hook.conn.meta.events
        store = self.store or Store()
        writes: list[Any] = []

        def dies_at(number: int) -> Callable[[Any], None]:
            return lambda value: die() if len(writes) == number else None

        store.before_set, store.after_set = writes.append, lambda value: None
        match crash:
            case "before-record":
                store.before_set = die
            case "after-record":
                store.after_set = dies_at(1)
            case "before-run-id":

                def before(value: Any) -> None:
                    if value["resource_id"]:
                        die()

                store.before_set = before
            case "after-run-id":
                store.after_set = lambda value: die() if value["resource_id"] else None
            case "before-call" | "after-call":
                event = {"before-call": "before-send", "after-call": "after-call"}[crash]
                events.register(f"{event}.omics.StartRun", die, unique_id=event)
        try:
            return self._execute(operator)
        except Crash:
            return None
        finally:
            for event in ("before-send", "after-call"):
                events.unregister(f"{event}.omics.StartRun", unique_id=event)
            for run in self.omics.runs():
                self.epoch_of.setdefault(run["requestId"], self.ti.max_tries)

    def _execute(self, operator: HealthOmicsStartRunOperator) -> Any:
        context = try_of(self.ti, self.store)
        try:
            return operator.execute(context)
        except TaskDeferred as delay:
            # After a Clear, until lists must show the run of a lost attempt.
            time.sleep(LISTING_GRACE)
            event = {"turns": 1, "since": delay.trigger.since}
            return operator.resume_execution(delay.method_name, {"event": event}, context)

    def clear(self) -> None:
        """Clear the task: Airflow adds the same number of retries again."""
        self.ti.max_tries = self.ti.try_number + 20

    def runs(self, epoch: int) -> list[dict[str, Any]]:
        """Return the runs that an epoch has started."""
        return [run for run in self.omics.runs() if self.epoch_of[run["requestId"]] == epoch]
