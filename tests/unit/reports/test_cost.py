# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The estimate of a run's cost."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.reports.cost import Amount, amounts_of, estimate, static_gib
from airflow_healthomics.service.price_list import PriceList

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)


def at(hours: float) -> str:
    """Return a time after the beginning of the run."""
    return (BEGIN + timedelta(hours=hours)).isoformat()


def task(instance: str | None, start: float | None, stop: float | None, **more: Any) -> dict[str, Any]:
    """Return the object of a task in the manifest."""
    times = {"startTime": start, "stopTime": stop}
    known = {name: at(value) for name, value in times.items() if value is not None}
    return {"instanceType": instance, **known, **more}


def run(kind: str | None = "STATIC", **more: Any) -> dict[str, Any]:
    """Return a run of ten hours."""
    return {"storageType": kind, "startTime": at(0), "stopTime": at(10), **more}


def test_hours_by_instance_type() -> None:
    """At least a minute for each task, and nothing for cached tasks or those that never started."""
    tasks = [
        task("omics.m.large", 0, 1.5),
        task("omics.m.large", 1, 1.0001),
        task("omics.c.large", 2, 4),
        task("omics.r.large", None, None, metrics={"runningSeconds": 1800}),
        task(None, None, None, status="SUCCESS", metrics={}),
        task("omics.m.large", None, None, status="CANCELLED"),
    ]
    assert amounts_of(run(None), {}, tasks) == [
        Amount("omics.c.large", 2, 1),
        Amount("omics.m.large", 1.5 + 1 / 60, 2),
        Amount("omics.r.large", 0.5, 1),
    ]


def test_an_unknown_amount_has_no_quantity() -> None:
    """Otherwise the sum would look complete."""
    tasks = [task("omics.m.large", 0, None), task("omics.m.large", 0, 1), task(None, 0, 1)]
    assert amounts_of(run(None), {}, tasks) == [
        Amount("omics.m.large", None, 1),
        Amount("omics.m.large", 1, 1),
        Amount("unknown instance type", 1, 1),
    ]


@pytest.mark.parametrize(
    ("fields", "metrics", "amount"),
    [
        (run("STATIC", storageCapacity=1300), {}, Amount("Run Storage", 24_000)),
        (run("STATIC"), {"storageAverageGiB": 5}, Amount("Run Storage", 12_000)),
        (
            run("DYNAMIC", storageCapacity=900),
            {"storageAverageGiB": 42.5},
            Amount("Dynamic Run Storage", 425),
        ),
        (run("DYNAMIC", storageCapacity=900), {}, Amount("Dynamic Run Storage", None)),
        (run("DYNAMIC"), {"storageAverageGiB": 0}, Amount("Dynamic Run Storage", None)),
        (run("DYNAMIC"), None, Amount("Dynamic Run Storage", None)),
        (run("STATIC", stopTime=None), {}, Amount("Run Storage", None)),
        (run("STATIC", startTime=None), {}, None),
        (run("OTHER"), {}, None),
        (run("STATIC", workflowType="READY2RUN"), {}, None),
    ],
)
def test_storage(fields: dict[str, Any], metrics: Any, amount: Amount | None) -> None:
    """A STATIC run pays for its size, a DYNAMIC one for its average if that was measured."""
    assert amounts_of(fields, {"metrics": metrics}, []) == ([amount] if amount else [])


def test_a_ready2run_run_has_no_hours() -> None:
    """Its price is per run."""
    assert amounts_of(run(workflowType="READY2RUN"), {}, [task("omics.m.large", 0, 1)]) == []


def test_an_estimate_shows_its_inputs() -> None:
    """Quantity, price and cost of each amount, the sum, and the date of the list."""
    prices = PriceList({"omics.m.large": 0.12, "Run Storage": 0.0002}, "2026-11-20T00:57:01Z")
    amounts = [Amount("omics.m.large", 1.5, 3), Amount("Run Storage", 12_000)]
    assert estimate(amounts, prices) == {
        "usd": 2.58,
        "amounts": [
            {"resource": "omics.m.large", "tasks": 3, "quantity": 1.5, "usdPerUnit": 0.12, "usd": 0.18},
            {"resource": "Run Storage", "quantity": 12_000, "usdPerUnit": 0.0002, "usd": 2.4},
        ],
        "isPartial": False,
        "priceListDate": "2026-11-20T00:57:01Z",
    }


def test_an_estimate_lists_missing_inputs() -> None:
    """A price or a quantity; without any cost there is no estimate."""
    prices = PriceList({"omics.m.large": 0.12, "Run Storage": 0.0002})
    amounts = [Amount("omics.m.large", 1, 1), Amount("omics.new", 1, 1), Amount("Run Storage", None)]
    answer = estimate(amounts, prices)
    assert (answer["usd"], answer["isPartial"], "priceListDate" in answer) == (0.12, True, False)
    assert answer["amounts"][1:] == [
        {"resource": "omics.new", "tasks": 1, "quantity": 1},
        {"resource": "Run Storage", "usdPerUnit": 0.0002},
    ]
    assert estimate(amounts, PriceList({})) == estimate([], prices) == {}


@given(st.floats(min_value=0, max_value=1e6))
def test_static_storage_comes_in_steps(capacity: float) -> None:
    """It is 1,200 GiB or a multiple of 2,400, never less than requested and never a step more."""
    size = static_gib(capacity)
    assert size >= capacity
    assert size == 1200 or size % 2400 == 0
    assert size - capacity < 2400 or size == 1200


INSTANCES = ["omics.c.large", "omics.m.large", "omics.r.large"]


@given(
    st.lists(
        st.tuples(st.sampled_from(INSTANCES), st.floats(min_value=0, max_value=100), st.floats(0.001, 10))
    ),
    st.fixed_dictionaries(dict.fromkeys(INSTANCES, st.floats(min_value=0, max_value=50))),
)
def test_the_sum_is_that_of_the_tasks(
    tasks: list[tuple[str, float, float]], prices: dict[str, float]
) -> None:
    """However tasks are grouped, none is missing."""
    objects = [task(instance, start, start + hours) for instance, start, hours in tasks]
    amounts = amounts_of(run(None), {}, objects)
    answer = estimate(amounts, PriceList(prices))
    expected = math.fsum(max(hours, 1 / 60) * prices[instance] for instance, _, hours in tasks)
    assert answer.get("usd", 0.0) == pytest.approx(expected, abs=1e-4)
    assert sum(amount.tasks or 0 for amount in amounts) == len(tasks)
    assert not answer.get("isPartial")
