# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for a command, and measure it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil

from .tasks import TASKS
from .usage import GIB, Usage

#: Seconds between two measurements of a task, at first and at most, and between two reports of them.
FIRST_SAMPLE_SECONDS = 0.005
SAMPLE_SECONDS = 0.1
REPORT_SECONDS = 1.0
#: Seconds between SIGTERM and SIGKILL for the command of a cancelled task.
GRACE_SECONDS = 1.0


def await_command(
    process: subprocess.Popen[bytes],
    directory: str,
    *,
    limit: int,
    logs: tuple[str, str],
    terminating: Callable[[], bool] = lambda: False,
) -> tuple[int, bool]:
    """
    Wait for the command of a task. It is killed if it exceeds its memory, or if the run is cancelled.

    :param directory: That of the task.
    :param limit: Bytes of memory.
    :param logs: Files of standard output and standard error.
    :return: the exit status, and whether it exceeded its memory; this is the end of the task
    """
    usage = Usage(process.pid)
    TASKS.running(directory)
    terminated: float | None = None
    pause = FIRST_SAMPLE_SECONDS
    while True:
        usage.sample()  # before wait4, after which the process is gone
        pid, status, resources = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if usage.memory_maximum > limit:
            _signal(usage, signal.SIGKILL)
        elif terminating() and terminated is None:
            terminated = time.monotonic()
            _signal(usage, signal.SIGTERM)
        elif terminated is not None and time.monotonic() - terminated > GRACE_SECONDS:
            _signal(usage, signal.SIGKILL)
        if usage.seconds_since_report() >= REPORT_SECONDS:
            TASKS.usage(directory, usage.report())
        time.sleep(pause)
        pause = min(2 * pause, SAMPLE_SECONDS)
    # So that the Popen object does not wait for it.
    process.returncode = os.waitstatus_to_exitcode(status)
    summary = usage.end(resources)
    TASKS.measure(directory, **summary, stdout=logs[0], stderr=logs[1])
    exceeded = usage.memory_maximum > limit
    if exceeded:
        used, most = usage.memory_maximum / GIB, limit / GIB
        message = f"The task used {used:.3f} of {most:.3f} GiB of memory"
        TASKS.end(directory, "FAILED", "OUT_OF_MEMORY_ERROR", message)
    return process.returncode, exceeded


def _signal(usage: Usage, number: int) -> None:
    for process in usage.processes():
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
