# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""CPU time and memory of a command."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

GIB = 2**30
#: Bytes in a unit of ``ru_maxrss``.
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


class Usage:
    """
    What a process with all its children uses. Memory is in bytes.

    :param pid: A child of this process.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._started = self._sampled = self._reported = time.monotonic()
        self._cpu_seconds = 0.0
        self._byte_seconds = 0.0
        #: A new process inherits the peak of the one that started it.
        self._inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.cpus = 0.0
        self.cpus_maximum = 0.0
        self.memory = self.memory_maximum = _peak(pid)

    def processes(self) -> list[psutil.Process]:
        """Return the process and its children."""
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def sample(self) -> None:
        """Measure the memory. The peak of a process counts as well, since it may lie between two samples."""
        self.memory = sum(self._each(lambda process: int(process.memory_info().rss)))
        self.memory_maximum = max(
            self.memory_maximum, self.memory, *self._each(lambda process: _peak(process.pid)), 0
        )
        now = time.monotonic()
        self._byte_seconds += self.memory * (now - self._sampled)
        self._sampled = now

    def seconds_since_report(self) -> float:
        """Return the seconds since the last report, or since the start."""
        return time.monotonic() - self._reported

    def report(self) -> dict[str, float]:
        """Return CPUs and memory in use; CPUs since the last report, memory in GiB."""
        seconds = self.seconds_since_report()
        total = max(self._cpu_seconds, sum(self._each(_cpu_seconds)))
        self.cpus = (total - self._cpu_seconds) / seconds
        self._cpu_seconds = total
        self._reported += seconds
        self.cpus_maximum = max(self.cpus_maximum, self.cpus)
        return {"cpus": round(self.cpus, 3), "memory": self.memory / GIB}

    def end(self, resources: resource.struct_rusage) -> dict[str, float | None]:
        """
        Return the averages and maxima over the whole time, memory in GiB.

        The memory of a command of a few milliseconds is unknown.

        :param resources: What the system counted for the ended process.
        """
        if resources.ru_maxrss > self._inherited:
            self.memory_maximum = max(self.memory_maximum, resources.ru_maxrss * MAXRSS_BYTES)
        seconds = max(time.monotonic() - self._started, 1e-6)
        average = (resources.ru_utime + resources.ru_stime) / seconds
        measured = self.memory_maximum > 0
        return {
            "cpus_average": round(average, 3),
            "cpus_maximum": round(max(average, self.cpus_maximum), 3),
            "memory_average": round(min(self._byte_seconds / seconds, self.memory_maximum) / GIB, 6)
            if measured
            else None,
            "memory_maximum": round(self.memory_maximum / GIB, 6) if measured else None,
        }

    def _each(self, measure: Callable[[psutil.Process], T]) -> Iterator[T]:
        """Yield a measure of each process that has not ended meanwhile."""
        for process in self.processes():
            try:
                yield measure(process)
            except psutil.Error:
                continue


def _cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and of its ended children."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _peak(pid: int) -> int:
    """Return the most resident memory that a process has had, in bytes; 0 where the system lacks it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peaks = (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    return next(peaks, 0)
