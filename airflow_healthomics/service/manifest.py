# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The manifest of an ended run, which HealthOmics writes to CloudWatch Logs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def read_manifest(messages: Iterable[str]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """
    Return the run's object of a manifest, if it is among them, and those of its tasks.

    What is no JSON object with the ARN of a run or a task is passed over.

    :param messages: of the events of its log stream, an object each
    """
    run, tasks = None, []
    for message in messages:
        try:
            item = json.loads(message)
        except ValueError:
            continue
        arn = item.get("arn") if isinstance(item, dict) else None
        if not isinstance(arn, str):
            continue
        resource = arn.rpartition(":")[2]
        if resource.startswith("run/") and "/task/" not in resource:
            run = item
        elif "task/" in resource:
            tasks.append(item)
    return run, tasks
