# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A sensor in each of its modes."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest

from tests.sdk import AirflowRescheduleException, BaseSensorOperator, timezone
from tests.unit.conftest import HAS_STORE, ONE_ATTEMPT, FakeTaskInstance, Store, Tasks, try_of
from tests.unit.kinds import Kind

MODES = pytest.mark.parametrize("mode", ["poke", "reschedule", "deferred"])
SOFT = pytest.mark.parametrize("soft_fail", [False, True], ids=["hard", "soft"])

#: Seconds between two polls.
INTERVAL = 300


class Sensing:
    """Runs a sensor to its end, in any mode, the way Airflow does."""

    def __init__(self, tasks: Tasks, ti: FakeTaskInstance, store: Store | None) -> None:
        self.tasks = tasks
        self.ti = ti
        self.context = try_of(ti, store)

    def run(self, kind: Kind, mode: str, resource_id: str, **fields: Any) -> Any:
        """Run it, and return its result."""
        arguments: dict[str, Any] = {
            "task_id": "a_task",
            "deferrable": mode == "deferred",
            "mode": "reschedule" if mode == "reschedule" else "poke",
            "botocore_config": ONE_ATTEMPT,
            "poke_interval": INTERVAL,
            "timeout": 7 * 24 * 3600,
            **kind.by_id(resource_id),
            **fields,
        }
        began = self.tasks.clock.elapsed
        while True:
            try:
                return self.tasks.run(lambda: kind.sensor(**arguments), self.context)
            except AirflowRescheduleException as again:
                wait = (again.reschedule_date - timezone.utcnow()).total_seconds()
                self.tasks.clock.advance(round(wait))
                # As if the first poll was N seconds ago; the database keeps real times.
                elapsed = timedelta(seconds=self.tasks.clock.elapsed - began)
                self.ti.first_reschedule = timezone.utcnow() - elapsed


@pytest.fixture
def sensing(tasks: Tasks, ti: FakeTaskInstance, store: Store, monkeypatch: pytest.MonkeyPatch) -> Sensing:
    """Run sensors."""
    module = sys.modules[BaseSensorOperator.__module__]
    if hasattr(module, "_orig_start_date"):  # Airflow 2 reads the database, Airflow 3 the task instance
        monkeypatch.setattr(module, "_orig_start_date", lambda **_: ti.first_reschedule)
    return Sensing(tasks, ti, store if HAS_STORE else None)
