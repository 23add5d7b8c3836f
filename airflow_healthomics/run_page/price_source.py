# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Read the list prices of HealthOmics, with the connection of a task, if they are turned on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from airflow_healthomics.run_page.answers import PageError
from airflow_healthomics.run_page.calls import Calls, price_lists
from airflow_healthomics.service.price_list import PriceList, products_request, read_price_list

#: Lifetime in seconds of a price list,
PRICE_SECONDS: Final = 24 * 3600.0
#: of a refusal,
REFUSED_SECONDS: Final = 3600.0
#: and of an answer that did not come.
FAILED_SECONDS: Final = 300.0

#: Most pages of GetProducts, with a hundred products each.
MAX_PAGES: Final = 10

_PERMISSION: Final = "pricing:GetProducts"


class _Known(NamedTuple):
    """A price list, or why there is none."""

    prices: PriceList | None
    notices: tuple[str, ...] = ()


class PriceSource(Calls):
    """The price list of a region."""

    def price_list(self, notices: list[str]) -> PriceList | None:
        """
        Return the list prices of the region, or None if AWS does not answer or refuses the call.

        :param notices: receives the message about a refused call
        """
        key = (self._connection, self._region)
        known: _Known | None = price_lists.get(key)
        if known is None:
            known, lifetime = self._read()
            price_lists.put(key, known, lifetime)
        notices += known.notices
        return known.prices

    def _read(self) -> tuple[_Known, float]:
        refusals: list[str] = []
        try:
            with self._calling(_PERMISSION, f"the prices in {self._region}", refusals):
                return _Known(read_price_list(self._products())), PRICE_SECONDS
        except PageError:
            return _Known(None), FAILED_SECONDS
        return _Known(None, tuple(refusals)), REFUSED_SECONDS

    def _products(self) -> Iterator[str]:
        request = products_request(self._region)
        for _ in range(MAX_PAGES):
            page = self._hook.pricing_client.get_products(**request)
            yield from page.get("PriceList", ())
            if not page.get("NextToken"):
                return
            request["NextToken"] = page["NextToken"]
