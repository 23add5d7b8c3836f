# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The run batches of one account and region: their operations and state transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .batch import CANCELLABLE, ENDS, ORDER, REQUESTS, RUNS_DELETABLE, TERMINAL, Batch, BatchRun
from .batch_rules import (
    BadSettingsError,
    check_batch,
    check_setting,
    check_settings,
    etag_of,
    merged,
    read_settings,
)
from .events import announce_batch
from .exceptions import (
    ConflictException,
    HealthOmicsError,
    ResourceNotFoundException,
    ValidationException,
    error_of,
)
from .listing import after, name_matches, only_filter, page
from .run import Run
from .run_rules import check_request
from .runs import Runs
from .transitions import Transitions


class Batches:
    """The run batches."""

    def __init__(self, backend: Backend, runs: Runs, transitions: Transitions) -> None:
        self._backend = backend
        self._runs = runs
        self._transitions = transitions
        self._batches: dict[str, Batch] = {}

    def __iter__(self) -> Iterator[Batch]:
        return iter(list(self._batches.values()))

    # --- operations ---

    def start_run_batch(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start a batch, or return the batch of a known request id."""
        known: Batch | None = self._backend.request_ids.result("StartRunBatch", params)
        if known is not None:
            status = "CREATING" if LOCAL.options.duplicate_status == "pending" else known.status
            return {**known.start_view(), "status": status}
        check_batch(params)
        workflow, definition = self._runs.check_whole(params["defaultRunSetting"])
        settings = params["batchRunSettings"]
        inline, uri = settings.get("inlineSettings"), settings.get("s3UriSettings")
        batch_id = self._backend.new_id()
        batch = Batch(
            id=batch_id,
            uuid=LOCAL.uuid(),
            arn=self._backend.arn("runBatch", batch_id),
            account=self._backend.account_id,
            region=self._backend.region_name,
            request=params,
            workflow=workflow,
            definition=definition,
            created=LOCAL.clock.now(),
            plan=LOCAL.take_batch_plan(params.get("batchName")),
            entries=None if inline is None else _entries(inline),
            etag=None if uri is None else etag_of(uri, self._backend.account_id, self._backend.partition),
        )
        self._batches[batch_id] = batch
        self._backend.request_ids.remember("StartRunBatch", params, batch)
        self._announce(batch)
        return batch.start_view()

    def get_batch(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch."""
        return self._batch(params).view(LOCAL.clock.now())

    def list_batch(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of batches, the oldest first. AWS does not document the order."""
        only_filter(params, ("status", "name", "runGroupId"))
        return page(
            self._batches.values(),
            params,
            key=lambda batch: int(batch.id),
            item=Batch.item,
            wanted=lambda batch: (
                params.get("status") in (None, batch.status)
                and params.get("runGroupId") in (None, batch.defaults.get("runGroupId"))
                and name_matches(params.get("name"), batch.request.get("batchName"))
            ),
            size_member="maxItems",
        )

    def list_runs_in_batch(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of a batch's runs by settings. AWS does not document the order."""
        only_filter(params, ("submissionStatus", "runSettingId", "runId"))
        status, setting_id, run_id = (
            params.get(name) for name in ("submissionStatus", "runSettingId", "runId")
        )
        shows_all = LOCAL.options.batch_lists_unsubmitted
        entries = self._batch(params).entries or []
        return page(
            entries[after(params) :],
            params,
            key=lambda entry: entry.number,
            item=BatchRun.item,
            wanted=lambda entry: (
                status in (None, entry.status)
                and setting_id in (None, entry.setting["runSettingId"])
                and (run_id is None or (entry.run is not None and entry.run.id == run_id))
                and (shows_all or entry.status is not None)
            ),
            size_member="maxItems",
            result_member="runs",
        )

    def cancel_run_batch(self, params: Mapping[str, Any]) -> None:
        """Cancel the runs of a batch, including unsubmitted ones."""
        batch = self._unoccupied(params)
        if batch.status not in CANCELLABLE:
            raise error_of(
                LOCAL.options.cancel_error, f"Batch {batch.id} is {batch.status} and cannot be cancelled"
            )
        self._enter(batch, "STOPPING", LOCAL.clock.now())

    def delete_run_batch(self, params: Mapping[str, Any]) -> None:
        """Delete the runs of a batch. The batch remains."""
        batch = self._unoccupied(params)
        if batch.status not in RUNS_DELETABLE:
            raise error_of(
                LOCAL.options.delete_error,
                f"Batch {batch.id} is {batch.status} and its runs cannot be deleted",
            )
        self._enter(batch, "RUNS_DELETING", LOCAL.clock.now())

    def delete_batch(self, params: Mapping[str, Any]) -> None:
        """Delete a batch. Its runs remain."""
        batch = self._unoccupied(params)
        if batch.status not in TERMINAL:
            raise error_of(
                LOCAL.options.delete_error, f"Batch {batch.id} is {batch.status} and cannot be deleted"
            )
        del self._batches[batch.id]
        if not LOCAL.options.request_id_survives_delete:
            self._backend.request_ids.forget("StartRunBatch", batch.request["requestId"])

    # --- called by runs and the control ---

    def entered(self, run: Run, before: str, at: float) -> None:
        """Update the batch after one of its runs changed its state, and end it after the last run."""
        batch = self._batches.get(run.batch_id or "")
        if batch is None:
            return
        batch.runs.change(before, run.status, at)
        if not run.active:
            self._end_if_over(batch, at)

    def advance(self, batch: Batch, status: str, reason: str, code: str) -> None:
        """Move a batch, and if necessary its runs, through all intermediate states to a status."""
        if status == "FAILED" and batch.status in ("CREATING", "PENDING", "SUBMITTING"):
            return self._fail(batch, reason, code, LOCAL.clock.now())
        while _leads(batch.status, status):
            before = (batch.status, batch.cursor)
            if batch.status in ("INPROGRESS", "STOPPING") and batch.next_request is None:
                self._end_runs(batch)
            else:
                self.step(batch, LOCAL.clock.now(), throttled=False)
            if (batch.status, batch.cursor) == before:
                break  # a full run group blocks a run
        return None

    def request(self, batch: Batch, count: int) -> None:
        """Send the next requests of a batch."""
        for _ in range(count):
            if batch.status in REQUESTS:
                self.step(batch, LOCAL.clock.now(), throttled=False)

    def step(self, batch: Batch, at: float, *, throttled: bool = True) -> None:
        """Perform the next transition or request."""
        if batch.status == "CREATING":
            self._enter(batch, "PENDING", at)
        elif batch.status == "PENDING":
            self._validate(batch, at)
        elif batch.status in REQUESTS:
            self._request_next(batch, at, throttled)

    # --- transitions ---

    def _validate(self, batch: Batch, at: float) -> None:
        """Validate the settings, as the service does asynchronously before it submits runs."""
        uri = batch.request["batchRunSettings"].get("s3UriSettings")
        try:
            if uri is not None and batch.etag is not None:
                where = (batch.account, self._backend.partition)
                batch.entries = _entries(read_settings(uri, batch.etag, *where))
            check_settings([entry.setting for entry in batch.entries or ()])
        except BadSettingsError as error:
            # The code of the event in the user guide's example.
            return self._fail(batch, str(error), "VALIDATION_EXCEPTION", at)
        if batch.plan is not None and batch.plan.after == 0:
            return self._fail(batch, batch.plan.reason, batch.plan.code, at)
        return self._enter(batch, "SUBMITTING", at)

    def _request_next(self, batch: Batch, at: float, throttled: bool) -> None:
        """Send the next request, if there is one and the quota allows it."""
        handle: Callable[[Batch, BatchRun, float], None] = {
            "SUBMITTING": self._submit,
            "STOPPING": self._cancel,
            "RUNS_DELETING": self._delete,
        }[batch.status]
        entries = batch.entries or []
        while not batch.all_requested and self._skips(batch, entries[batch.cursor]):
            batch.cursor += 1
        if not batch.all_requested:
            plan = batch.plan
            if batch.status == "SUBMITTING" and plan is not None and batch.cursor >= plan.after:
                return self._fail(batch, plan.reason, plan.code, at)
            if throttled and (wait := self._wait(REQUESTS[batch.status], at)):
                batch.next_request = at + wait
                return self._backend.schedule.add(batch)
            handle(batch, entries[batch.cursor], at)
            batch.cursor += 1  # after the request: a deleted run must be counted before the batch ends
        if not batch.all_requested:
            rate = LOCAL.options.batch_runs_per_second
            batch.next_request = at if rate is None else at + 1 / rate
            return self._backend.schedule.add(batch)
        batch.next_request = None
        if batch.status == "SUBMITTING":
            self._enter(batch, "INPROGRESS", at)
        return self._end_if_over(batch, at)

    def _wait(self, operation: str, at: float) -> float:
        """Count a call for the account's quota, and return 0; else return the seconds to wait."""
        rate = LOCAL.options.rates.get(operation)
        if not LOCAL.options.throttling or rate is None:
            return 0.0
        key = (self._backend.account_id, self._backend.region_name, operation)
        return LOCAL.throttle.wait(key, rate, at)

    def _skips(self, batch: Batch, entry: BatchRun) -> bool:
        """Whether an entry needs no request; if so, record its outcome."""
        if batch.status == "SUBMITTING":
            return False
        if entry.run is None:
            if batch.status == "STOPPING" and entry.status is None:
                batch.never_submitted += 1
                if LOCAL.options.batch_unsubmitted_after_cancel == "CANCEL_SUCCESS":
                    batch.record(entry, "CANCEL_SUCCESS")
            return True
        finished = not entry.run.active if batch.status == "STOPPING" else entry.run.status == "DELETED"
        return finished and LOCAL.options.batch_skips_finished

    def _submit(self, batch: Batch, entry: BatchRun, at: float) -> None:
        try:
            LOCAL.fail_submission("StartRun", entry.setting_id)
            if batch.etag is not None:
                check_setting(entry.setting)
            request = merged(batch.defaults, entry.setting)
            if "outputUri" not in request:
                raise ValidationException("outputUri is required, in defaultRunSetting or for the run")
            check_request(request)
            run = self._runs.submit(request, at=at, batch_id=batch.id, run_setting_id=entry.setting_id)
        except HealthOmicsError as error:
            batch.record(entry, "FAILED", error)
        else:
            entry.run = run
            batch.record(entry, "SUCCESS")
            batch.runs.change(None, run.status, at)

    def _cancel(self, batch: Batch, entry: BatchRun, at: float) -> None:
        self._request(batch, entry, at, "CANCEL", self._runs.cancel)

    def _delete(self, batch: Batch, entry: BatchRun, at: float) -> None:
        self._request(batch, entry, at, "DELETE", self._runs.delete)

    def _request(
        self, batch: Batch, entry: BatchRun, at: float, kind: str, perform: Callable[[Run, float], None]
    ) -> None:
        """Cancel or delete the run of an entry, and record the outcome."""
        if entry.run is None:
            return
        try:
            LOCAL.fail_submission(f"{kind.capitalize()}Run", entry.setting_id)
            if entry.run.status == "DELETED":
                raise ResourceNotFoundException(f"Run {entry.run.id} not found")
            perform(entry.run, at)
        except HealthOmicsError as error:
            batch.record(entry, f"{kind}_FAILED", error)
        else:
            batch.record(entry, f"{kind}_SUCCESS")

    def _end_if_over(self, batch: Batch, at: float) -> None:
        """End the batch if it was only waiting for its runs."""
        if batch.status == "INPROGRESS" and not batch.runs.live:
            self._enter(batch, "PROCESSED", at)
        elif batch.status == "STOPPING" and batch.all_requested:
            if not batch.runs.live or LOCAL.options.batch_cancelled_when == "requested":
                self._enter(batch, "CANCELLED", at)
        elif batch.status == "RUNS_DELETING" and batch.all_requested:
            failed = batch.submissions["DELETE_FAILED"]
            self._enter(batch, "RUNS_DELETE_FAILED" if failed else "RUNS_DELETED", at)

    def _end_runs(self, batch: Batch) -> None:
        for entry in batch.entries or ():
            if entry.run is not None and entry.run.active:
                self._transitions.advance(entry.run, entry.run.outcome)

    def _fail(self, batch: Batch, reason: str, code: str, at: float) -> None:
        batch.failure_reason, batch.failure_code = reason, code
        self._enter(batch, "FAILED", at)
        if not LOCAL.options.batch_request_id_survives_failure:
            self._backend.request_ids.forget("StartRunBatch", batch.request["requestId"])

    def _enter(self, batch: Batch, status: str, at: float) -> None:
        batch.enter(status, at)
        self._announce(batch)

    def _announce(self, batch: Batch) -> None:
        announce_batch(batch)
        self._backend.schedule.add(batch)
        LOCAL.changed.notify_all()

    # --- look-up ---

    def _batch(self, params: Mapping[str, Any]) -> Batch:
        batch = self._batches.get(params["batchId"])
        if batch is None:
            raise ResourceNotFoundException(f"Batch {params['batchId']} not found")
        return batch

    def _unoccupied(self, params: Mapping[str, Any]) -> Batch:
        """Return a batch without a cancellation or deletion in progress: "only one at a time is allowed"."""
        batch = self._batch(params)
        if batch.status in ("STOPPING", "RUNS_DELETING"):
            raise ConflictException(f"Batch {batch.id} is {batch.status}: one cancel or delete at a time")
        return batch


def _leads(status: str, goal: str) -> bool:
    """Whether a batch passes from one state to another without further calls."""
    if status in ENDS:
        return goal in ENDS[status]
    return {status, goal} <= set(ORDER) and ORDER.index(status) < ORDER.index(goal)


def _entries(settings: list[dict[str, Any]]) -> list[BatchRun]:
    return [BatchRun(number, setting) for number, setting in enumerate(settings, 1)]
