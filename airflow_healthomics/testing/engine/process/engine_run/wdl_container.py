# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""miniwdl's task containers as processes of this machine, without containers."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from WDL import Type
from WDL.runtime import task_container
from WDL.runtime.error import Terminated

from .measured import await_command
from .tasks import DEFAULTS, TASKS


class HostContainer(task_container.TaskContainer):
    """Runs commands as processes of this machine. Its paths in the container are those of the host."""

    @classmethod
    def global_init(cls, cfg: Any, logger: Any) -> None:
        """Initialize nothing."""

    @classmethod
    def detect_resource_limits(cls, cfg: Any, logger: Any) -> dict[str, int]:
        """Return the CPUs and the memory of this machine."""
        return {"cpu": os.cpu_count() or 1, "mem_bytes": int(psutil.virtual_memory().total)}

    def __init__(self, cfg: Any, run_id: str, host_dir: str) -> None:
        super().__init__(cfg, run_id, host_dir)
        self.container_dir = host_dir

    def process_runtime(self, logger: Any, runtime_eval: dict[str, Any]) -> None:
        """
        Add the GPUs, which miniwdl does not know, and the defaults of HealthOmics.

        ``acceleratorCount`` is their number (user guide, page "task-accelerators").
        "If you don't specify any compute or memory requirements, HealthOmics defaults to a CPU instance with
        1 vCPU and 1 GiB of memory" (user guide, page "task-compute-resources").
        """
        super().process_runtime(logger, runtime_eval)
        if "acceleratorCount" in runtime_eval:
            self.runtime_values["gpus"] = runtime_eval["acceleratorCount"].coerce(Type.Int()).value
        for name, value in DEFAULTS.items():
            self.runtime_values.setdefault(name, value)

    def host_work_dir(self) -> str:
        """Return the working directory: the same for each attempt, since commands contain its path."""
        return os.path.join(self.host_dir, "work")

    def reset(self, logger: Any) -> None:
        """Put the working directory of a failed attempt aside."""
        os.rename(self.host_work_dir(), os.path.join(self.host_dir, f"work{self.try_counter}"))
        super().reset(logger)

    def _run(self, logger: Any, terminating: Callable[[], bool], command: str) -> int:
        """Run the command, and return its exit status, or that of SIGKILL if it used too much memory."""
        TASKS.begin(self.host_dir, self.try_counter, self.run_id, self.runtime_values)
        if not TASKS.await_admission(self.host_dir, terminating):
            raise Terminated(quiet=True)
        self._link_inputs()
        exit_code, exceeded = await_command(
            self._start(command),
            self.host_dir,
            limit=self.runtime_values["memory_reservation"],
            logs=self._logs(),
            terminating=terminating,
        )
        if exceeded:
            return 128 + signal.SIGKILL
        if terminating():
            TASKS.end(self.host_dir, "CANCELLED")
        elif not self.success_exit_code(exit_code):
            TASKS.end_failed(self.host_dir, exit_code)
        return exit_code

    def _logs(self) -> tuple[str, str]:
        """Return the files of standard output and standard error."""
        files: tuple[str, str] = self.host_stdout_txt(), self.host_stderr_txt()
        return files

    def _link_inputs(self) -> None:
        for host_path, container_path in self.input_path_map.items():
            link = Path(container_path.rstrip("/"))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(host_path.rstrip("/"))

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        script, temporary = Path(self.host_dir, "command"), Path(self.host_dir, "tmp")
        script.write_text(command)
        temporary.mkdir(exist_ok=True)
        own = {"HOME": self.host_work_dir(), "TMPDIR": str(temporary)}
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        shell = shlex.split(self.cfg.get("task_runtime", "command_shell"))
        with open(self._logs()[0], "ab") as stdout, open(self._logs()[1], "ab") as stderr:
            return subprocess.Popen(
                [*shell, str(script)],
                cwd=self.host_work_dir(),
                env={**inherited, **own, **self.runtime_values.get("env", {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
