# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which of the failed tasks of a run to look at first. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from airflow_healthomics.service.times import as_time

_LAST: Final = datetime.max.replace(tzinfo=UTC)


def failed_by_blame(
    tasks: Sequence[Mapping[str, Any]], status_message: str | None
) -> list[Mapping[str, Any]]:
    """
    Return the failed tasks of a run, the likely cause of its failure first.

    First those that HealthOmics itself names, then those that failed first. Tasks that the engine repeated
    come last, since the repetition may have succeeded.

    :param tasks: items of ListRunTasks; without those that did not fail, some repetitions are unknown
    :param status_message: of the run, which may name a task by its id or name
    """
    created: dict[str, datetime] = {}
    for task in tasks:
        name, time = task.get("name"), as_time(task.get("creationTime"))
        if name and time:
            created[name] = max(time, created.get(name, time))

    def rank(task: Mapping[str, Any]) -> tuple[bool, bool, datetime]:
        stopped = as_time(task.get("stopTime")) or _LAST
        repeated = created.get(task.get("name") or "", stopped) > stopped
        return not _names(status_message, (task["taskId"], task.get("name"))), repeated, stopped

    return sorted((task for task in tasks if task.get("status") == "FAILED"), key=rank)


def _names(message: str | None, names: Iterable[str | None]) -> bool:
    """Whether a message has one of the names as a whole word, such as ``Workflow task 1234567 timed out``."""
    return any(name and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", message or "") for name in names)
