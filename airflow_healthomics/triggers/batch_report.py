# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The report on a batch, made in the triggerer, so that no worker slot is held while lists are read.

The calls are made in a thread, at half the quota of each operation, which polls of other tasks need, too. If
anything fails, the event has no report. Then the resumed task makes it, or fails with the reason.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.hooks.base import CONNECTION_MISTAKES
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import AIRFLOW_API_ERRORS, error_code
from airflow_healthomics.service.log import Log
from airflow_healthomics.starting.turnstile import Turnstile
from airflow_healthomics.triggers.kill import CancelOnKillTrigger

#: Calls per second of all reports of a connection, half of the documented quota of ListRuns and GetRun:
#: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_RATE: Final = 5.0

#: Reports that are made at the same time.
_AT_ONCE: Final = 4

#: Seconds before the deferral times out at which a report is given up.
_MARGIN: Final = 30.0

_ERRORS: Final = (AirflowException, BotoCoreError, ClientError, *AIRFLOW_API_ERRORS, *CONNECTION_MISTAKES)

_threads: Final = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="healthomics-report")

_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, CallQueue]] = WeakKeyDictionary()


class StoppedError(Exception):
    """Nobody waits for the report any longer."""


class CallQueue:
    """Lets one call after the other pass, at a steady rate."""

    def __init__(self) -> None:
        self._turnstile = Turnstile(_RATE)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for a turn."""
        with self._lock:
            turn = self._turnstile.reserve(time.monotonic())
        time.sleep(max(0.0, turn - time.monotonic()))


class Calls:
    """
    The calls of one report.

    :param queue: queue of the connection
    """

    def __init__(self, queue: CallQueue) -> None:
        self._queue = queue
        self._is_stopped = threading.Event()

    def slow_down(self, client: Any) -> None:
        """
        Make the calls of a client wait for their turn.

        :param client: a botocore client of HealthOmics
        """
        client.meta.events.register_first("before-send.omics", self._before_send)

    def stop(self) -> None:
        """Make the next call fail, which ends the thread."""
        self._is_stopped.set()

    def _before_send(self, **_: Any) -> None:
        if not self._is_stopped.is_set():
            self._queue.wait()
        if self._is_stopped.is_set():
            raise StoppedError


async def report_on(
    trigger: CancelOnKillTrigger, plan: Mapping[str, Any], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the part of the event with the report on a batch, empty if it cannot be made or is not needed.

    :param trigger: trigger of the task
    :param plan: what the task needs to know, a :class:`airflow_healthomics.batches.report.ReportPlan`
    :param summary: summary of the batch
    """
    loop = asyncio.get_running_loop()
    calls = Calls(_queues.setdefault(loop, {}).setdefault(trigger.connection_key, CallQueue()))
    try:
        async with asyncio.timeout(_seconds_left(trigger)):
            hook = await trigger.connect()
            client = await sync_to_async(_connect)(hook, has_files=bool(plan["folder"]))
            calls.slow_down(client)
            arguments = (hook, client, plan, summary, trigger.log)
            return await loop.run_in_executor(_threads, copy_context().run, _make_report, *arguments)
    except _ERRORS as error:
        trigger.log.warning(
            "The triggerer could not report the outcomes of batch %s: %s. The task resumes and reads them on "
            "a worker",
            summary["id"],
            error_code(error),
        )
        return {}
    finally:
        calls.stop()


def _seconds_left(trigger: CancelOnKillTrigger) -> float | None:
    if trigger.deadline is None:
        return None
    return trigger.deadline.timestamp() - time.time() - _MARGIN


def _connect(hook: HealthOmicsHook, *, has_files: bool) -> Any:
    """Return a patient client, and make that of S3. A session must make one client at a time."""
    # Triggers of runs do not need this import, nor those below.
    from airflow_healthomics.batches.outcomes import patient_client

    if has_files:
        _ = hook.s3_client
    return patient_client(hook)


def _make_report(
    hook: HealthOmicsHook, client: Any, plan: Mapping[str, Any], summary: Mapping[str, Any], log: Log
) -> dict[str, Any]:
    from airflow_healthomics.batches.outcomes import collect_outcomes
    from airflow_healthomics.batches.report import ReportPlan, has_enough_completed, report_on_runs
    from airflow_healthomics.batches.result import BatchReview
    from airflow_healthomics.batches.start_report import open_folder, report_on_start

    known = ReportPlan(**plan)
    if known.is_started_here:
        review, folder = BatchReview(hook, log, client), open_folder(known, hook)
        report, _ = report_on_start(review, summary, known, wanted=None, folder=folder, log=log)
    elif has_enough_completed(summary, known.policy):
        return {}
    else:
        outcomes = list(collect_outcomes(client, [summary["id"]]).values())
        report = report_on_runs(client, summary, outcomes, known.policy, log)
    return report.to_event(known)
