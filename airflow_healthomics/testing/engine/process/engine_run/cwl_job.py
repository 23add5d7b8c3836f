# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""cwltool's jobs as processes on this machine, whatever container they require."""

from __future__ import annotations

from typing import Any

from cwltool.command_line_tool import CommandLineTool
from cwltool.job import CommandLineJob
from cwltool.workflow import default_make_tool

from .measured import await_command
from .tasks import DEFAULTS, TASKS

MIB = 2**20
#: In the resources of a job: the cores that it asks for, beside those that it gets here.
REQUESTED_CORES = "requestedCores"


class HostJob(CommandLineJob):
    """Runs a command, and measures it."""

    output_callback: Any
    _exceeded = False
    _exit_code: int | None = None

    def run(self, runtime_context: Any, tmpdir_lock: Any = None) -> None:
        """Run the command, with files for its standard output and standard error."""
        TASKS.begin(self.outdir, 1, self.name, self._resources())
        self._logs = f"{self.tmpdir}.stdout.txt", f"{self.tmpdir}.stderr.txt"
        callback = self.output_callback
        self.output_callback = lambda outputs, status: self._end(callback, outputs, status)
        with open(self._logs[0], "wb") as stdout, open(self._logs[1], "wb") as stderr:
            context = runtime_context.copy()
            context.default_stdout, context.default_stderr = stdout, stderr
            super().run(context, tmpdir_lock)

    def process_monitor(self, sproc: Any) -> None:
        """Wait for the command."""
        limit = int(self._resources()["memory_reservation"])
        self._exit_code, self._exceeded = await_command(sproc, self.outdir, limit=limit, logs=self._logs)

    def _end(self, callback: Any, outputs: Any, status: str) -> None:
        """Send the end of the task, unless it has ended by its memory."""
        if self._exceeded:
            status = "permanentFail"
        elif status == "success":
            TASKS.complete(self.outdir, self.name)
        elif self._exit_code:
            TASKS.end_failed(self.outdir, self._exit_code)
        else:
            TASKS.end(self.outdir, "FAILED", "RUN_TASK_FAILED", "The command or its outputs are not found")
        callback(outputs, status)

    def _resources(self) -> dict[str, Any]:
        """Return the resources under the names of the tasks; HealthOmics' own without a requirement."""
        container, _ = self.get_requirement("DockerRequirement")
        image = {"docker": (container or {}).get("dockerPull")}
        if self.get_requirement("ResourceRequirement")[0] is None:
            return {**DEFAULTS, **image}
        asked = self.builder.resources
        return {"cpu": asked[REQUESTED_CORES], "memory_reservation": int(asked["ram"] * MIB), **image}


class HostTool(CommandLineTool):
    """A tool whose jobs run on this machine."""

    def make_job_runner(self, runtime_context: Any) -> type[HostJob]:
        """Return the class of its jobs."""
        return HostJob


def make_tool(toolpath_object: Any, loading_context: Any) -> Any:
    """Return a part of a workflow."""
    if toolpath_object.get("class") == "CommandLineTool":
        return HostTool(toolpath_object, loading_context)
    return default_make_tool(toolpath_object, loading_context)
