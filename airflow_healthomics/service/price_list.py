# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the answers of the Price List API mean. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

#: HealthOmics in the price list. AWS's run analyzer reads the price list in the same way:
#: https://github.com/awslabs/aws-healthomics-tools/blob/main/omics/cli/run_analyzer/__main__.py
SERVICE_CODE: Final = "AmazonOmics"

#: Storage types of runs by their names in the price list, where an instance type has its usual name.
STORAGE: Final[Mapping[str, str]] = {"STATIC": "Run Storage", "DYNAMIC": "Dynamic Run Storage"}


class PriceList(NamedTuple):
    """
    The list prices of a region.

    :param prices: USD per hour by instance type, and per GiB-hour by storage
    :param published: date of the price list, as in its answer
    """

    prices: Mapping[str, float]
    published: str | None = None


def products_request(region: str) -> dict[str, Any]:
    """
    Return the request of GetProducts for the prices of HealthOmics.

    :param region: AWS region of the runs
    """
    return {
        "ServiceCode": SERVICE_CODE,
        "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
        "FormatVersion": "aws_v1",
        "MaxResults": 100,
    }


def read_price_list(products: Iterable[str]) -> PriceList:
    """
    Return the prices in answers of GetProducts.

    A resource with several prices is left out, because nothing says which of them applies to a run.

    :param products: items of ``PriceList``, each a JSON object
    """
    found: dict[str, set[float]] = {}
    dates = []
    for text in products:
        product = json.loads(text)
        resource = product["product"].get("attributes", {}).get("resourceType")
        prices = set(_prices(product))
        if resource and prices:
            found.setdefault(resource, set()).update(prices)
            dates.append(product.get("publicationDate"))
    prices_by_resource = {resource: prices.pop() for resource, prices in found.items() if len(prices) == 1}
    return PriceList(prices_by_resource, max(filter(None, dates), default=None))


def _prices(product: Mapping[str, Any]) -> Iterable[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            if (price := dimension.get("pricePerUnit", {}).get("USD")) is not None:
                yield float(price)
