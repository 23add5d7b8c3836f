# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A history: a plan that is played in a simulated world, and its outcome."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Final

import pytest
from airflow.sdk.bases.hook import BaseHook

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from tests.simulation import clients
from tests.simulation.airflow_model import Airflow
from tests.simulation.logs import Logs
from tests.simulation.plan import ERRORS, FATES, Action, Plan, Setting
from tests.simulation.processes import Threads
from tests.simulation.scheduler import EndlessError, Point, Process, Scheduler
from tests.simulation.service import Resource, SimulatedService
from tests.unit.simulated_omics import DENIED, silent

#: Represents a patient's name, in the parameters.
CANARY: Final = "canary-patient-7"

#: Virtual seconds of observation after the end of the task.
AFTERMATH: Final = 1000.0

#: Virtual seconds for which one attempt waits for another to reach a point.
LONGEST_HOLD: Final = 60.0

#: Seconds of an outage.
OUTAGE: Final = 40.0


@dataclass
class History:
    """
    A history that has been played.

    :ivar overlaps: pairs of runs of one epoch that lived at the same time
    :ivar happened: actions that could happen
    :ivar crashed: names of the processes that crashed
    :ivar zombies: names of the workers that continued after Airflow had treated them as lost
    :ivar failure: error of the simulation itself
    """

    plan: Plan
    scheduler: Scheduler
    service: SimulatedService
    airflow: Airflow
    logs: Logs
    overlaps: list[tuple[Resource, Resource]] = field(default_factory=list)
    failure: str = ""
    happened: list[Action] = field(default_factory=list)
    crashed: set[str] = field(default_factory=set)
    zombies: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """All texts that a person could read."""
        xcoms = [f"{key} {value}" for key, value in self.airflow.xcoms]
        return "\n".join([*self.logs.lines, *self.airflow.errors, *xcoms])


@cache
def _template(setting: Setting) -> Any:
    common: dict[str, Any] = {
        "task_id": "a_task",
        "role_arn": f"arn:aws:iam::{clients.ACCOUNT}:role/omics",
        "output_uri": "s3://outputs/results",
        "workflow_id": "1234567",
        "wait_for_completion": setting.waits,
        "deferrable": setting.deferred,
        "cancel_on_kill": setting.cancels,
        "on_failure": setting.on_failure,
        "waiter_delay": 900 if "L" in setting.fates else 60,
        "on_clear": setting.on_clear or None,
        "retries": setting.retries,
        "execution_timeout": timedelta(seconds=setting.timeout) if setting.timeout else None,
    }
    if setting.kind == "run":
        return HealthOmicsStartRunOperator(**common, parameters={"patient": CANARY}, report_usage=False)
    settings = [
        {"run_setting_id": f"sample-{number}", "parameters": {"patient": CANARY}} for number in (1, 2)
    ]
    return HealthOmicsStartRunBatchOperator(**common, run_settings=settings, output_uris=False)


def make_task(setting: Setting) -> Any:
    """Return the operator, as a new process would parse it from its DAG."""
    return copy(_template(setting))


@contextmanager
def world(setting: Setting) -> Iterator[tuple[Scheduler, SimulatedService, Airflow, Logs]]:
    """Replace everything that surrounds the package by the simulation."""
    scheduler = Scheduler()
    service = SimulatedService(
        scheduler,
        get_lag=setting.get_lag,
        list_lag=setting.list_lag,
        fates=tuple(FATES[letter] for letter in setting.fates),
    )
    if setting.denied:
        service.outages += [(float("inf"), DENIED, name) for name in ("ListRuns", "ListBatch")]
    airflow = Airflow(scheduler, lambda: make_task(setting), retries=setting.retries, has_store=setting.store)
    logs = Logs()
    with pytest.MonkeyPatch.context() as patch:
        Threads(scheduler).install(patch)
        airflow.install(patch)
        clients.install(service, patch)
        patch.setattr(BaseHook, "get_connection", classmethod(lambda cls, conn_id: _connection()))
        jitter = random.getstate()
        random.seed(0)
        with logs.installed(patch):
            try:
                yield scheduler, service, airflow, logs
            finally:
                scheduler.close()
                random.setstate(jitter)


@cache
def _connection() -> Any:
    from airflow.sdk import Connection

    return Connection(conn_id="aws_default", conn_type="aws")


