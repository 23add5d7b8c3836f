# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The process in which miniwdl runs a workflow, and its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

#: The folder of the package that runs in the process.
PACKAGES = Path(__file__).parent / "process"

#: Variables that commands inherit; no credentials of this machine among them.
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")

#: Seconds between SIGTERM and SIGKILL for the process. It gives its children one second.
GRACE_SECONDS = 5.0
#: Seconds that killed children may need to vanish.
REAP_SECONDS = 2.0


class EngineProcess:
    """
    A process with a job, the leader of a process group.

    :param python: Interpreter that has miniwdl.
    :param folder: Where the job and the log of the process are written.
    """

    def __init__(self, python: str | None, folder: Path, job: Mapping[str, Any]) -> None:
        file = folder / "job.json"
        file.write_text(json.dumps(job))
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with open(folder / "process.log", "ab") as log:
            self._process = subprocess.Popen(
                [python or sys.executable, "-m", "engine_run", str(file)],
                cwd=folder,
                env={**inherited, "HOME": str(folder), "PYTHONPATH": str(PACKAGES)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._ended = False

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the process until it ends, and then end its children."""
        try:
            for line in self._process.stdout or ():
                yield json.loads(line)
        finally:
            self.kill()

    def admit(self, key: str) -> None:
        """Let the process run the command of a task, which waits for this."""
        with self._lock, suppress(BrokenPipeError):
            if not self._ended and self._process.stdin is not None:
                os.write(self._process.stdin.fileno(), json.dumps(key).encode() + b"\n")

    def terminate(self) -> None:
        """Send SIGTERM to the process and its children, and SIGKILL if they do not end by that."""
        with self._lock:
            if not self._ended and self._timer is None:
                self._signal(signal.SIGTERM)
                self._timer = threading.Timer(GRACE_SECONDS, self.kill)
                self._timer.daemon = True
                self._timer.start()

    def kill(self) -> None:
        """Send SIGKILL to the process and its children, and wait for their end."""
        with self._lock:
            if not self._ended:
                # Never after the wait, when another process group may have the number.
                self._signal(signal.SIGKILL)
                self._ended = True
            if self._timer is not None:
                self._timer.cancel()
        self._process.wait()
        self._await_children()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _await_children(self) -> None:
        """Wait until the process group is empty. Whoever reaps orphans here may be slow, or not do it."""
        deadline = time.monotonic() + REAP_SECONDS
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self._process.pid, 0)
                time.sleep(0.005)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
