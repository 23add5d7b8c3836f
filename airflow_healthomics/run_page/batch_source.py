# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch a batch from AWS for the run page: its counts and its failed runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from airflow_healthomics.batches.outcomes import NOT_STARTED, counts_of_batch
from airflow_healthomics.links import batch_urls
from airflow_healthomics.run_page import payload
from airflow_healthomics.run_page.answers import POLL_SECONDS, Page, make_page
from airflow_healthomics.run_page.calls import LINKS, Calls

#: Failed runs to describe per fetch of a batch. Each costs two calls.
MAX_DESCRIBED: Final = 10


class BatchSource(Calls):
    """Batches, fetched with the connection of a task."""

    def batch(
        self, batch_id: str, *, uuid: str | None, label: str | None = None, latest: Page | None
    ) -> Page:
        """
        Fetch a batch and some of its failed runs.

        :param batch_id: HealthOmics batch id
        :param uuid: its uuid, if known
        :param label: what distinguishes the task from its mapped siblings, if anything
        :param latest: the previous page
        :raises PageError: if AWS refuses a call
        """
        as_of = datetime.now(UTC)
        batch = self._get_batch(batch_id, uuid)
        notices: list[str] = []
        counts = counts_of_batch(batch)
        failed: list[dict[str, Any]] = []
        memory: dict[Any, Any] = {}
        # The counts of an active batch are inexact, but zero saves a call.
        if counts.get(NOT_STARTED):
            failed += self._not_submitted(batch_id, notices)
        if counts.get("FAILED") and len(failed) < payload.MAX_FAILED:
            known = latest.memory if latest else {}
            runs = self._failed_runs(batch_id, payload.MAX_FAILED - len(failed), notices)
            memory = self._described(batch_id, runs, known, notices)
            failed += [payload.failed_run(item, memory.get(item["id"], {})) for item in runs]
        urls = batch_urls(batch, self._region, self._hook.conn_partition)
        answer = payload.batch_answer(
            batch,
            workflow_name=self._workflow_name(batch.get("defaultRunSetting", {}), notices),
            failed=failed,
            label=label or payload.custom_name(batch),
            links={LINKS[key]: url for key, url in urls.items()},
            notices=notices,
            as_of=as_of,
            poll_seconds=POLL_SECONDS,
        )
        return make_page(answer, memory=memory)

    def _not_submitted(self, batch_id: str, notices: list[str]) -> list[dict[str, Any]]:
        with self._calling("ListRunsInBatch", f"batch {batch_id}", notices):
            page = self._hook.conn.list_runs_in_batch(
                batchId=batch_id, submissionStatus="FAILED", maxItems=payload.MAX_FAILED
            )
            return [payload.not_submitted(item) for item in page["runs"]]
        return []

    def _failed_runs(self, batch_id: str, count: int, notices: list[str]) -> list[Mapping[str, Any]]:
        with self._calling("ListRuns", f"batch {batch_id}", notices):
            page = self._hook.conn.list_runs(batchId=batch_id, status="FAILED", maxResults=count)
            return [*page["items"]]
        return []

    def _described(
        self,
        batch_id: str,
        runs: list[Mapping[str, Any]],
        known: Mapping[Any, Any],
        notices: list[str],
    ) -> dict[Any, Any]:
        """Return details of failed runs by id: those already known, and a few more from AWS."""
        described = {run["id"]: known[run["id"]] for run in runs if run["id"] in known}
        unknown = [run["id"] for run in runs if run["id"] not in known]
        for run_id in unknown[:MAX_DESCRIBED]:
            more: dict[str, Any] = {}
            before = len(notices)
            with self._calling("ListRunsInBatch", f"batch {batch_id}", notices):
                for item in self._hook.list_runs_in_batch(batch_id, run_id=run_id):
                    more["runSettingId"] = item["runSettingId"]
            with self._calling("GetRun", f"run {run_id}", notices):
                run = self._hook.get_run(run_id)
                more |= {name: run[name] for name in ("failureReason", "statusMessage") if name in run}
            if len(notices) > before:
                break
            described[run_id] = more
        return described
