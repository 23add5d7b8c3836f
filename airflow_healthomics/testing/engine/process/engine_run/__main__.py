# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The process."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from .errors import RunError
from .events import Events
from .tasks import TASKS


def main() -> None:
    """Run a job, and send how it ended."""
    events = Events()
    TASKS.report_to(events)
    threading.Thread(target=_obey_parent, daemon=True).start()
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        # Each import costs a fraction of a second, and the interpreter may have only one engine.
        if job["language"] == "CWL":
            from .cwl import run
        else:
            from .wdl import run
        end = run(job, events)
    except ImportError as error:
        message = f"The engine for {job['language']} is not installed: {error}"
        end = {"status": "FAILED", "reason": "WORKFLOW_RUN_FAILED", "message": message}
    except RunError as error:
        end = {"status": "FAILED", "reason": error.reason, "message": str(error)}
    events.send("end", **end)


def _obey_parent() -> None:
    """Run tasks as standard input admits them, and end with all children once it ends."""
    # Unbuffered, since a buffer that a thread is reading cannot be closed at the end of the process.
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        for key in stdin:
            TASKS.admit(json.loads(key))
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
