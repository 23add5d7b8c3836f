# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""cwltool's jobs as processes on this machine, whatever container they require."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from cwltool.command_line_tool import CommandLineTool
from cwltool.job import CommandLineJob
from cwltool.process import shortname, uniquename
from cwltool.workflow import default_make_tool

from .cwl_cache import RunCache
from .measured import await_command
from .tasks import DEFAULTS, TASKS

MIB = 2**20
#: In the resources of a job: the cores that it asks for, beside those that it gets here.
REQUESTED_CORES = "requestedCores"
#: User guide, page "task-accelerators".
GPUS = "http://commonwl.org/cwltool#CUDARequirement"


class HostJob(CommandLineJob):
    """Runs a command, and measures it."""

    output_callback: Any
    #: Stores the outputs in the run cache.
    store: Callable[[Any], None] | None = None
    _exceeded = False
    _exit_code: int | None = None

    def run(self, runtime_context: Any, tmpdir_lock: Any = None) -> None:
        """Run the command once it is admitted, with files for its standard output and standard error."""
        TASKS.begin(self.outdir, 1, self.name, self._values())
        if not TASKS.await_admission(self.outdir, lambda: TASKS.failure is not None):
            with runtime_context.workflow_eval_lock:
                self.output_callback({}, "permanentFail")
            return
        self._ignore_gpus()
        self._logs = f"{self.tmpdir}.stdout.txt", f"{self.tmpdir}.stderr.txt"
        callback = self.output_callback
        self.output_callback = lambda outputs, status: self._end(callback, outputs, status)
        with open(self._logs[0], "wb") as stdout, open(self._logs[1], "wb") as stderr:
            context = runtime_context.copy()
            context.default_stdout, context.default_stderr = stdout, stderr
            super().run(context, tmpdir_lock)

    def process_monitor(self, sproc: Any) -> None:
        """Wait for the command."""
        limit = int(self._values()["memory_reservation"])
        self._exit_code, self._exceeded = await_command(sproc, self.outdir, limit=limit, logs=self._logs)

    def _end(self, callback: Any, outputs: Any, status: str) -> None:
        """Send the end of the task, unless it has ended by its memory."""
        if self._exceeded:
            status = "permanentFail"
        elif status == "success":
            if self.store is not None:
                self.store(outputs)
            TASKS.complete(self.outdir, self.name)
        elif self._exit_code:
            TASKS.end_failed(self.outdir, self._exit_code)
        else:
            TASKS.end(self.outdir, "FAILED", "RUN_TASK_FAILED", "The command or its outputs are not found")
        callback(outputs, status)

    def _ignore_gpus(self) -> None:
        """Remove the requirement of GPUs, which this machine may lack. Its run group has them."""
        builder = self.builder
        builder.requirements = [each for each in builder.requirements if each["class"] != GPUS]
        builder.hints = [each for each in builder.hints if each["class"] != GPUS]

    def _values(self) -> dict[str, Any]:
        return values_of(self, self.builder.resources)


class HostTool(CommandLineTool):
    """A tool whose jobs run on this machine, unless the run cache has their outputs."""

    cache: RunCache | None = None
    #: Sends that a task is a cache hit.
    send_hit: Callable[..., None]

    def make_job_runner(self, runtime_context: Any) -> type[HostJob]:
        """Return the class of its jobs."""
        return HostJob

    def job(self, job_order: Any, output_callbacks: Any, runtime_context: Any) -> Iterator[Any]:
        """Yield the job, or none if the run cache has its outputs."""
        if self.cache is None or not self._may_reuse():
            yield from super().job(job_order, output_callbacks, runtime_context)
            return
        name = runtime_context.name or shortname(self.tool["id"])
        builder = self._init_job(job_order, _without_directories(runtime_context))
        key = self.cache.key(name, self, builder.job)
        if (outputs := self.cache.get(key)) is not None:
            self.send_hit(uniquename(name), values_of(self, builder.resources))
            output_callbacks(outputs, "success")
            return
        for job in super().job(job_order, output_callbacks, runtime_context):
            job.store = partial(self.cache.put, key)
            yield job

    def _may_reuse(self) -> bool:
        """
        Return whether the task may be a cache hit.

        ``WorkReuse`` of CWL decides it for single tasks (user guide, page "workflow-cache-per-engine").
        """
        reuse, _ = self.get_requirement("WorkReuse")
        return bool((reuse or {}).get("enableReuse", True))


def make_tool(
    toolpath_object: Any, loading_context: Any, *, cache: RunCache | None, send_hit: Callable[..., None]
) -> Any:
    """Return a part of a workflow."""
    if toolpath_object.get("class") != "CommandLineTool":
        return default_make_tool(toolpath_object, loading_context)
    tool = HostTool(toolpath_object, loading_context)
    tool.cache, tool.send_hit = cache, send_hit
    return tool


def values_of(process: Any, resources: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the resources of a task under the names of ``TASKS``; HealthOmics' own without a requirement.

    :param process: The tool or the job.
    """
    container, _ = process.get_requirement("DockerRequirement")
    others = {"docker": (container or {}).get("dockerPull"), "gpus": resources.get("cudaDeviceCount", 0)}
    if process.get_requirement("ResourceRequirement")[0] is None:
        return {**DEFAULTS, **others}
    return {
        "cpu": resources[REQUESTED_CORES],
        "memory_reservation": int(resources["ram"] * MIB),
        **others,
    }


def _without_directories(runtime_context: Any) -> Any:
    """Return a context with which cwltool makes no directories for a job."""
    context = runtime_context.copy()
    context.outdir = context.tmpdir = context.stagedir = os.sep
    return context
