# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One test for each moto internal that the local HealthOmics leans on: a moto upgrade fails here first."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys

import pytest
from moto import backend_index, backends
from moto.core import responses
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.events.models import events_backends
from moto.logs.models import LogGroup, logs_backends
from moto.moto_server import werkzeug_app
from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.omics.models import OmicsBackend
from airflow_healthomics.testing.registration import register


def omics_backends() -> BackendDict[OmicsBackend]:
    """Return the backends that moto finds by the name of the service."""
    found: BackendDict[OmicsBackend] = backends.get_backend("omics")  # type: ignore[call-overload] # not in moto
    return found


def test_moto_has_no_healthomics_of_its_own() -> None:
    """If moto ever gets an omics backend, ours must not silently stand in its way."""
    loaded = sys.modules.pop("moto.omics", None)
    try:
        assert importlib.util.find_spec("moto.omics") is None
    finally:
        if loaded is not None:
            sys.modules["moto.omics"] = loaded


def test_a_service_is_found_by_a_list_of_host_patterns() -> None:
    """The registry is a mutable list of (service, compiled pattern)."""
    assert isinstance(backend_index.backend_url_patterns, list)
    service, pattern = backend_index.backend_url_patterns[-1]
    assert isinstance(service, str)
    assert isinstance(pattern, re.Pattern)


@pytest.mark.parametrize(
    "host",
    [
        "workflows-omics.us-east-1.amazonaws.com",
        "control-storage-omics.eu-west-1.amazonaws.com",
        "tags-omics-fips.us-west-2.amazonaws.com",
        "omics.us-east-1.amazonaws.com",
        "workflows-omics.us-east-1.api.aws",
    ],
)
def test_every_host_of_healthomics_leads_to_it(host: str) -> None:
    """Host prefixes, FIPS and dual stack are all dispatched to our backend."""
    register()
    assert backends.get_service_from_url(f"https://{host}/run") == "omics"


@pytest.mark.parametrize(
    "host", ["s3.amazonaws.com", "logs.us-east-1.amazonaws.com", "my-omics.s3.amazonaws.com"]
)
def test_no_other_host_leads_to_healthomics(host: str) -> None:
    """A bucket may have "omics" in its name."""
    register()
    assert backends.get_service_from_url(f"https://{host}/run") != "omics"


def test_the_backends_of_a_service_are_imported_by_its_name() -> None:
    """``get_backend("omics")`` reads ``moto.omics.omics_backends``."""
    register()
    assert isinstance(omics_backends(), BackendDict)


def test_registering_twice_changes_nothing() -> None:
    """Each service pattern is there once."""
    register()
    before = list(backend_index.backend_url_patterns)
    register()
    assert backend_index.backend_url_patterns == before
    assert [name for name, _ in before].count("omics") == 1


def test_a_backend_finds_its_urls_beside_its_models() -> None:
    """The base class reads ``urls.py`` of the package of ``models.py``."""
    register()
    backend = omics_backends()["123456789012"]["us-east-1"]
    assert list(backend.url_paths) == ["/.*$"]
    assert list(backend.flask_paths) == ["/<path:route>"]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (BaseBackend, "reset"),
        (BackendDict, "reset"),
        (responses.BaseResponse, "call_action"),
        (responses.BaseResponse, "serialized"),
        (responses.BaseResponse, "_get_action_from_method_and_request_uri"),
        (responses.BaseResponse, "_enrich_response"),
        (Request, "from_wsgi_server"),
        (werkzeug_app, "DomainDispatcherApplication"),
        (werkzeug_app, "MotoRequestHandler"),
        (werkzeug_app, "create_backend_app"),
        (LogGroup, "put_log_events"),
    ],
)
def test_moto_still_has(owner: object, name: str) -> None:
    """These names are overridden or called."""
    assert hasattr(owner, name)


def test_dispatch_ends_in_the_method_that_we_override() -> None:
    """A request is set up and then answered by ``call_action``."""
    assert "self.call_action()" in inspect.getsource(responses.BaseResponse._dispatch)


def test_the_router_reads_method_and_path_only() -> None:
    """Host prefixes take no part in routing."""
    request = Request.from_primitives("POST", "http://127.0.0.1:5000/run/12/cancel", {})
    operation, parameters = get_service_router("omics").match(request)
    assert (operation.name, parameters) == ("CancelRun", {"id": "12"})


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        (
            lambda: s3_backends["123456789012"]["aws"],
            ("get_bucket", "create_bucket", "put_object", "get_object"),
        ),
        (
            lambda: logs_backends["123456789012"]["us-east-1"],
            ("ensure_log_group", "ensure_log_stream", "groups"),
        ),
        (lambda: events_backends["123456789012"]["us-east-1"], ("put_events",)),
    ],
    ids=["s3", "logs", "events"],
)
def test_side_effects_find_the_backends_that_they_write_to(backend: object, names: tuple[str, ...]) -> None:
    """S3, logs and events are written through these methods."""
    assert callable(backend)
    for name in names:
        assert hasattr(backend(), name)
    assert issubclass(MissingBucket, Exception)
