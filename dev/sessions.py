# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
End processes together with everything that they started.

Airflow's tasks have process groups of their own, so a whole session is ended, not a group. Run as a script,
this is the guard of :class:`Guard`.
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
    """Return the processes of a session, by its leader's id; zombies are none."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def kill(session: int) -> None:
    """Send SIGKILL to a session until nothing is left of it, since its processes may fork meanwhile."""

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
    A process that kills sessions when this one has died, however it died.

    It waits at a pipe for more session ids, and ends with the pipe.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def watch(self, session: int) -> None:
        """Add a session."""
        self._tell(session)

    def forget(self, session: int) -> None:
        """Leave out a session that has ended, as its id may be given to another one."""
        self._tell(-session)

    def close(self) -> None:
        """Kill what is left of every session, and end."""
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
