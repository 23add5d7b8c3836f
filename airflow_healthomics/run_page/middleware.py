# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What all responses of the run page have in common: headers, and a metric."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_healthomics.monitoring import metrics
from airflow_healthomics.run_page.turns import path_in_app

#: The page loads nothing from other origins, and only Airflow may embed it.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_NOT_FOUND: Final = JSONResponse({"detail": "Not Found"}, 404)


class Responses:
    """
    ASGI middleware that adds headers to each response, and counts those of the API.

    It refuses NUL characters. No id has them, and PostgreSQL raises an error for them.

    :param app: the app
    :param api_prefix: of the paths of the API
    """

    def __init__(self, app: ASGIApp, api_prefix: str) -> None:
        self._app = app
        self._api_prefix = api_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = path_in_app(scope)
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), path)
            await send(message)

        app = _NOT_FOUND if "\0" in path else self._app
        try:
            await app(scope, receive, send_with_headers)
        finally:
            if path.startswith(self._api_prefix):
                metrics.page_answered(status)


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in SECURITY_HEADERS.items():
        # A document that shows an output has a policy with the host of its frame.
        headers.setdefault(name, value)
    # Files keep their names across releases, so the browser must revalidate them.
    is_file = path == "/page" or path.startswith("/static/")
    headers["Cache-Control"] = "no-cache" if is_file else "no-store"
