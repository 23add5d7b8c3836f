# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The usage of a run or a batch of runs: time, CPU, GPU and memory hours, storage; no prices. Pure functions.

An unknown figure is absent, never 0. ``isPartial`` marks usage with missing data, so sums are lower bounds.

Sources: the botocore model of GetRun, ListRuns and ListRunTasks. For the manifest: the pages
"getinfo-about-runs" and "monitoring-cloudwatch-logs" of the user guide, and the run analyzer of AWS:
https://github.com/awslabs/aws-healthomics-tools/tree/main/omics/cli/run_analyzer
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from operator import attrgetter
from typing import Any, Final

from airflow_healthomics.service import run_states
from airflow_healthomics.service.times import as_time, seconds_between

#: Number of longest tasks of a run, or longest runs of a batch, to report.
LONGEST: Final = 3

_HOUR: Final = 3600.0

#: Larger numbers of CPUs, GiB or seconds are discarded as errors, so that sums stay finite.
_PLAUSIBLE: Final = 1e12

#: Task states (the model's TaskStatus) that imply a start time. A task that was cancelled or failed may never
#: have started.
_HAS_RUN: Final = frozenset({"RUNNING", "STOPPING", "COMPLETED"})

#: Status of a completed task in the user guide's example of a manifest. The run analyzer expects COMPLETED.
_MANIFEST_SUCCESS: Final = "SUCCESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A task from ListRunTasks or from the manifest; None means unknown."""

    id: str
    name: str
    status: str
    seconds: float | None
    started: datetime | None
    stopped: datetime | None
    cpus: float | None
    memory: float | None
    gpus: float | None
    instance_type: str | None
    is_cached: bool

    @property
    def has_run(self) -> bool:
        """Whether the task occupied an instance. A task from the run cache does not."""
        return not self.is_cached and (self.seconds is not None or self.status in _HAS_RUN)


def usage_of_run(
    run: Mapping[str, Any],
    tasks: Iterable[Mapping[str, Any]] | None,
    *,
    manifest_run: Mapping[str, Any] | None = None,
    is_complete: bool = True,
    until: datetime | None = None,
) -> dict[str, Any]:
    """
    Return the usage of a run, as JSON values.

    - ``seconds``: ``total`` from creation to stop, ``queued`` from creation to start (PENDING and STARTING;
      HealthOmics has no separate times for them), and ``running`` from start to stop. If all tasks are known,
      ``running`` is also split into ``beforeTasks`` (import of the inputs), ``tasks`` from the first start to
      the last stop of a task, and ``afterTasks`` (export of the outputs).
    - ``tasks``: number of tasks by status; ``cacheHits``: number of tasks from the run cache.
    - ``taskHours``: sum of the hours of all tasks; ``cpuHours``, ``gpuHours`` and ``memoryGiBHours``: CPUs,
      GPUs and GiB requested by each task, times its hours. These are reservations. They include neither
      utilization nor the size of the instance. A task from the run cache counts as 0.
    - ``storage``: ``type``; ``requestedGiB`` (STATIC) or ``maximumGiB`` (DYNAMIC, terminal runs only) from
      storageCapacity of GetRun; ``reservedGiB``, ``maximumGiB`` and ``averageGiB`` from the manifest.
      HealthOmics reports no storage for DYNAMIC runs under two hours.
    - ``longestTasks``: up to three, with ``taskId``, ``name``, ``seconds`` and ``instanceType``.
    - ``isPartial``: whether tasks are missing, or some of their data.

    :param run: answer of GetRun, or a summary of it; times may be text
    :param tasks: items of ListRunTasks or objects of the manifest; None if they could not be read
    :param manifest_run: object of the run in the manifest
    :param is_complete: whether ``tasks`` are all tasks of the run
    :param until: now, for an active run; without it an active task makes the usage partial
    """
    known = None if tasks is None else [_task(item, until) for item in tasks]
    created, started, stopped = (as_time(run.get(f"{name}Time")) for name in ("creation", "start", "stop"))
    end = stopped or until
    usage: dict[str, Any] = {}
    seconds = {
        "total": seconds_between(created, end),
        "queued": seconds_between(created, started or end),
        "running": seconds_between(started, end),
    }
    is_partial = known is None or not is_complete
    if known is not None:
        ran = [task for task in known if task.has_run]
        is_partial |= any(None in (task.seconds, task.cpus, task.memory) for task in ran)
        usage |= _task_figures(known, ran)
        if not is_partial and stopped:
            seconds |= _split(ran, started, stopped)
    usage["seconds"] = {name: round(value, 3) for name, value in seconds.items() if value is not None}
    if storage := _storage(run, (manifest_run or {}).get("metrics")):
        usage["storage"] = storage
    return usage | {"isPartial": is_partial}


