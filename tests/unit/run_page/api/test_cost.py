# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The estimated cost of a run on the page, by AWS's price list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from fastapi.testclient import TestClient

from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.run_page import price_source
from tests.healthomics import Control
from tests.unit.conftest import Clock, intercepting
from tests.unit.run_page.api.api_server import Tasks, get, pages_of
from tests.unit.service.test_price_list import product

PRODUCTS = [product("omics.m.large", "0.12"), product("Run Storage", "0.0002")]
REFUSED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetProducts")
HUNG = ReadTimeoutError(endpoint_url="https://api.pricing.us-east-1.amazonaws.com")


class Prices:
    """
    The Price List API, which moto lacks.

    :ivar answer: its products, or an error
    :ivar calls: number of calls
    """

    def __init__(self) -> None:
        self.answer: list[str] | Exception = PRODUCTS
        self.calls = 0

    def respond(self, operation: str, call: Callable[[], Any]) -> Any:
        """Answer a page with one product at a time."""
        if operation != "GetProducts":
            return call()
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        number = (self.calls - 1) % len(self.answer)
        more = {"NextToken": "more"} if number + 1 < len(self.answer) else {}
        return {"PriceList": self.answer[number : number + 1], **more}


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> Iterator[Prices]:
    """Enable estimates, and replace the Price List API."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__PAGE_PRICES", "True")
    stand_in = Prices()
    with intercepting(stand_in.respond):
        yield stand_in


@pytest.fixture
def completed(omics: Control, started: Callable[..., Any], tasks_db: Tasks) -> list[str]:
    """The URLs of two completed runs of an hour."""
    omics.set_options(manual=True)
    omics.plan_run(tasks=[{"name": "a"}, {"name": "b"}], times=2)
    runs = [started(storageType="STATIC", storageCapacity=1200)["id"] for _ in range(2)]
    omics.advance("RUNNING")
    omics.advance_clock(3600)
    omics.advance("COMPLETED")
    return pages_of(tasks_db, runs)


def test_an_ended_run_has_an_estimate(
    page: TestClient, prices: Prices, completed: list[str], clock: Clock
) -> None:
    """It has its inputs, and the list is read once a day."""
    path, other = completed
    cost = get(page, path)["cost"]
    assert cost["usd"] == pytest.approx(2 * 0.12 + 1200 * 0.0002, abs=0.001)
    assert [(each["resource"], each.get("tasks")) for each in cost["amounts"]] == [
        ("omics.m.large", 2),
        ("Run Storage", None),
    ]
    assert (cost["isPartial"], cost["priceListDate"]) == (False, "2026-11-20T00:57:01Z")
    assert prices.calls == 2  # pages of one list
    clock.advance(301)
    assert get(page, path)["cost"] == cost
    assert "cost" in get(page, other)
    assert prices.calls == 2
    clock.advance(price_source.PRICE_SECONDS)
    assert get(page, path)["cost"] == cost
    assert prices.calls == 4


def test_an_active_run_has_none(
    page: TestClient, prices: Prices, omics: Control, start: Callable[..., Any]
) -> None:
    """Its storage is unknown before its end."""
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    assert "cost" not in get(page, path)
    assert prices.calls == 0


def test_turned_off(
    page: TestClient, prices: Prices, completed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the default, and no call is made."""
    monkeypatch.delenv("AIRFLOW__HEALTHOMICS__PAGE_PRICES")
    assert "cost" not in get(page, completed[0])
    assert prices.calls == 0


@pytest.mark.parametrize(
    ("error", "pause", "notices"),
    [
        (
            REFUSED,
            price_source.REFUSED_SECONDS,
            ["The IAM policy of the connection aws_default must allow pricing:GetProducts."],
        ),
        (HUNG, price_source.FAILED_SECONDS, []),
    ],
)
def test_without_a_price_list(
    page: TestClient,
    prices: Prices,
    completed: list[str],
    clock: Clock,
    error: Exception,
    pause: float,
    notices: list[str],
) -> None:
    """There is no estimate; the page says what is missing, and tries again after a while."""
    path, prices.answer = completed[0], error
    for _ in range(2):
        answer = get(page, path)
        assert "cost" not in answer
        assert answer.get("notices", []) == notices
        assert prices.calls == 1
        clock.advance(pause / 2 - 1)
    prices.answer, prices.calls = PRODUCTS, 0
    clock.advance(301)
    assert "cost" in get(page, path)


def test_an_endless_list_is_given_up(
    page: TestClient, prices: Prices, completed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten pages."""
    prices.answer = PRODUCTS * 20
    assert "cost" in get(page, completed[0])
    assert prices.calls == price_source.MAX_PAGES


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [("eu-central-1", "eu-central-1"), ("us-west-2", "us-east-1"), ("us-east-1", "us-east-1")],
)
def test_the_endpoint_of_the_price_list(region: str, endpoint: str) -> None:
    """It is in the region of the runs if the API exists there, which a policy may require."""
    client = PollingHook(aws_conn_id=None, region_name=region).pricing_client
    assert client.meta.endpoint_url == f"https://api.pricing.{endpoint}.amazonaws.com"
    assert client.meta.region_name == endpoint
