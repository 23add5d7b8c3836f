# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Verbs for runs and workflows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from moto.core.models import DEFAULT_ACCOUNT_ID

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.models import all_backends, apply_all_due_transitions, omics_backends
from airflow_healthomics.testing.omics.run import Run
from airflow_healthomics.testing.omics.states import ACTIVE, ENDED
from airflow_healthomics.testing.plans import RunPlan, TaskPlan

from .verbs import Verbs, verb, wait


class RunVerbs(Verbs):
    """Verbs for runs and workflows."""

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
        """Add a workflow with a chosen id, or a READY2RUN workflow. CreateWorkflow supports neither."""
        request = {"name": name, "engine": engine, "parameterTemplate": parameter_template}
        with LOCAL.lock:
            omics_backends[account][region].workflows.add(workflow_id, request, type)

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
        Plan the next run, or the next runs with a name, a workflow or a run setting.

        Of the plans that match a run, the most specific one applies: by run setting, then by name, then by
        workflow. Of equally specific plans, the first one applies.

        :param run_setting_id: Only runs of a batch with this run setting id.
        :param times: Number of runs; None for all.
        :param status: Their terminal status.
        :param failure_reason: For FAILED, e.g. ``RUN_TASK_FAILED``.
        :param tasks: Number of tasks, or a list with the fields of :class:`TaskPlan` of each task. A task
            with a ``failure_reason`` ends as FAILED; ``log`` is its log.
        :param seconds: Seconds by active status; None keeps the runs in that status.
        :param outputs: Texts by path below ``out/``.
        :param storage_maximum: Maximum storage in GiB. After the end of a run, HealthOmics reports it in the
            manifest and, for DYNAMIC storage, as storageCapacity; but not for DYNAMIC storage of a run under
            two hours.
        :param storage_average: Average storage in GiB, for the manifest.
        """
        if failure_reason is not None and status != "FAILED":
            raise ValueError("failure_reason requires status='FAILED'")
        if unknown := set(seconds or {}) - set(ACTIVE):
            names = ", ".join(sorted(unknown))
            raise ValueError(f"seconds has {names}, but only {', '.join(ACTIVE)} have a duration")
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
    def advance(
        self,
        status: str,
        *,
        run_id: str | None = None,
        failure_reason: str | None = None,
        status_message: str | None = None,
    ) -> dict[str, str]:
        """
        Move a run, or all active runs, through all intermediate states to ``status``, ignoring the pace.

        A run past ``status`` is unchanged. A terminal status replaces the planned one. DELETED removes the
        run as AWS would. A run whose run group is full stays PENDING.

        :return: the status of each run by its id. It differs from ``status`` if an export failed, or if the
            run group is full.
        """
        if status not in (*ACTIVE, *ENDED, "DELETED"):
            raise ValueError(f"{status} is not a status of a run")
        with LOCAL.lock:
            apply_all_due_transitions()
            chosen = [
                (backend, run)
                for backend in all_backends()
                for run in list(backend.runs.stored.values())
                if run.id == run_id or (run_id is None and run.active)
            ]
            if run_id is not None and not chosen:
                raise LookupError(f"there is no run {run_id}")
            for backend, run in chosen:
                if status == "DELETED":
                    backend.runs.remove(run, LOCAL.clock.now())
                else:
                    backend.transitions.advance(run, status, failure_reason, status_message)
            return {run.id: run.status for _, run in chosen}

    @verb
    def runs(self) -> list[dict[str, Any]]:
        """Return all started runs, including deleted ones, in the order of their start."""
        with LOCAL.lock:
            apply_all_due_transitions()
            return [_summary(run) for run in _all_runs()]

    @verb
    def runs_started(
        self, *, name: str | None = None, workflow_id: str | None = None, batch_id: str | None = None
    ) -> list[dict[str, Any]]:
        """
        Return the started runs, as :meth:`runs` does; a refused StartRun has started none.

        :param name: Only runs with this name.
        :param workflow_id: Only runs of this workflow.
        :param batch_id: Only runs of this batch.
        """
        wanted = {"name": name, "workflowId": workflow_id, "batchId": batch_id}
        return [
            run
            for run in self.runs()
            if all(value in (None, run[member]) for member, value in wanted.items())
        ]

    @verb
    def wait_for_run(
        self, status: str, *, run_id: str | None = None, count: int = 1, timeout: float = 30.0
    ) -> None:
        """Wait until a run, or ``count`` runs, have a status."""

        def states() -> list[str]:
            return [run.status for run in _all_runs() if run_id in (None, run.id)]

        wait(
            lambda: states().count(status) >= count,
            timeout,
            lambda: f"{states().count(status)} of {count} runs {status} among {dict(Counter(states()))}",
        )


def _all_runs() -> list[Run]:
    runs: Iterable[Run] = (
        run
        for backend in all_backends()
        for runs in (backend.runs.stored, backend.runs.deleted)
        for run in runs.values()
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
