# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""botocore clients whose calls reach the simulated HealthOmics instead of the network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import boto3
import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook, SessionFactory
from botocore.client import BaseClient

from airflow_healthomics.api_model import extend_session
from tests.simulation.service import ACCOUNT as ACCOUNT
from tests.simulation.service import SimulatedService

REGION: Final = "us-east-1"


@cache
def _client(service: str, has_text_times: bool) -> Any:
    """Return a real client, since making one takes longer than a whole attempt."""
    session = boto3.session.Session(
        region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    extend_session(session)
    client = session.client(service)
    client.has_text_times = has_text_times
    return client


class Session:
    """
    A stand-in for a boto3 session. Like a real one, it makes clients that know the whole API.

    :ivar has_text_times: whether its clients leave times unparsed
    """

    def __init__(self) -> None:
        self.has_text_times = False
        # Metrics are not simulated.
        self.events = SimpleNamespace(register=lambda *_, **__: None)
        parsers = SimpleNamespace(set_parser_defaults=self._set_parser_defaults)
        loader = SimpleNamespace(search_paths=[])
        components = {"response_parser_factory": parsers, "data_loader": loader}
        self._session = SimpleNamespace(
            get_component=components.__getitem__, register_component=components.__setitem__
        )

    def _set_parser_defaults(self, *, timestamp_parser: Any) -> None:
        self.has_text_times = timestamp_parser is str

    def client(self, service_name: str, **_: Any) -> Any:
        """Return a client."""
        return _client(service_name, self.has_text_times)

    create_client = client


def install(service: SimulatedService, patch: pytest.MonkeyPatch) -> None:
    """Connect all clients to a simulated HealthOmics."""

    def call(client: Any, operation_name: str, api_params: Mapping[str, Any]) -> Any:
        answer = service.respond(operation_name, api_params)
        return answer if client.has_text_times else _parsed(answer)

    patch.setattr(BaseClient, "_make_api_call", call)
    patch.setattr(SessionFactory, "create_session", lambda *_, **__: Session())
    patch.setattr(AwsGenericHook, "_get_caller", lambda *_, **__: "Unknown", raising=False)


def _parsed(answer: Any) -> Any:
    """Return a response with its times parsed, as botocore does."""
    if isinstance(answer, dict):
        return {
            name: datetime.fromisoformat(value) if name in ("creationTime", "createdAt") else _parsed(value)
            for name, value in answer.items()
        }
    return [_parsed(each) for each in answer] if isinstance(answer, list) else answer
