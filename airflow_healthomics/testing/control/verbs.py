# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The decorator of verbs: a verb acts in this process, or in another one over HTTP."""

from __future__ import annotations

import functools
import http.client
import inspect
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.models import SLICE_SECONDS, YIELD_SECONDS, apply_due_transitions

PATH = "/_healthomics/"

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Verbs")

#: The verbs by name, filled by :func:`verb`.
VERBS: dict[str, Callable[..., Any]] = {}

#: Errors of verbs by name, since another process gets only the name.
ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (LookupError, TimeoutError, TypeError, ValueError)
}


class Verbs:
    """
    Base of the verbs for one subject.

    :param endpoint_url: URL of the server; None for the local HealthOmics of this process.
    """

    def __init__(self, endpoint_url: str | None = None) -> None:
        self.endpoint_url = endpoint_url


def verb(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a method act in this process or, if its object has an endpoint URL, in that of the server."""
    signature = inspect.signature(method)
    name = method.__name__

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.endpoint_url is None:
            return method(self, *args, **kwargs)
        arguments = dict(signature.bind(self, *args, **kwargs).arguments)
        del arguments["self"]
        arguments.update(arguments.pop("changes", {}))
        answer: R = _post(self.endpoint_url, name, arguments)
        return answer

    VERBS[name] = call
    return call


def wait(reached: Callable[[], bool], timeout: float, describe: Callable[[], str]) -> None:
    """Wait for a condition. Apply due transitions, since nothing else does in a process without a server."""
    deadline = time.monotonic() + timeout
    with LOCAL.lock:
        while True:
            done = apply_due_transitions(SLICE_SECONDS)
            if reached():
                return
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{describe()} after {timeout} seconds")
            LOCAL.changed.wait(0.02 if done else YIELD_SECONDS)


def _post(endpoint_url: str, name: str, arguments: Mapping[str, Any]) -> Any:
    address = urlsplit(endpoint_url)
    patience = float(arguments.get("timeout", 30.0)) + 60.0
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=patience)
    try:
        connection.request("POST", PATH + name, json.dumps(arguments), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status == 200:
        return answer["result"]
    raise ERRORS[answer["error"]](answer["message"])
