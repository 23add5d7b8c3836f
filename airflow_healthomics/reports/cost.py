# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Estimate the cost of a run from list prices, as AWS's run analyzer does. Pure functions.

.. seealso:: https://github.com/awslabs/aws-healthomics-tools/blob/main/omics/cli/run_analyzer/__main__.py
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from airflow_healthomics.reports.usage import as_number
from airflow_healthomics.service.price_list import STORAGE, PriceList
from airflow_healthomics.service.times import as_time, seconds_between

#: A task is charged for a minute at least:
#: https://docs.aws.amazon.com/omics/latest/dev/monitoring-runs.html
MINIMUM_SECONDS: Final = 60.0

#: STATIC storage has this size in GiB, or a multiple of the other one:
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-types.html
STATIC_GIB: Final = 1200
STATIC_STEP_GIB: Final = 2400

_HOUR: Final = 3600.0


class Amount(NamedTuple):
    """
    An amount of a resource that a run used.

    :param resource: its name in the price list: an instance type, or a kind of storage
    :param quantity: hours, or GiB-hours of storage; None if it is unknown
    :param tasks: number of tasks that used the instance type; None for storage
    """

    resource: str
    quantity: float | None
    tasks: int | None = None


def amounts_of(
    run: Mapping[str, Any], manifest_run: Mapping[str, Any], tasks: Iterable[Mapping[str, Any]]
) -> list[Amount]:
    """
    Return what a private run used: hours of instances, and GiB-hours of its storage.

    :param run: answer of GetRun, in a terminal state
    :param manifest_run: object of the run in its manifest
    :param tasks: objects of its tasks in the manifest
    """
    if run.get("workflowType") == "READY2RUN":
        # It has a price per run.
        return []
    hours: dict[tuple[str, bool], list[float]] = {}
    for task in tasks:
        seconds = _seconds(task)
        # A task without times came from the run cache, or was never started.
        if seconds is None and not task.get("startTime"):
            continue
        instance = str(task.get("instanceType") or "unknown instance type")
        billed = max(seconds or 0.0, MINIMUM_SECONDS) / _HOUR
        hours.setdefault((instance, seconds is not None), []).append(billed)
    amounts = [
        Amount(instance, math.fsum(parts) if is_known else None, len(parts))
        for (instance, is_known), parts in sorted(hours.items())
    ]
    return [*amounts, *_storage(run, manifest_run)]


def estimate(amounts: Sequence[Amount], prices: PriceList) -> dict[str, Any]:
    """
    Return the estimated cost of a run, as JSON values, or an empty dict if none of it is known.

    - ``usd``: sum over the amounts that have a quantity and a price
    - ``amounts``: the amounts, with ``usdPerUnit`` and ``usd`` where these are known
    - ``isPartial``: whether one of them is not known
    - ``priceListDate``: the date of the price list

    :param amounts: of the run
    :param prices: list prices of its region
    """
    rows = [_row(amount, prices.prices.get(amount.resource)) for amount in amounts]
    if not any("usd" in row for row in rows):
        return {}
    answer: dict[str, Any] = {
        "usd": round(math.fsum(row.get("usd", 0.0) for row in rows), 6),
        "amounts": rows,
        "isPartial": any("usd" not in row for row in rows),
    }
    return {**answer, "priceListDate": prices.published} if prices.published else answer


def static_gib(capacity: float) -> float:
    """
    Return the size of STATIC storage.

    :param capacity: requested size in GiB
    """
    return STATIC_GIB if capacity <= STATIC_GIB else math.ceil(capacity / STATIC_STEP_GIB) * STATIC_STEP_GIB


def _seconds(task: Mapping[str, Any]) -> float | None:
    """Return how long a task ran."""
    seconds = seconds_between(as_time(task.get("startTime")), as_time(task.get("stopTime")))
    metrics = task.get("metrics")
    if seconds is None and isinstance(metrics, Mapping):
        return as_number(metrics.get("runningSeconds"))
    return seconds


def _storage(run: Mapping[str, Any], manifest_run: Mapping[str, Any]) -> list[Amount]:
    kind = str(run.get("storageType"))
    seconds = seconds_between(as_time(run.get("startTime")), as_time(run.get("stopTime")))
    if kind not in STORAGE or not run.get("startTime"):
        return []
    if kind == "STATIC":
        gib: float | None = static_gib(as_number(run.get("storageCapacity")) or 0)
    else:
        metrics = manifest_run.get("metrics")
        average = metrics.get("storageAverageGiB") if isinstance(metrics, Mapping) else None
        # HealthOmics may not measure the storage of a run under two hours. Zero means the same.
        gib = as_number(average) or None
    return [Amount(STORAGE[kind], None if gib is None or seconds is None else gib * seconds / _HOUR)]


def _row(amount: Amount, price: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"resource": amount.resource}
    if amount.tasks is not None:
        row["tasks"] = amount.tasks
    if amount.quantity is not None:
        row["quantity"] = round(amount.quantity, 4)
    if price is not None:
        row["usdPerUnit"] = price
        if amount.quantity is not None:
            row["usd"] = round(amount.quantity * price, 6)
    return row
