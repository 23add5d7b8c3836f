# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The manifest of a run. HealthOmics writes it to CloudWatch Logs after the end of the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def read_manifest(messages: Iterable[str]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """
    Return the objects of the run, if any, and of its tasks from a manifest.

    Messages without the ARN of a run or a task are skipped.

    :param messages: of the events of the manifest's log stream; each is a JSON object
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
