# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the tasks of a run used of the CPUs and the memory that they requested. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from airflow_healthomics.reports.usage import as_number, task_id

#: Metrics of a task in the manifest:
#: https://docs.aws.amazon.com/omics/latest/dev/getinfo-about-runs.html
METRICS: Final = ("cpusAverage", "memoryMaximumGiB")


def utilization_of(tasks: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """
    Return the metrics of the tasks by their ids. A task without metrics is left out.

    :param tasks: objects of tasks in the manifest
    """
    used: dict[str, dict[str, float]] = {}
    for task in tasks:
        identifier, metrics = task_id(task), task.get("metrics")
        if not identifier or not isinstance(metrics, Mapping):
            continue
        known = {name: value for name in METRICS if (value := as_number(metrics.get(name))) is not None}
        if known:
            used[identifier] = known
    return used