def _task_figures(tasks: list[_Task], ran: list[_Task]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "tasks": dict(Counter(task.status for task in tasks)),
        "cacheHits": sum(task.is_cached for task in tasks),
    }
    timed = [task for task in ran if task.seconds is not None]
    for name, attribute in (("cpuHours", "cpus"), ("gpuHours", "gpus"), ("memoryGiBHours", "memory")):
        parts = [
            (task.seconds or 0.0) * amount
            for task in timed
            if (amount := getattr(task, attribute)) is not None
        ]
        if parts or not ran:
            figures[name] = _hours(math.fsum(parts))
    if timed or not ran:
        figures["taskHours"] = _hours(math.fsum(task.seconds or 0.0 for task in timed))
    figures["longestTasks"] = [
        {
            name: value
            for name, value in (
                ("taskId", task.id),
                ("name", task.name),
                ("seconds", round(task.seconds or 0.0, 3)),
                ("instanceType", task.instance_type),
            )
            if value not in (None, "")
        }
        for task in nlargest(LONGEST, timed, key=attrgetter("seconds"))
    ]
    return figures


def _split(ran: list[_Task], started: datetime | None, stopped: datetime) -> dict[str, float | None]:
    """Return the seconds before, during and after the tasks, if all task times are within the run's."""
    starts = [task.started for task in ran if task.started]
    stops = [task.stopped for task in ran if task.stopped]
    if not started or not starts or len(starts) != len(ran) or len(stops) != len(ran):
        return {}
    first, last = min(starts), max(stops)
    if not started <= first <= last <= stopped:
        return {}
    return {
        "beforeTasks": seconds_between(started, first),
        "tasks": seconds_between(first, last),
        "afterTasks": seconds_between(last, stopped),
    }


def _storage(run: Mapping[str, Any], metrics: Any) -> dict[str, Any]:
    storage: dict[str, Any] = {}
    kind = run.get("storageType")
    if kind:
        storage["type"] = kind
    # Zero also means that DYNAMIC storage was not measured.
    if capacity := as_number(run.get("storageCapacity")):
        if kind == "STATIC":
            storage["requestedGiB"] = capacity
        elif kind == "DYNAMIC" and run.get("status") in run_states.TERMINAL:
            storage["maximumGiB"] = capacity
    for name in ("reserved", "maximum", "average"):
        if isinstance(metrics, Mapping) and (amount := as_number(metrics.get(f"storage{name.title()}GiB"))):
            storage[f"{name}GiB"] = amount
    return storage


def _task(item: Mapping[str, Any], until: datetime | None) -> _Task:
    """Parse a task of ListRunTasks or of the manifest. The latter has an ``arn`` instead of a ``taskId``."""
    started, stopped = as_time(item.get("startTime")), as_time(item.get("stopTime"))
    status = str(item.get("status") or "UNKNOWN")
    status = "COMPLETED" if status == _MANIFEST_SUCCESS else status
    seconds = seconds_between(started, stopped or (until if status in run_states.ACTIVE else None))
    metrics = item.get("metrics")
    if seconds is None and isinstance(metrics, Mapping):
        seconds = as_number(metrics.get("runningSeconds"))
    return _Task(
        id=task_id(item) or "",
        name=str(item.get("name") or ""),
        status=status,
        seconds=seconds,
        started=started,
        stopped=stopped,
        cpus=as_number(item.get("cpus")),
        memory=as_number(item.get("memory")),
        gpus=as_number(item.get("gpus")),
        instance_type=str(item["instanceType"]) if item.get("instanceType") else None,
        # In a manifest, a completed task without times came from the run cache, as in the run analyzer.
        is_cached=item.get("cacheHit") is True
        or ("taskId" not in item and status == "COMPLETED" and seconds is None and not (started or stopped)),
    )


def task_id(item: Mapping[str, Any]) -> str | None:
    """
    Return the id of a task.

    :param item: from ListRunTasks, or from the manifest, where the id is the end of the ARN
    """
    if identifier := item.get("taskId"):
        return str(identifier)
    arn = item.get("arn")
    return arn.rpartition("/")[2] if isinstance(arn, str) else None


