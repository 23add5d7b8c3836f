# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The list of a batch's runs as JSON and CSV, and its success policy. Pure functions."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from airflow_healthomics.batches.success_policy import parse_success_policy
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.run_page.batch_runs import BatchRuns, completed_and_lost
from airflow_healthomics.run_page.payload import is_active_batch

Sort = Literal["runSettingId", "status", "duration", "startTime"]

#: Columns of the CSV file.
COLUMNS: Final = ("runSettingId", "id", "status", "runOutputUri", "creationTime", "startTime", "stopTime")

#: First characters of a cell that a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def runs_answer(
    runs: BatchRuns,
    *,
    policy: Mapping[str, Any] | None,
    status: str | None,
    search: str,
    sort: Sort,
    descending: bool,
    limit: int,
    offset: int,
) -> dict[str, Any]:
    """
    Return a part of the runs of a batch.

    :param runs: all of them
    :param policy: from :func:`policy_answer`
    :param status: of the runs; None for all
    :param search: part of a run setting's id or of a run id
    :param sort: by which field
    :param descending: whether the largest come first. Rows without the value are last.
    :param limit: maximum number of rows
    :param offset: number of rows to skip
    """
    wanted = search.strip().lower()
    rows = [
        row
        for row in runs.rows
        if (status is None or row.get("status") == status)
        and (wanted in row["runSettingId"].lower() or wanted == row.get("id"))
    ]
    active = is_active_batch(runs.batch["status"])
    answer: dict[str, Any] = {
        "asOf": runs.as_of.isoformat(),
        "active": active,
        "pollSeconds": runs.lifetime if active or not runs.is_complete else 0,
        "rows": _sorted(rows, sort, descending)[offset : offset + limit],
        "matching": len(rows),
        "read": len(runs.rows),
        "total": max(runs.batch.get("totalRuns", 0), len(runs.rows)),
        "isComplete": runs.is_complete,
        "counts": dict(Counter(row["status"] for row in runs.rows if row.get("status"))),
    }
    if policy:
        answer["policy"] = policy
    if runs.notices:
        answer["notices"] = list(runs.notices)
    return answer


def policy_answer(
    batch: Mapping[str, Any],
    success_policy: Any,
    *,
    may_repeat: bool = False,
    summary: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """
    Return the success policy of a task, and whether its batch meets it so far; None if it is not known.

    :param batch: answer of GetBatch
    :param success_policy: rendered argument of the task
    :param may_repeat: whether the batch may repeat only a part of the runs of an earlier attempt, so that it
        alone decides nothing
    :param summary: of the batch, with the counts of all attempts, if the task has published it
    """
    total = batch.get("totalRuns", 0)
    if success_policy is None or not total:
        return None
    try:
        policy = parse_success_policy(success_policy)
    except HealthOmicsRequestError:
        return None
    completed, lost = completed_and_lost(batch)
    batches = 1
    if summary and (counts := _counts(summary)):
        total, completed = sum(counts.values()), counts.get("COMPLETED", 0)
        lost, batches = total - completed, len(summary["batchIds"])
    elif may_repeat:
        return {"text": str(policy), "completed": completed}
    required = policy.required(total)
    state = "met" if completed >= required else "missed" if total - lost < required else "open"
    answer = {"text": str(policy), "state": state, "required": required, "completed": completed}
    return {**answer, "batches": batches} if batches > 1 else answer


def runs_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """
    Return the runs of a batch as CSV.

    :param rows: of the runs
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow("runId" if name == "id" else name for name in COLUMNS)
    writer.writerows([_cell(row.get(name, "")) for name in COLUMNS] for row in rows)
    return text.getvalue()


def _counts(summary: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the counts in a summary. A user who may edit XComs may have changed them."""
    match summary:
        case {"counts": dict(counts), "batchIds": list()} if all(
            type(each) is int for each in counts.values()
        ):
            return counts
    return {}


def _cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _sorted(rows: Sequence[Mapping[str, Any]], sort: Sort, descending: bool) -> list[Mapping[str, Any]]:
    key: Any = _duration if sort == "duration" else lambda row: row.get(sort)
    known = [row for row in rows if key(row) is not None]
    unknown = [row for row in rows if key(row) is None]
    return [*sorted(known, key=key, reverse=descending), *unknown]


def _duration(row: Mapping[str, Any]) -> float | None:
    if "startTime" not in row or "stopTime" not in row:
        return None
    return (
        datetime.fromisoformat(row["stopTime"]) - datetime.fromisoformat(row["startTime"])
    ).total_seconds()
