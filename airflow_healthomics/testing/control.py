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
from .omics.batches import ORDER, REQUESTS, Batch
from .omics.exceptions import error_of
from .omics.models import OmicsBackend, all_backends, apply_due_transitions, omics_backends
from .omics.runs import ACTIVE, ENDED, Run
from .plans import TRANSIENT_CODE, TRANSIENT_ERROR, BatchPlan, RunPlan, SubmissionPlan, TaskPlan

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
        """Forget every run, batch, workflow, fault, plan and call, and all else in moto: buckets, ..."""
        with LOCAL.lock:
            BackendDict.reset()
            LOCAL.reset()

    @verb
    def set_options(self, /, **changes: Any) -> None:
        """Change fields of :class:`Options`; the pace applies to running runs and batches at once."""
        with LOCAL.lock:
            LOCAL.options = replace(LOCAL.options, **changes)
            for backend in all_backends():
                backend.reschedule()

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
        removes the run as if AWS had. A run whose run group is full stays PENDING.

        :return: the status of each run by its id. It differs from the one asked for if an export failed, or
            if its run group is full.
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
    def advance_batch(
        self,
        status: str,
        *,
        batch_id: str | None = None,
        failure_reason: str = TRANSIENT_ERROR,
        failure_code: str = TRANSIENT_CODE,
    ) -> dict[str, str]:
        """
        Move a batch, or all batches, through the states in between to ``status``, whatever the pace.

        INPROGRESS submits all its runs, and PROCESSED moves them to their ends too. CANCELLED brings to its
        end what CancelRunBatch began, RUNS_DELETED what DeleteRunBatch began. A batch that does not come by
        ``status`` stays. A batch becomes PROCESSED or CANCELLED by itself when its last run ends.

        :param failure_reason: Of FAILED, which a batch can be before it is INPROGRESS, for GetBatch.
        :param failure_code: Of FAILED, for the event.
        :return: the status of each batch by its id. It differs from the one asked for if the run settings are
            bad, if a run could not be deleted, or if a run group is full.
        """
        if status not in (*ORDER, "FAILED", "CANCELLED", "RUNS_DELETED"):
            raise ValueError(f"{status} is no status that a batch can be moved to")
        with LOCAL.lock:
            chosen = _chosen_batches(batch_id)
            for backend, batch in chosen:
                backend.batches.advance(batch, status, failure_reason, failure_code)
            return {batch.id: batch.status for _, batch in chosen}

    @verb
    def submit_runs(self, count: int, *, batch_id: str | None = None) -> dict[str, dict[str, int]]:
        """
        Let a batch, or each batch, make its next requests, whatever the pace.

        These are to start runs while it is SUBMITTING, to cancel them while it is STOPPING, and to delete
        them while it is RUNS_DELETING.

        :return: the submissionSummary of each batch by its id.
        """
        with LOCAL.lock:
            chosen = _chosen_batches(batch_id)
            for backend, batch in chosen:
                backend.batches.request(batch, count)
            return {batch.id: batch.submission_summary() for _, batch in chosen}

    @verb
    def advance_clock(self, seconds: float) -> None:
        """Move the local clock forward, and every run and batch whose time has come."""
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
        run_setting_id: str | None = None,
        times: int | None = 1,
        status: Literal["COMPLETED", "FAILED", "CANCELLED"] = "COMPLETED",
        failure_reason: str | None = None,
        status_message: str | None = None,
        tasks: int | Sequence[Mapping[str, Any]] | None = None,
        seconds: Mapping[str, float | None] | None = None,
        engine_log: Sequence[str] = (),
        outputs: Mapping[str, str] | None = None,
        storage_maximum: int | None = None,
        storage_average: float | None = None,
    ) -> None:
        """
        Say how the next run will go, or the next runs of a name, a workflow or a setting of a batch.

        :param run_setting_id: Only runs that a batch starts for this setting.
        :param times: How many runs; None for all.
        :param status: How they end.
        :param failure_reason: For FAILED, e.g. ``RUN_TASK_FAILED``.
        :param tasks: Their number, or the fields of :class:`TaskPlan` for each. A task with a
            ``failure_reason`` ends FAILED; ``log`` is its log.
        :param seconds: The pace of these runs: seconds by active status; None keeps them there.
        :param outputs: Texts by path below ``out/``.
        :param storage_maximum: GiB that the run holds at most, which HealthOmics tells of a run that has
            ended: of DYNAMIC storage as the storageCapacity, and in the manifest; but nothing of DYNAMIC
            storage of a run under two hours.
        :param storage_average: GiB that it holds on average, told in the manifest.
        """
        if failure_reason is not None and status != "FAILED":
            raise ValueError("failure_reason needs status='FAILED'")
        if unknown := set(seconds or {}) - set(ACTIVE):
            raise ValueError(f"seconds has {', '.join(sorted(unknown))}: only {', '.join(ACTIVE)} take time")
        plan = RunPlan(
            name=name,
            workflow_id=workflow_id,
            run_setting_id=run_setting_id,
            times=times,
            status=status,
            failure_reason=failure_reason,
            status_message=status_message,
            tasks=tasks if tasks is None or isinstance(tasks, int) else [TaskPlan(**task) for task in tasks],
            seconds=seconds or {},
            engine_log=engine_log,
            outputs=outputs,
            storage_maximum=storage_maximum,
            storage_average=storage_average,
        )
        with LOCAL.lock:
            LOCAL.plans.append(plan)

    @verb
    def fail_submission(
        self,
        run_setting_ids: Sequence[str] | None = None,
        code: str = "ValidationException",
        *,
        operation: Literal["StartRun", "CancelRun", "DeleteRun"] = "StartRun",
        message: str = "planned by the local HealthOmics",
        times: int | None = None,
    ) -> None:
        """
        Let what batches ask for some of their runs fail.

        The service repeats ThrottlingException, RequestTimeoutException and InternalServerException by itself
        before a run is FAILED; what is planned here is the outcome. Faults that meet calls meet no batch.

        :param run_setting_ids: Of the runs; None for all.
        :param code: What ListRunsInBatch gives as the submissionFailureReason.
        :param operation: What fails: to start, to cancel or to delete the run.
        :param times: How many runs; None for all.
        """
        if isinstance(run_setting_ids, str):
            raise TypeError("run_setting_ids must be a list of strings")
        if operation not in REQUESTS.values():
            raise ValueError(f"operation must be one of {', '.join(REQUESTS.values())}")
        error_of(code, message)
        ids = None if run_setting_ids is None else frozenset(run_setting_ids)
        plan = SubmissionPlan(
            operation=operation, run_setting_ids=ids, code=code, message=message, times=times
        )
        with LOCAL.lock:
            LOCAL.submission_plans.append(plan)

    @verb
    def fail_batch(
        self,
        *,
        name: str | None = None,
        after: int = 0,
        failure_reason: str = TRANSIENT_ERROR,
        failure_code: str = TRANSIENT_CODE,
        times: int | None = 1,
    ) -> None:
        """
        Let the next batch end as FAILED, or the next of a name.

        :param after: How many of its runs are attempted before that; 0 fails it before it is SUBMITTING. A
            batch that has no more runs than that does not fail.
        :param failure_reason: For GetBatch.
        :param failure_code: For the event.
        :param times: How many batches; None for all.
        """
        plan = BatchPlan(name=name, times=times, after=after, reason=failure_reason, code=failure_code)
        with LOCAL.lock:
            LOCAL.batch_plans.append(plan)

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
    def batches(self) -> list[dict[str, Any]]:
        """Return the batches that were started and not deleted, in the order of their start."""
        with LOCAL.lock:
            apply_due_transitions()
            return [_batch_summary(batch) for batch in _all_batches()]

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

    @verb
    def wait_for_batch(
        self, status: str, *, batch_id: str | None = None, count: int = 1, timeout: float = 30.0
    ) -> None:
        """Wait until a batch, or so many batches, have a status."""

        def states() -> list[str]:
            return [batch.status for batch in _all_batches() if batch_id in (None, batch.id)]

        _wait(
            lambda: states().count(status) >= count,
            timeout,
            lambda: f"{states().count(status)} of {count} batches {status} among {dict(Counter(states()))}",
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
        "batchId": run.batch_id,
        "runSettingId": run.run_setting_id,
        "workflowId": run.workflow.id,
        "status": run.status,
        "failureReason": run.failure_reason if run.status == "FAILED" else None,
        "account": run.account,
        "region": run.region,
        "creationTime": run.created,
    }


def _all_batches() -> list[Batch]:
    batches = (batch for backend in all_backends() for batch in backend.batches)
    return sorted(batches, key=lambda batch: (batch.created, int(batch.id)))


def _chosen_batches(batch_id: str | None) -> list[tuple[OmicsBackend, Batch]]:
    apply_due_transitions()
    chosen = [
        (backend, batch)
        for backend in all_backends()
        for batch in backend.batches
        if batch_id in (None, batch.id)
    ]
    if batch_id is not None and not chosen:
        raise LookupError(f"there is no batch {batch_id}")
    return chosen


def _batch_summary(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "uuid": batch.uuid,
        "name": batch.request.get("batchName"),
        "requestId": batch.request["requestId"],
        "workflowId": batch.workflow.id,
        "status": batch.status,
        "failureReason": batch.failure_reason,
        "totalRuns": None if batch.entries is None else len(batch.entries),
        "submissionSummary": batch.submission_summary(),
        "account": batch.account,
        "region": batch.region,
        "creationTime": batch.created,
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