class Player:
    """
    Plays a plan.

    :param history: the history
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.scheduler = history.scheduler
        self.actions: dict[int, list[Action]] = {}
        for action in history.plan.actions:
            self.actions.setdefault(action.point, []).append(action)
        self._switches = random.Random(history.plan.switching) if history.plan.switching else None
        self._waiting: list[tuple[Process, Process, int]] = []
        self._is_acting = False

    def at_point(self, point: Point) -> None:
        """Do what the plan has at this point."""
        thread = self.scheduler.current
        for zombie, other, number in list(self._waiting):
            if other is (thread.process if thread else None) and other.points >= number:
                self._waiting.remove((zombie, other, number))
                zombie.main.is_held = False
                # The other attempt waits until this one has ended, or sleeps.
                self._swap(zombie, other)
        if self._is_acting:
            return
        for action in self.actions.get(point.number, ()):
            self._is_acting = True
            try:
                if getattr(self, f"do_{action.name}")(action, point, thread):
                    self.history.happened.append(action)
            finally:
                self._is_acting = False
        if self._switches and thread is not None and self._switches.random() < 0.15:
            ready = [each for each in self.scheduler.threads if each is not thread and each.is_ready]
            if ready:
                self.scheduler.pause(0.0)
        if thread is not None and thread.is_held:
            self.scheduler.pause(0.0)

    def _swap(self, first: Process, second: Process) -> None:
        if second.is_over or first.is_over:
            return
        second.main.is_held = True
        self._let_go(first, second)

    def _let_go(self, first: Process, second: Process) -> None:
        """Hold a process until another one has ended or sleeps, for a minute at most."""
        end = self.scheduler.elapsed + LONGEST_HOLD

        def look() -> None:
            now = self.scheduler.elapsed
            is_asleep = not first.is_over and not first.main.is_held and first.main.until > now + 1.0
            if first.is_over or is_asleep or now >= end:
                second.main.is_held = False
            elif second.main.is_held:
                self.scheduler.at(0.5, look)

        self.scheduler.at(0.5, look)

    # --- actions; each returns whether it could happen ---

    def do_crash(self, action: Action, point: Point, thread: Any) -> bool:
        """Kill the process at once."""
        if thread is None:
            return False
        self.history.happened.append(action)
        self.history.crashed.add(thread.process.name)
        self.scheduler.kill(thread.process)
        return False

    def do_overlap(self, action: Action, point: Point, thread: Any) -> bool:
        """Treat the worker as lost: another attempt starts, and after some points this one continues."""
        if thread is None or not thread.process.name.startswith("worker"):
            return False
        if thread is not thread.process.main:
            return False
        other = self.history.airflow.lose(thread.process)
        if other is None:
            return False
        self.history.zombies.add(thread.process.name)
        thread.is_held = True
        self._waiting.append((thread.process, other, int(action.argument)))
        self._let_go(other, thread.process)
        return True

    def do_kill(self, action: Action, point: Point, thread: Any) -> bool:
        """Have a person mark the task failed."""
        return self._as_airflow(self.history.airflow.kill, thread, action)

    def do_clear(self, action: Action, point: Point, thread: Any) -> bool:
        """Have a person clear the task."""
        return self._as_airflow(self.history.airflow.clear, thread, action)

    def do_evict(self, action: Action, point: Point, thread: Any) -> bool:
        """Stop the pod of the worker."""
        process = self.history.airflow.active
        if process is None or not process.name.startswith("worker"):
            return False
        return self._as_airflow(lambda: self.history.airflow.evict(process), thread, action)

    def _as_airflow(self, act: Any, thread: Any, action: Action) -> bool:
        if self.history.airflow.state in ("success", "failed") and action.name != "clear":
            return False
        self.scheduler.current = None
        try:
            act()
        finally:
            self.scheduler.current = thread
        if action.argument == "first" and thread is not None:
            # The thread that cancels makes its calls before this one continues.
            self.scheduler.pause(1.0)
        return True

    def do_outage(self, action: Action, point: Point, thread: Any) -> bool:
        """Make calls fail for a while."""
        end = self.scheduler.elapsed + OUTAGE
        self.history.service.outages.append((end, ERRORS[action.argument], "*"))
        return True

    def do_losing(self, action: Action, point: Point, thread: Any) -> bool:
        """Lose the response of a call."""
        if not point.is_after or not point.label[0].isupper() or point.label == "XCom":
            return False
        self.history.service.lost_answer = silent(point.label)
        return True

    def do_forget(self, action: Action, point: Point, thread: Any) -> bool:
        """Make HealthOmics forget the request IDs."""
        self.history.service.forget_request_ids()
        return True

    def do_give_away(self, action: Action, point: Point, thread: Any) -> bool:
        """
        Delete the ended runs, and give their ids to another task.

        Not between a list and the call that describes its items, or between such a call and a
        cancellation: ids are not reused so fast.
        """
        if any(each.label.startswith(("List", "Get")) for each in self.scheduler.trace[-6:-1]):
            return False
        now = self.scheduler.elapsed
        service = self.history.service
        ended = [
            each
            for each in service.resources
            if each.owner and not each.parent and not each.is_live(now) and each.life.deleted is None
        ]
        for resource in ended:
            service.give_away(resource)
        return bool(ended)

    def do_timeout(self, action: Action, point: Point, thread: Any) -> bool:
        """Time the attempt out on its worker."""
        airflow = self.history.airflow
        process = thread.process if thread else None
        if process not in airflow.executing or thread is not process.main:
            return False
        airflow.executing.discard(process)
        self.history.happened.append(action)
        raise AirflowTaskTimeout("Timeout")


def play(plan: Plan) -> History:
    """Play a plan, and return its outcome."""
    with world(plan.setting) as (scheduler, service, airflow, logs):
        history = History(plan, scheduler, service, airflow, logs)
        player = Player(history)
        scheduler.at_point = player.at_point
        if player._switches:
            scheduler.choose = player._switches.choice

        def owner() -> tuple[str, int]:
            thread = scheduler.current
            name = thread.process.name if thread else ""
            return name, airflow.epochs.get(name, -1)

        def started(resource: Resource) -> None:
            others = [
                each
                for each in service.resources
                if each is not resource
                and each.parent is None
                and each.epoch == resource.epoch
                and each.owner
            ]
            now = scheduler.elapsed
            for other in others:
                is_done = other.status(now) in ("COMPLETED", "PROCESSED") and other.fate.status == "COMPLETED"
                if other.is_live(now) or is_done:
                    history.overlaps.append((other, resource))

        service.owner, service.on_start = owner, started
        try:
            airflow.start_attempt()
            scheduler.run(lambda: airflow.is_settled)
            scheduler.reach("end")
            for _ in range(10):
                scheduler.run(lambda: airflow.is_settled)
                scheduler.run(lambda: False, until=scheduler.elapsed + AFTERMATH)
                # A person may have cleared it meanwhile.
                if airflow.is_settled:
                    break
        except EndlessError as error:
            history.failure = str(error)
        return history
