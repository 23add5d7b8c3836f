# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the hook: the connection with its defaults, the session and the client."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from botocore.config import Config
from botocore.exceptions import NoRegionError

from airflow_healthomics.api_model import extend_session
from airflow_healthomics.exceptions import HealthOmicsConnectionNotFoundError, HealthOmicsRequestError
from airflow_healthomics.hooks.defaults import defaults_in, policies_in, unknown_keys
from airflow_healthomics.hooks.endpoints import check_region, is_region_in_doubt, needs_host_prefix
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.service.errors import IncompleteAnswerError

if TYPE_CHECKING:
    from mypy_boto3_omics.client import OmicsClient  # noqa: F401 - quoted in the base class

#: Errors of the amazon provider for an invalid connection, besides botocore's errors.
CONNECTION_MISTAKES: Final = (AttributeError, LookupError, NotImplementedError, TypeError, ValueError)

#: boto3's sessions are not thread-safe, and the run page uses one in several threads.
_making_clients: Final = Lock()


class ConnectedHook(AwsGenericHook["OmicsClient"]):
    """Base of the hook: what the connection determines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "omics"
        if isinstance(config := kwargs.get("config"), Mapping):
            # botocore writes into the retries of its configuration.
            kwargs["config"] = copy.deepcopy(config)
        super().__init__(*args, **kwargs)
        refuse_broken_templates(
            "The request",
            {"aws_conn_id": self.aws_conn_id, "region_name": self._region_name, "verify": self._verify},
        )
        self._sessions: dict[str | None, Any] = {}

    @cached_property
    def conn_config(self) -> Any:
        """
        The Airflow connection.

        :raises HealthOmicsConnectionNotFoundError: if Airflow does not find it, unless it is the default
            connection. The amazon provider would only warn, and use the credentials of the worker, perhaps in
            another account.
        """
        config = super().conn_config
        # The base class has cached its own value under the same name.
        self.__dict__.pop("conn_config", None)
        _check_found(self.aws_conn_id, config)
        return config

    @cached_property
    def connection_defaults(self) -> Mapping[str, Any]:
        """Defaults for new runs from the connection's extra, by argument name."""
        if unknown := unknown_keys(self.service_config):
            self.log.warning(
                "Connection %s: ignored unknown keys of service_config.omics: %s",
                self.aws_conn_id,
                ", ".join(unknown),
            )
        return defaults_in(self.service_config)

    @cached_property
    def conn_without_retries(self) -> Any:
        """The client for starts, which repeats a call only if the user configures retries."""
        if getattr(self.config, "retries", None):
            return self.conn
        config = Config(retries={"total_max_attempts": 1}).merge(self.config)
        return self.get_client_type(region_name=self.region_name, config=config)

    @property
    def connection_policies(self) -> Mapping[str, Any]:
        """Policies of the connection's tasks, by argument name: ``on_clear``."""
        return policies_in(self.service_config)

    @property
    def client_region(self) -> str | None:
        """The region of the client; None if no client was created yet."""
        return self.conn_region_name if "conn" in self.__dict__ else None

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """
        Get the boto3 session. All clients share it, and with it the credentials.

        Its clients have the current API, even with an older botocore.
        """
        if deferrable:
            return super().get_session(region_name, deferrable)
        if region_name not in self._sessions:
            session = super().get_session(region_name)
            extend_session(session)
            metrics.count_calls(session, self.aws_conn_id)
            self._sessions[region_name] = session
        return self._sessions[region_name]

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """
        Get the boto3 client.

        With a custom endpoint, host prefixes are disabled unless the user configures them.

        :raises HealthOmicsRequestError: if the region is missing or has no HealthOmics
        """
        try:
            client: Any = super().get_client_type(region_name, config, deferrable)
        except NoRegionError:
            raise HealthOmicsRequestError(
                "The request",
                [
                    "region_name is required, as an argument, in the connection's extra (region_name), or in "
                    "AWS_DEFAULT_REGION"
                ],
            ) from None
        if is_region_in_doubt(client.meta) and not self.conn_config.get_service_endpoint_url("omics"):
            check_region(client.meta.region_name, self.get_session(self.region_name))
        if deferrable or needs_host_prefix(client.meta.endpoint_url):
            return client
        # A setting of the user takes precedence.
        return super().get_client_type(
            region_name, Config(inject_host_prefix=False).merge(config or self.config)
        )

    def client_for(
        self, service: str, config: Config | None = None, *, endpoint_url: str | None = None
    ) -> Any:
        """
        Make a client of an AWS service from the session of this hook, so that a role is assumed only once.

        :param service: name of the service, such as ``s3``
        :param config: settings of the client; by default those of the connection
        :param endpoint_url: by default that of the connection, if it has one
        """
        url = endpoint_url or self.conn_config.get_service_endpoint_url(service)
        session = self.get_session(self.region_name)
        with _making_clients:
            return session.client(service, endpoint_url=url, config=config or self.config, verify=self.verify)

    @cached_property
    def s3_client(self) -> Any:
        """The client of S3."""
        return self.client_for("s3")

    @contextmanager
    def _naming_a_hidden_connection(self) -> Iterator[None]:
        """Warn if an environment variable hides a connection that may have the missing defaults."""
        try:
            yield
        except HealthOmicsRequestError:
            # Amazon MWAA sets AIRFLOW_CONN_AWS_DEFAULT=aws:// in every container.
            variable = f"AIRFLOW_CONN_{str(self.aws_conn_id).upper()}"
            if variable in os.environ and not self.connection_defaults:
                self.log.warning(
                    "Connection %s comes from the environment variable %s, which has no defaults for runs. "
                    "It hides any connection with this id in Airflow's database. Use another id, or change "
                    "the variable",
                    self.aws_conn_id,
                    variable,
                )
            raise

    def _input_shape(self, operation: str) -> Any:
        return self.conn.meta.service_model.operation_model(operation).input_shape

    def _items(
        self, operation: str, page_size: int, filters: Mapping[str, Any], key: str = "items"
    ) -> Iterator[dict[str, Any]]:
        client: Any = self.conn  # Each of its paginators has its own type.
        given = {name: value for name, value in filters.items() if value is not None}
        pages = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": page_size}, **given)
        for page in pages:
            if key not in page:
                raise IncompleteAnswerError(operation=operation, member=key)
            yield from page[key]


def without_metadata(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response without the details of its transport."""
    return {key: value for key, value in response.items() if key != "ResponseMetadata"}


def check_connection(hook: AwsGenericHook[Any]) -> None:
    """
    Check that Airflow finds the connection of a hook of the amazon provider.

    :param hook: the hook
    :raises HealthOmicsConnectionNotFoundError: if not, unless it is the default connection
    """
    _check_found(hook.aws_conn_id, hook.conn_config)


def _check_found(aws_conn_id: str | None, config: Any) -> None:
    if aws_conn_id and aws_conn_id != AwsGenericHook.default_conn_name and not config:
        raise HealthOmicsConnectionNotFoundError(aws_conn_id)
