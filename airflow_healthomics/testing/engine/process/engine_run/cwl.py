# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""CWL workflows, by cwltool."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote

from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.executors import MultithreadedJobExecutor
from cwltool.load_tool import load_tool
from cwltool.process import use_custom_schema
from schema_salad.exceptions import ValidationException

from .cwl_cache import RunCache
from .cwl_inputs import inputs_of
from .cwl_job import REQUESTED_CORES, make_tool
from .errors import RunError
from .events import Events, LogEvents
from .measured import GRACE_SECONDS
from .tasks import TASKS, described

#: Files of cwltool with the schemas of its extensions, by the version of CWL.
EXTENSIONS = {"v1.0": "extensions.yml", "v1.1": "extensions-v1.1.yml", "v1.2": "extensions-v1.2.yml"}


def run(job: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """
    Run a workflow, and return the fields of the last event.

    :raises RunError: if it fails before any task
    """
    signal.signal(signal.SIGTERM, _end_soon)
    directory = Path(job["directory"])
    directory.mkdir(parents=True)
    logger = logging.getLogger("cwltool")
    logger.handlers.clear()
    # At level INFO, cwltool logs command lines with the values of inputs.
    logger.addHandler(LogEvents(events, logging.WARNING))
    tasks = directory / "tasks"
    tasks.mkdir()
    # GPUs are requested by an extension.
    for version, name in EXTENSIONS.items():
        schema = files("cwltool").joinpath(name).read_text("utf-8")
        use_custom_schema(version, "http://commonwl.org/cwltool", schema)
    loading = LoadingContext()
    loading.construct_tool_object = partial(
        make_tool, cache=_cache(job, tasks), send_hit=partial(_send_hit, events)
    )
    try:
        tool = load_tool(job["main"], loading)
        inputs = inputs_of(tool, job["parameters"], job["objects"])
        executor = HostExecutor()
        outputs, status = executor.execute(tool, inputs, _context(directory, tasks, executor))
    except (ValidationException, WorkflowException) as error:
        if TASKS.failure is None:
            raise RunError("WORKFLOW_RUN_FAILED", str(error)) from None
        outputs, status = None, "permanentFail"
    if status == "success":
        return {"status": "COMPLETED", "outputs": _with_paths(outputs or {})}
    TASKS.end_others()
    reason, message = TASKS.failure or ("WORKFLOW_RUN_FAILED", "The workflow has failed")
    return {"status": "FAILED", "reason": reason, "message": message}


class HostExecutor(MultithreadedJobExecutor):
    """Runs as many tasks at a time as this machine has CPUs. A task may request more."""

    def __init__(self) -> None:
        super().__init__()
        self.max_ram = self.max_cuda = sys.maxsize

    def select_resources(self, request: dict[str, Any], runtime_context: Any) -> dict[str, Any]:
        """Return the resources of a task, with the requested and the available cores."""
        most = {"coresMin": min(request["coresMin"], self.max_cores)}
        selected: dict[str, Any] = super().select_resources({**request, **most}, runtime_context)
        return {**selected, REQUESTED_CORES: math.ceil(request["coresMax"])}


def _cache(job: Mapping[str, Any], tasks: Path) -> RunCache | None:
    """Return the run cache, if the run has one."""
    if job["cache"] is None:
        return None
    return RunCache(found=job["cache"], stored=job["new_cache"], definition=job["definition"], scratch=tasks)


def _send_hit(events: Events, name: str, values: Mapping[str, Any]) -> None:
    events.send("cached", key=name, **described(name, values))


def _context(directory: Path, tasks: Path, executor: HostExecutor) -> RuntimeContext:
    prefix = f"{tasks}{os.sep}"
    return RuntimeContext(
        {
            "basedir": str(directory),
            "outdir": str(directory / "out"),
            "tmpdir_prefix": prefix,
            "tmp_outdir_prefix": prefix,
            "select_resources": executor.select_resources,
            "use_container": False,
            "rm_tmpdir": False,
            # The run cache has the paths of outputs.
            "move_outputs": "copy",
        }
    )


def _with_paths(value: Any) -> Any:
    """Return the outputs with paths in place of file URIs, and without what cwltool adds for itself."""
    if isinstance(value, str) and value.startswith("file://"):
        return unquote(value.removeprefix("file://"))
    if isinstance(value, list):
        return [_with_paths(each) for each in value]
    if isinstance(value, dict):
        return {name: _with_paths(each) for name, each in value.items() if "://" not in name}
    return value


def _end_soon(number: int, frame: FrameType | None) -> None:
    """End a cancelled run, once its commands had time to end. They get the signal, too."""
    threading.Timer(GRACE_SECONDS, os._exit, (128 + number,)).start()
