# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Control the local HealthOmics: pace, clock, planned outcomes, faults, and what was called.

Each verb is a method of :class:`Control`. ``Control()`` acts on the local HealthOmics of its own process;
``Control(endpoint_url)`` sends the same verb to a server in any process, as ``POST /_healthomics/<verb>``
with the arguments as a JSON object.
"""

from __future__ import annotations

import functools
import http.client
import inspect
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from moto.core.base_backend import BackendDict
from moto.core.models import DEFAULT_ACCOUNT_ID

from .faults import DelayFault, DropFault, ErrorFault, Fault, HoldFault, When
from .local import LOCAL
from .omics.exceptions import error_of
from .omics.models import all_backends, apply_due_transitions, omics_backends
from .omics.runs import ACTIVE, ENDED, Run
from .plans import RunPlan, TaskPlan

PATH = "/_healthomics/"

P = ParamSpec("P")
R = TypeVar("R")

#: The verbs by name, filled by :func:`verb`.
VERBS: dict[str, Callable[..., Any]] = {}

#: What a verb raises travels by name.
ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (LookupError, TimeoutError, TypeError, ValueError)
}


def verb(method: Callable[Concatenate[Control, P], R]) -> Callable[Concatenate[Control, P], R]:
    """Let a method act here or, if its Control has an endpoint, there."""
    signature = inspect.signature(method)
    name = method.__name__

    @functools.wraps(method)
    def call(self: Control, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.endpoint_url is None:
            return method(self, *args, **kwargs)
        arguments = dict(signature.bind(self, *args, **kwargs).arguments)
        del arguments["self"]
        arguments.update(arguments.pop("changes", {}))
        answer: R = _post(self.endpoint_url, name, arguments)
        return answer

    VERBS[name] = call
    return call


def perform(name: str, arguments: Mapping[str, Any]) -> Any:
    """Do a verb in this process; the other end of :func:`verb`."""
    if name not in VERBS:
        raise LookupError(f"{name} is no verb; there are {', '.join(sorted(VERBS))}")
    return VERBS[name](Control(), **arguments)


class Control:
    """
    The verbs.

    :param endpoint_url: Where the server listens; None for the local HealthOmics of this process.
    """

    def __init__(self, endpoint_url: str | None = None) -> None:
        self.endpoint_url = endpoint_url

    # --- everything ---

    @verb
    def reset(self) -> None:
        """Forget every run, workflow, fault, plan and call, and all else in moto: buckets, queues, ..."""
        with LOCAL.lock:
            BackendDict.reset()
            LOCAL.reset()

    @verb
    def set_options(self, /, **changes: Any) -> None:
        """Change fields of :class:`Options`; the pace applies to running runs at once."""
        with LOCAL.lock:
            LOCAL.options = replace(LOCAL.options, **changes)

    # --- time and states ---

    @verb
    def advance(
        self,
        status: str,
        *,
        run_id: str | None = None,
        failure_reason: str | None = None,
        status_message: str | None = None,
    ) -> dict[str, str]:
        """
        Move a run, or all active runs, through the states in between to ``status``, whatever the pace.

        A run that is past ``status`` stays. An end that differs from the planned one replaces it. DELETED
        removes the run as if AWS had.

        :return: the status of each run by its id. It differs from the one asked for if an export failed.
        """
        if status not in (*ACTIVE, *ENDED, "DELETED"):
            raise ValueError(f"{status} is no status of a run")
        with LOCAL.lock:
            apply_due_transitions()
            chosen = [
                (backend, run)
                for backend in all_backends()
                for run in list(backend.runs.values())
                if run.id == run_id or (run_id is None and run.active)
            ]
            if run_id is not None and not chosen:
                raise LookupError(f"there is no run {run_id}")
            for backend, run in chosen:
                backend.advance(run, status, failure_reason, status_message)
            return {run.id: run.status for _, run in chosen}

    @verb
    def advance_clock(self, seconds: float) -> None:
        """Move the local clock forward, and every run whose time has come."""
        with LOCAL.lock:
            LOCAL.clock.advance(seconds)
            apply_due_transitions()

    @verb
    def stop_clock(self) -> None:
        """Let time pass only by :meth:`advance_clock`."""
        LOCAL.clock.stop()

    @verb
    def plan_run(
        self,
        *,
        name: str | None = None,
        workflow_id: str | None = None,
        times: int | None = 1,
        status: Literal["COMPLETED", "FAILED", "CANCELLED"] = "COMPLETED",
        failure_reason: str | None = None,
        status_message: str | None = None,
        tasks: int | Sequence[Mapping[str, Any]] | None = None,
        seconds: Mapping[str, float | None] | None = None,
        engine_log: Sequence[str] = (),
        outputs: Mapping[str, str] | None = None,
    ) -> None:
        """
        Say how the next run will go, or the next runs of a name or workflow.

        :param times: How many runs; None for all.
        :param status: How they end.
        :param failure_reason: For FAILED, e.g. ``RUN_TASK_FAILED``.
        :param tasks: Their number, or the fields of :class:`TaskPlan` for each. A task with a
            ``failure_reason`` ends FAILED; ``log`` is its log.
        :param seconds: The pace of these runs: seconds by active status; None keeps them there.
        :param outputs: Texts by path below ``out/``.
        """
        if failure_reason is not None and status != "FAILED":
            raise ValueError("failure_reason needs status='FAILED'")
        if unknown := set(seconds or {}) - set(ACTIVE):
            raise ValueError(f"seconds has {', '.join(sorted(unknown))}: only {', '.join(ACTIVE)} take time")
        plan = RunPlan(
            name=name,
            workflow_id=workflow_id,
            times=times,
            status=status,
            failure_reason=failure_reason,
            status_message=status_message,
            tasks=tasks if tasks is None or isinstance(tasks, int) else [TaskPlan(**task) for task in tasks],
            seconds=seconds or {},
            engine_log=engine_log,
            outputs=outputs,
        )
        with LOCAL.lock:
            LOCAL.plans.append(plan)

    @verb
    def add_workflow(
        self,
        workflow_id: str,
        *,
        name: str | None = None,
        type: Literal["PRIVATE", "READY2RUN"] = "PRIVATE",
        engine: str = "WDL",
        parameter_template: Mapping[str, Any] | None = None,
        region: str = "us-east-1",
        account: str = DEFAULT_ACCOUNT_ID,
    ) -> None:
        """Add a workflow with a chosen id, or one of AWS's (READY2RUN): CreateWorkflow makes neither."""
        request = {"name": name, "engine": engine, "parameterTemplate": parameter_template}
        with LOCAL.lock:
            omics_backends[account][region].add_workflow(workflow_id, request, type)

    # --- faults ---

    @verb
    def inject_error(
        self,
        operation: str,
        code: str = "InternalServerException",
        *,
        status: int | None = None,
        message: str = "injected by the local HealthOmics",
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Answer the next calls of an operation with an error.

        The arguments that all faults have:

        :param operation: Its name in the API, or ``*``.
        :param when: ``before`` the call takes effect, or ``after`` it did.
        :param times: How many calls; None for all.
        :param probability: How likely each call is met.
        :param match: Only calls whose request has these members, e.g. ``{"id": "1234567"}``.
        """
        error = error_of(code, message, status)
        self._plan(ErrorFault, operation, when, times, probability, match, error=error)

    @verb
    def drop_connection(
        self,
        operation: str,
        *,
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """Close the connection without an answer; ``when="after"`` is a call that took effect unheard."""
        self._plan(DropFault, operation, when, times, probability, match)

    @verb
    def delay(
        self,
        operation: str,
        seconds: float,
        *,
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer late, by real seconds."""
        self._plan(DelayFault, operation, when, times, probability, match, seconds=seconds)

    @verb
    def hold(
        self,
        operation: str,
        name: str,
        *,
        when: When = "before",
        times: int | None = 1,
        probability: float = 1.0,
        match: Mapping[str, Any] | None = None,
    ) -> None:
        """Block calls until :meth:`release` names them. Other calls go on meanwhile."""
        self._plan(HoldFault, operation, when, times, probability, match, name=name)

    @verb
    def release(self, name: str) -> int:
        """Let go the calls held under a name, hold no more of them, and return how many there were."""
        return LOCAL.faults.release(name)

    @verb
    def wait_until_held(self, name: str, *, count: int = 1, timeout: float = 30.0) -> None:
        """Wait until calls are held under a name; :raises TimeoutError: if they are not in time."""
        LOCAL.faults.wait_until_held(name, count, timeout)

    @verb
    def clear_faults(self) -> None:
        """Forget every planned fault, and let go every call that is held or delayed."""
        LOCAL.faults.clear(LOCAL.options.seed)

    @verb
    def set_throttling(self, on: bool = True, *, rates: Mapping[str, float] | None = None) -> None:
        """Throttle at the documented default rates, or at one's own: calls per second by operation."""
        with LOCAL.lock:
            LOCAL.throttle.clear()
            LOCAL.options = replace(LOCAL.options, throttling=on, rates=rates or LOCAL.options.rates)

    # --- what happened ---

    @verb
    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the calls that arrived: operation, time, HTTP status, error, ids; never parameter values."""
        with LOCAL.lock:
            return [asdict(call) for call in LOCAL.calls if operation in (None, call.operation)]

    @verb
    def call_counts(self) -> dict[str, int]:
        """Return how many calls of each operation arrived."""
        with LOCAL.lock:
            return dict(Counter(call.operation for call in LOCAL.calls))

    @verb
    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that were started, deleted ones too, in the order of their start."""
        with LOCAL.lock:
            apply_due_transitions()
            return [_summary(run) for run in _all_runs()]

    @verb
    def wait_for_call(
        self, operation: str, *, count: int = 1, answered: bool = True, timeout: float = 30.0
    ) -> None:
        """Wait until an operation was called, and by default answered, so often since the beginning."""

        def seen() -> int:
            calls = [call for call in LOCAL.calls if call.operation == operation]
            return len([call for call in calls if call.done or not answered])

        _wait(lambda: seen() >= count, timeout, lambda: f"{seen()} of {count} calls of {operation}")

    @verb
    def wait_for_run(
        self, status: str, *, run_id: str | None = None, count: int = 1, timeout: float = 30.0
    ) -> None:
        """Wait until a run, or so many runs, have a status."""

        def states() -> list[str]:
            return [run.status for run in _all_runs() if run_id in (None, run.id)]

        _wait(
            lambda: states().count(status) >= count,
            timeout,
            lambda: f"{states().count(status)} of {count} runs {status} among {dict(Counter(states()))}",
        )

    def _plan(
        self,
        kind: type[Fault],
        operation: str,
        when: When,
        times: int | None,
        probability: float,
        match: Mapping[str, Any] | None,
        **more: Any,
    ) -> None:
        fault = kind(
            operation=operation, when=when, times=times, probability=probability, match=match or {}, **more
        )
        LOCAL.faults.plan(fault)


def _all_runs() -> list[Run]:
    runs: Iterable[Run] = (
        run for backend in all_backends() for run in (*backend.runs.values(), *backend.deleted_runs.values())
    )
    return sorted(runs, key=lambda run: (run.created, run.sequence))


def _summary(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "uuid": run.uuid,
        "name": run.request.get("name"),
        "requestId": run.request_id,
        "workflowId": run.workflow.id,
        "status": run.status,
        "failureReason": run.failure_reason if run.status == "FAILED" else None,
        "account": run.account,
        "region": run.region,
        "creationTime": run.created,
    }


def _wait(reached: Callable[[], bool], timeout: float, describe: Callable[[], str]) -> None:
    """Wait for a condition. In-process nothing ticks, so due transitions are applied here."""
    deadline = time.monotonic() + timeout
    with LOCAL.lock:
        while True:
            apply_due_transitions()
            if reached():
                return
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{describe()} after {timeout} seconds")
            LOCAL.changed.wait(0.02)


def _post(endpoint_url: str, name: str, arguments: Mapping[str, Any]) -> Any:
    address = urlsplit(endpoint_url)
    patience = float(arguments.get("timeout", 30.0)) + 60.0
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=patience)
    try:
        connection.request("POST", PATH + name, json.dumps(arguments), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status == 200:
        return answer["result"]
    raise ERRORS[answer["error"]](answer["message"])