@dataclass(slots=True)
class BatchUsage:
    """
    Sums over all runs of a batch, whatever their status, from items of ListRuns. They include no tasks.

    :ivar runs: number of added runs
    """

    runs: int = 0
    _is_partial: bool = False
    _queued: list[float] = field(default_factory=list)
    _running: list[tuple[float, str]] = field(default_factory=list)
    _storage: dict[str, list[float]] = field(default_factory=dict)

    def add(self, run: Mapping[str, Any]) -> None:
        """
        Add a run.

        :param run: an item of ListRuns, or an answer of GetRun
        """
        usage = usage_of_run(run, ())
        seconds = usage["seconds"]
        self.runs += 1
        self._is_partial |= run.get("status") not in run_states.TERMINAL or "total" not in seconds
        if "queued" in seconds:
            self._queued.append(seconds["queued"])
        if "running" not in seconds:
            return
        self._running.append((seconds["running"], str(run.get("id", ""))))
        storage = usage.get("storage", {})
        if gib := storage.get("requestedGiB") or storage.get("maximumGiB"):
            self._storage.setdefault(storage["type"], []).append(gib * seconds["running"])

    def add_unlisted(self) -> None:
        """Count a run that was started but is no longer listed."""
        self._is_partial = True

    def figures(self) -> dict[str, Any]:
        """
        Return the sums, as JSON values, or an empty dict if no run was added.

        - ``runs``: number of runs; ``seconds``: ``queued`` and ``running``, defined as in
          :func:`usage_of_run`; ``runHours``: ``running`` in hours.
        - ``storage`` by type: ``STATIC`` has ``requestedGiBHours``, the requested capacity times the hours of
          the run. ``DYNAMIC`` has ``maximumGiBHours``, the maximum of the run times its hours, which
          exceeds its average usage. Both have ``runs``, the number of runs with a known storage.
        - ``longestRuns``: up to three, with ``id`` and ``seconds`` of running.
        - ``isPartial``: whether a run is active or deleted, or its times are unknown.
        """
        if not self.runs:
            return {}
        running = math.fsum(seconds for seconds, _ in self._running)
        figures: dict[str, Any] = {
            "runs": self.runs,
            "seconds": {"queued": round(math.fsum(self._queued), 3), "running": round(running, 3)},
            "runHours": _hours(running),
            "longestRuns": [
                {"id": run_id, "seconds": round(seconds, 3)}
                for seconds, run_id in nlargest(LONGEST, self._running)
            ],
            "isPartial": self._is_partial,
        }
        if self._storage:
            figures["storage"] = {
                kind: {
                    "runs": len(parts),
                    "requestedGiBHours" if kind == "STATIC" else "maximumGiBHours": _hours(math.fsum(parts)),
                }
                for kind, parts in sorted(self._storage.items())
            }
        return figures


def describe_run_usage(usage: Mapping[str, Any]) -> list[str]:
    """
    Return one or two lines of text, such as "Used 12.4 CPU hours and 40.1 GiB hours of memory in 37 tasks".

    :param usage: from :func:`usage_of_run`
    """
    lines = []
    if "tasks" in usage:
        amounts = [
            f"{_amount(usage[name])} {unit}"
            for name, unit in (
                ("cpuHours", "CPU hours"),
                ("gpuHours", "GPU hours"),
                ("memoryGiBHours", "GiB hours of memory"),
            )
            if usage.get(name) or (name == "cpuHours" and name in usage)
        ]
        count, cached = sum(usage["tasks"].values()), usage["cacheHits"]
        amount = f" {_listed(amounts)} in" if amounts else ""
        least = " at least" if usage["isPartial"] else ""
        lines.append(
            f"Used{least}{amount} {count:,} task{'' if count == 1 else 's'}"
            + (f", {cached:,} of them from the run cache" if cached else "")
        )
    parts = []
    if "running" in usage["seconds"]:
        parts.append(f"Running for {_duration(usage['seconds']['running'])}")
    if "queued" in usage["seconds"]:
        parts.append(f"{'after' if parts else 'After'} {_duration(usage['seconds']['queued'])} in the queue")
    line = " ".join(parts)
    if longest := usage.get("longestTasks"):
        named = ", ".join(
            f"{task.get('name') or task.get('taskId', 'a task')} ({_duration(task['seconds'])}"
            + (f", {task['instanceType']})" if "instanceType" in task else ")")
            for task in longest
        )
        line += f"{'; longest' if line else 'Longest'} tasks: {named}"
    return [*lines, line] if line else lines


def describe_batch_usage(usage: Mapping[str, Any]) -> str:
    """
    Return a line of text.

    :param usage: from :meth:`BatchUsage.figures`, not empty
    """
    least = "At least " if usage["isPartial"] else ""
    queued = _hours(usage["seconds"]["queued"])
    return (
        f"{least}{_amount(usage['runHours'])} hours running and {_amount(queued)} hours in the queue, "
        f"summed over {usage['runs']:,} run{'' if usage['runs'] == 1 else 's'}"
    )


def as_number(value: Any) -> float | None:
    """Return a plausible number of CPUs, GiB or seconds, or None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value <= _PLAUSIBLE else None


def _hours(seconds: float) -> float:
    return round(seconds / _HOUR, 4)


def _amount(value: float) -> str:
    return f"{value:,.1f}" if value >= 1 or not value else f"{value:.2g}"


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _duration(seconds: float) -> str:
    """Return a duration such as ``2 h 03 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest:02} s" if minutes < 10 else f"{minutes} min"
    days, hours_left = divmod(hours, 24)
    return f"{days} d {hours_left} h" if days >= 2 else f"{hours} h {minutes:02} min"
