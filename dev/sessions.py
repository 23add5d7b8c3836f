# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
End processes together with all their children.

Airflow's tasks have separate process groups, so the unit is a session instead of a group. As a script, this
module is the guard process of :class:`Guard`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final

import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

_LIMIT_SECONDS: Final = 10


def members(session: int) -> list[int]:
    """Return the processes of a session, given the id of its leader, without zombies."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def kill(session: int) -> None:
    """Send SIGKILL to a session until it is empty, since its processes may fork meanwhile."""

    def attempt() -> list[int]:
        left = members(session)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    Retrying(
        retry=retry_if_result(bool),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(_LIMIT_SECONDS),
        reraise=True,
    )(attempt)


class Guard:
    """
    A process that kills sessions after the current process has died for any reason.

    It reads session ids from a pipe, and acts when the pipe is closed.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def watch(self, session: int) -> None:
        """Add a session."""
        self._tell(session)

    def forget(self, session: int) -> None:
        """Remove a finished session, since its id may be reused."""
        self._tell(-session)

    def close(self) -> None:
        """Kill the remaining processes of all sessions, and stop."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, number: int) -> None:
        if self._process.stdin is not None:
            print(number, file=self._process.stdin, flush=True)


def _guard() -> None:
    sessions = set()
    for number in map(int, sys.stdin):
        if number > 0:
            sessions.add(number)
        else:
            sessions.discard(-number)
    for session in sessions:
        kill(session)


if __name__ == "__main__":
    _guard()
