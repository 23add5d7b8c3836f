# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The process."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import WDL
from WDL._util import NOTICE_LEVEL
from WDL.runtime import task_container
from WDL.runtime.error import RunFailed
from WDL.runtime.workflow import run_local_workflow

from .cache import RunCache, configuration
from .container import HostContainer
from .document import RunError, inputs_of, load, tasks_of
from .events import Events, LogEvents
from .tasks import TASKS


def main() -> None:
    """Run a job, and send how it ended."""
    events = Events()
    TASKS.report_to(events)
    # By this signal, miniwdl ends the other tasks of a failed run.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        end = run(job, events)
    except RunError as error:
        end = {"status": "FAILED", "reason": error.reason, "message": str(error)}
    events.send("end", **end)


def run(job: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """
    Run the workflow, and return the fields of the last event.

    :raises RunError: if it fails before any task
    """
    logger = logging.getLogger("wdl")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(LogEvents(events, NOTICE_LEVEL))
    document = load(job["main"], strict=job["strict"])
    workflow = document.workflow
    inputs = inputs_of(workflow, job["parameters"], job["objects"])
    # Without this, miniwdl looks for the backends of the environment.
    task_container._backends.update({"host": HostContainer})
    tasks = dict(tasks_of(document))
    try:
        with RunCache(events, tasks, logger, found=job["cache"], stored=job["new_cache"]) as cache:
            _, outputs = run_local_workflow(
                configuration(logger), workflow, inputs, run_dir=f"{job['directory']}/.", _cache=cache
            )
    except RunFailed as error:
        TASKS.end_others()
        return _failure(error)
    return {"status": "COMPLETED", "outputs": WDL.values_to_json(outputs, namespace=workflow.name)}


def _failure(error: RunFailed) -> dict[str, Any]:
    """Return why the run failed: because of a task, or of the workflow itself."""
    if TASKS.failure is not None:
        reason, message = TASKS.failure
    else:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason, message = "WORKFLOW_RUN_FAILED", str(cause) or type(cause).__name__
    return {"status": "FAILED", "reason": reason, "message": message}


def _end_with_parent() -> None:
    """End with all children once standard input does."""
    while os.read(0, 1):
        continue
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
