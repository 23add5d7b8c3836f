# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The use of resources by tasks, from the manifest."""

from __future__ import annotations

from typing import Any

from airflow_healthomics.reports.utilization import utilization_of

ARN = "arn:aws:omics:us-east-1:123456789012:task/"


def test_only_plausible_metrics_count() -> None:
    """A task without any is left out, and so is a value that is not a number."""
    tasks: list[dict[str, Any]] = [
        {"arn": f"{ARN}1", "metrics": {"cpusAverage": 1.5, "memoryMaximumGiB": 2, "cpusMaximum": 3}},
        {"arn": f"{ARN}2", "metrics": {"cpusAverage": "1.5", "memoryMaximumGiB": -1}},
        {"arn": f"{ARN}3", "metrics": {"cpusAverage": 0, "memoryMaximumGiB": True}},
        {"arn": f"{ARN}4", "metrics": None},
        {"metrics": {"cpusAverage": 1}},
    ]
    assert utilization_of(tasks) == {
        "1": {"cpusAverage": 1.5, "memoryMaximumGiB": 2},
        "3": {"cpusAverage": 0},
    }
