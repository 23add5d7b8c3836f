# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Prices in the responses of the Price List API."""

from __future__ import annotations

import json
from typing import Any

from airflow_healthomics.service.price_list import PriceList, read_price_list


def product(resource: str | None, *prices: str, **more: Any) -> str:
    """Return a product, in the form of the AWS CLI's example of GetProducts."""
    dimensions = {
        f"SKU.TERM.{number}": {"unit": "Instance-hrs", "beginRange": "0", "pricePerUnit": {"USD": price}}
        for number, price in enumerate(prices)
    }
    attributes = {"resourceType": resource} if resource else {}
    item = {
        "product": {"productFamily": "Compute", "attributes": attributes, "sku": "SKU"},
        "serviceCode": "AmazonOmics",
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": dimensions}}},
        "version": "20261120005701",
        "publicationDate": "2026-11-20T00:57:01Z",
    }
    return json.dumps({**item, **more})


def test_each_resource_has_its_price() -> None:
    """The date is that of the newest product."""
    prices = read_price_list(
        [
            product("omics.m.large", "0.1296000000"),
            product("Run Storage", "0.0001918000", publicationDate="2026-11-21T00:00:00Z"),
            product("Dynamic Run Storage", "0.0004110000", publicationDate=None),
        ]
    )
    assert prices == PriceList(
        {"omics.m.large": 0.1296, "Run Storage": 0.0001918, "Dynamic Run Storage": 0.000411},
        "2026-11-21T00:00:00Z",
    )


def test_products_without_a_single_price_are_left_out() -> None:
    """Several prices, another currency, or no resource."""
    other = {"OnDemand": {"T": {"priceDimensions": {"D": {"pricePerUnit": {"CNY": "1"}}}}}}
    prices = read_price_list(
        [
            product("omics.m.large", "0.13", "0.26"),
            product("omics.c.large", "0.11"),
            product("omics.c.large", "0.22"),
            product("omics.r.large", "0.15"),
            product("omics.r.large", "0.15"),
            product("omics.m.xlarge", terms=other),
            product("omics.m.2xlarge", terms={}),
            product(None, "1"),
        ]
    )
    assert prices.prices == {"omics.r.large": 0.15}


def test_an_empty_list() -> None:
    """It has neither prices nor a date."""
    assert read_price_list([]) == PriceList({})
