# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Make sessions, clients and mocks of AWS cheap.

A test makes several sessions and clients, because each hook does. For each of them botocore parses models,
resolves event names, inspects handlers and builds classes anew, and so does moto with URL patterns for each
mock. The results are always the same.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore import handlers
from botocore.client import ClientCreator
from botocore.hooks import BaseEventHooks, EventAliaser, NodeList
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel

from airflow_healthomics.api_model import is_needed
from tests.healthomics import IS_REMOTE


@pytest.fixture(scope="session", autouse=True)
def _work_once_per_process() -> Iterator[None]:
    """Cache everything that is the same for each test."""
    with pytest.MonkeyPatch.context() as patch:
        _cache_sessions(patch)
        # Two sessions of an older botocore may differ in their models.
        if not is_needed():
            _cache_client_classes(patch)
        if not IS_REMOTE:
            from moto.core import models
            from moto.core.custom_responses_mock import CallbackResponse

            patch.setattr(models, "CallbackResponse", cache(CallbackResponse))
        # Each collection scans everything that Airflow has imported.
        thresholds = gc.get_threshold()
        gc.set_threshold(20_000, 20, 50)
        yield
        gc.set_threshold(*thresholds)


def _cache_sessions(patch: pytest.MonkeyPatch) -> None:
    listed = Loader.list_available_services
    known: dict[tuple[str, ...], Any] = {}

    def services(loader: Loader, type_name: str) -> Any:
        key = (type_name, *loader.search_paths)
        if key not in known:
            known[key] = listed(loader, type_name)
        return known[key]

    alias = cache(EventAliaser(BaseEventHooks())._alias_event_name)  # type: ignore[attr-defined]
    patch.setattr(Loader, "list_available_services", services)
    patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file)))
    patch.setattr(EventAliaser, "_alias_event_name", lambda _, event_name: alias(event_name))
    patch.setattr(BaseEventHooks, "_verify_accept_kwargs", lambda *_: None)
    # Each client copies all handlers. Those of its generated documentation are never called.
    wanted = [each for each in handlers.BUILTIN_HANDLERS if not each[0].startswith("docs.")]
    patch.setattr(handlers, "BUILTIN_HANDLERS", wanted)
    patch.setattr(NodeList, "__copy__", lambda self: NodeList(*(each[:] for each in self)))


def _cache_client_classes(patch: pytest.MonkeyPatch) -> None:
    create_class = ClientCreator._create_client_class  # type: ignore[attr-defined]
    service_models: dict[int, ServiceModel] = {}
    classes: dict[ServiceModel, Any] = {}

    def service_model(self: Any, service_name: str, api_version: str | None = None) -> ServiceModel:
        # The loader's cache keeps its models, and so their ids, alive.
        model = self._loader.load_service_model(service_name, "service-2", api_version=api_version)
        return service_models.setdefault(id(model), ServiceModel(model, service_name=service_name))

    def client_class(self: Any, service_name: str, model: ServiceModel) -> Any:
        if model not in classes:
            classes[model] = create_class(self, service_name, model)
        return classes[model]

    patch.setattr(ClientCreator, "_load_service_model", service_model)
    patch.setattr(ClientCreator, "_create_client_class", client_class)
