# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One test for each moto internal that the local HealthOmics leans on: a moto upgrade fails here first."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest
from moto import backend_index, backends
from moto.core import responses
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.events.models import Rule, events_backends
from moto.logs.models import LogGroup, logs_backends
from moto.moto_server import werkzeug_app
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeBucket, FakeKey, s3_backends
from moto.s3.utils import _VersionedKeyStore
from werkzeug.exceptions import NotFound

from airflow_healthomics.testing import requirement
from airflow_healthomics.testing.omics.models import OmicsBackend
from airflow_healthomics.testing.registration import register
from dev import matrix

ROOT = Path(__file__).resolve().parents[2]


def omics_backends() -> BackendDict[OmicsBackend]:
    """Return the backends that moto finds by the name of the service."""
    found: BackendDict[OmicsBackend] = backends.get_backend("omics")  # type: ignore[call-overload] # not in moto
    return found


def test_moto_has_no_healthomics_of_its_own() -> None:
    """If moto ever gets an omics backend, ours must not silently replace it."""
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
        (LogGroup, "create_log_stream"),
        (LogGroup, "put_log_events"),
        (Rule, "send_to_targets"),
    ],
)
def test_moto_still_has(owner: object, name: str) -> None:
    """The names exist that are overridden or called."""
    assert hasattr(owner, name)


def test_dispatch_ends_in_the_method_that_we_override() -> None:
    """A request is set up and then answered by ``call_action``."""
    assert "self.call_action()" in inspect.getsource(responses.BaseResponse._dispatch)


def test_the_router_reads_no_host() -> None:
    """Host prefixes do not affect routing."""
    request = Request.from_primitives("POST", "http://127.0.0.1:5000/run/12/cancel", {})
    operation, parameters = get_service_router("omics").match(request)
    assert (operation.name, parameters) == ("CancelRun", {"id": "12"})


def test_the_router_requires_the_required_query() -> None:
    """So UntagResource without keys is no operation, instead of a broken rule."""
    request = Request.from_primitives("DELETE", "http://127.0.0.1:5000/tags/arn", {})
    with pytest.raises(NotFound):
        get_service_router("omics").match(request)


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        (
            lambda: s3_backends["123456789012"]["aws"],
            ("get_bucket", "create_bucket", "put_object", "get_object", "delete_object", "delete_bucket"),
        ),
        (
            lambda: logs_backends["123456789012"]["us-east-1"],
            ("ensure_log_group", "ensure_log_stream", "groups"),
        ),
        (lambda: events_backends["123456789012"]["us-east-1"], ("describe_event_bus",)),
    ],
    ids=["s3", "logs", "events"],
)
def test_side_effects_find_the_backends_that_they_write_to(backend: object, names: tuple[str, ...]) -> None:
    """S3, logs and events are written through these methods."""
    assert callable(backend)
    for name in names:
        assert hasattr(backend(), name)
    assert issubclass(MissingBucket, Exception)


def test_streams_of_logs_are_in_a_dictionary() -> None:
    """Log groups find their streams in ``streams``, and send new events to ``subscription_filters``."""
    group = LogGroup("123456789012", "us-east-1", "a")  # type: ignore[abstract]
    assert (group.streams, group.subscription_filters) == ({}, {})
    assert set(re.findall(r"self\.streams\.?(\w*)", inspect.getsource(LogGroup))) <= {"", "items", "values"}


def test_objects_of_a_bucket_are_in_a_versioned_dictionary() -> None:
    """A look-up of a key goes through ``__sgetitem__``, one of all keys through ``_self_iterable``."""
    bucket = FakeBucket("a", "123456789012", "us-east-1")  # type: ignore[abstract]
    assert type(bucket.keys) is _VersionedKeyStore
    assert (bucket.notification_configuration, bucket.is_versioned) == (None, False)
    for reads in (_VersionedKeyStore.__getitem__, _VersionedKeyStore.__setitem__, _VersionedKeyStore.getlist):
        assert "self.__sgetitem__(" in inspect.getsource(reads)
    for each in (
        _VersionedKeyStore._iteritems,
        _VersionedKeyStore._itervalues,
        _VersionedKeyStore._iterlists,
    ):
        assert "self._self_iterable()" in inspect.getsource(each)


def test_a_rule_has_the_attributes_that_are_read() -> None:
    """They are its state and its targets, the latter as the dictionaries of the request."""
    rule = Rule("a", "123456789012", "us-east-1", None, None, None, None, "default", None)  # type: ignore[abstract]
    assert (rule.state, rule.targets) == ("ENABLED", [])


def test_a_target_gets_an_untransformed_event_as_it_is() -> None:
    """The default transformation would drop the account."""
    assert "transform_input" in inspect.signature(Rule.send_to_targets).parameters


def test_the_regions_of_a_service_can_be_extended() -> None:
    """Membership does not make a backend."""
    found = BackendDict(OmicsBackend, "omics", additional_regions=["xx-test-1"])
    assert "xx-test-1" in found["123456789012"]
    assert "eu-north-1" not in found["123456789012"]


def test_the_model_of_a_service_is_cached_and_mutable() -> None:
    """The registration adds the operations that the installed botocore lacks."""
    model = get_service_model("omics")
    assert get_service_model("omics") is model
    assert isinstance(model._service_description, dict)  # type: ignore[attr-defined]


def test_a_binary_payload_is_sent_unchanged() -> None:
    """The content of a reference is not encoded."""
    model = get_service_model("omics")
    content = bytes(range(256))
    response = get_serializer_class("omics", "rest-json")(model.operation_model("GetReference")).serialize(
        {"payload": content}
    )
    assert response["body"] == content


def test_a_request_has_its_headers() -> None:
    """The range of GetReference is a header, whose name is case-insensitive."""
    request = Request.from_primitives("GET", "http://127.0.0.1:5000/", {"Range": "0-1"})
    assert (request.headers.get("range"), request.headers.get("Range")) == ("0-1", "0-1")


def test_an_object_has_the_attributes_that_are_read() -> None:
    """They are its content as bytes, and an ETag that changes with it."""
    first, second = (FakeKey("a", content, "123456789012", "us-east-1") for content in (b"1", b"2"))
    assert (first.value, second.value) == (b"1", b"2")
    assert first.etag != second.etag


def test_a_bucket_is_found_from_another_account() -> None:
    """The files of read sets are in the bucket of another account, which the caller does not list."""
    owner, other = (s3_backends[account]["aws"] for account in ("000000000000", "123456789012"))
    bucket = owner.create_bucket("tripwire-bucket", "us-east-1")
    try:
        assert other.get_bucket("tripwire-bucket") is bucket
        assert "tripwire-bucket" in owner.buckets
        assert "tripwire-bucket" not in other.buckets
        other.put_object("tripwire-bucket", "a", b"1")
        stored = other.get_object("tripwire-bucket", "a")
        assert stored is not None
        assert stored.value == b"1"
        owner.delete_object("tripwire-bucket", "a")
        assert other.get_object("tripwire-bucket", "a") is None
    finally:
        owner.delete_bucket("tripwire-bucket")
    with pytest.raises(MissingBucket):
        other.get_bucket("tripwire-bucket")


def test_all_places_name_the_oldest_moto() -> None:
    """They are the extra, the check at the import, and the matrix."""
    oldest = ".".join(map(str, requirement.OLDEST_MOTO))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"moto[server]>={oldest}," in extras["testing"][0]
    assert matrix.OLDEST_MOTO == requirement.OLDEST_MOTO
