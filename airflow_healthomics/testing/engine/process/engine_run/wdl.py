# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""WDL workflows, by miniwdl."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import Any

import WDL
from WDL._util import NOTICE_LEVEL
from WDL.runtime import task_container
from WDL.runtime.error import RunFailed
from WDL.runtime.workflow import run_local_workflow

from .events import Events, LogEvents
from .tasks import TASKS
from .wdl_cache import RunCache, configuration
from .wdl_container import HostContainer
from .wdl_document import inputs_of, load, tasks_of


def run(job: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """
    Run a workflow, and return the fields of the last event.

    :raises RunError: if it fails before any task
    """
    # By this signal, miniwdl ends the other tasks of a failed run.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    logger = logging.getLogger("wdl")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # Lines below its level NOTICE have the values of inputs.
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
