# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The local HealthOmics of another environment, one server for this process."""

from __future__ import annotations

import atexit
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest

#: The verbs whose arguments tests pass by position, with the names of these arguments.
_POSITIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "add_workflow": ("workflow_id",),
    "advance": ("status",),
    "advance_batch": ("status",),
    "advance_clock": ("seconds",),
    "advance_job": ("status",),
    "calls": ("operation",),
    "delay": ("operation", "seconds"),
    "drop_connection": ("operation",),
    "fail_source": ("source",),
    "fail_submission": ("run_setting_ids", "code"),
    "hold": ("operation", "name"),
    "inject_error": ("operation", "code"),
    "release": ("name",),
    "set_throttling": ("on",),
    "submit_runs": ("count",),
    "wait_for_batch": ("status",),
    "wait_for_call": ("operation",),
    "wait_for_run": ("status",),
    "wait_until_held": ("name",),
}

_ERRORS: Final = {error.__name__: error for error in (LookupError, TimeoutError, TypeError, ValueError)}


@cache
def _environ() -> dict[str, str]:
    """Return the variables of the server, which starts at the first call and ends with this process."""
    command = [os.environ["HEALTHOMICS_PYTHON"], "-m", "airflow_healthomics.testing"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    assert server.stdout is not None
    found: dict[str, str] = {}
    for line in server.stdout:
        name, _, value = line.removeprefix("export ").partition("=")
        found[name] = shlex.split(value)[0]
        if name == "AWS_EC2_METADATA_DISABLED":
            return found
    raise RuntimeError(f"the local HealthOmics ended with {server.wait()}")


class Inside:
    """Stands in for a part of the local HealthOmics that a test would change; it skips that test."""

    def __call__(self, *_: Any) -> Any:
        pytest.skip("it looks inside the local HealthOmics, which is in another process")

    def __getattr__(self, name: str) -> Any:
        self()


class Control:
    """Sends each verb of :class:`airflow_healthomics.testing.Control` to the server."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def reset(self) -> None:
        """Forget everything but the options."""
        _post("reset", {})
        if self._options:
            _post("set_options", self._options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def verb(*args: Any, **kwargs: Any) -> Any:
            positional = dict(zip(_POSITIONAL.get(name, ()), args, strict=False))
            assert len(positional) == len(args), f"name the arguments of {name}"
            return _post(name, positional | kwargs)

        return verb


def _post(name: str, arguments: Mapping[str, Any]) -> Any:
    url = f"{_environ()['AWS_ENDPOINT_URL']}/_healthomics/{name}"
    request = Request(url, json.dumps(arguments).encode(), {"Content-Type": "application/json"})
    request.add_header("Accept", "application/json")
    try:
        with urlopen(request, timeout=120) as response:
            return json.load(response)["result"]
    except OSError as error:
        if (body := getattr(error, "read", None)) is None:
            raise
        answer = json.loads(body())
        raise _ERRORS[answer["error"]](answer["message"]) from None


@contextmanager
def mock_healthomics(**options: Any) -> Iterator[Control]:
    """Stand in for :func:`airflow_healthomics.testing.mock_healthomics`."""
    with HealthOmicsServer(**options) as server:
        name = "AWS_ENDPOINT_URL"
        before = os.environ.get(name)
        os.environ[name] = server.endpoint_url
        try:
            yield server.control
        finally:
            os.environ.pop(name, None)
            if before is not None:
                os.environ[name] = before


class HealthOmicsServer:
    """Stands in for :class:`airflow_healthomics.testing.HealthOmicsServer`."""

    def __init__(self, **options: Any) -> None:
        self.control = Control(**options)

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point any AWS client at the server."""
        return dict(_environ())

    @property
    def endpoint_url(self) -> str:
        """The URL of the server."""
        return _environ()["AWS_ENDPOINT_URL"]

    def __enter__(self) -> HealthOmicsServer:
        self.control.reset()
        return self

    def __exit__(self, *_: object) -> None:
        self.control.clear_faults()
