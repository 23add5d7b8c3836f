# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the triggers share: a connection, and the earliest moment to fire."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, TypeAlias

from airflow.triggers.base import BaseTrigger
from asgiref.sync import sync_to_async

from airflow_healthomics.compat import AirflowNotFoundException
from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks import CONNECTION_MISTAKES, HealthOmicsHook
from airflow_healthomics.polling import Poller, PollingHook

#: Seconds between the start of a trigger and its event, at least. Airflow up to 3.3.2 fails a task whose
#: trigger fires before the scheduler has seen the deferral (apache/airflow#67287, #71580).
EARLIEST_EVENT: Final = 10.0


_Settings: TypeAlias = tuple[Any, ...] | None


class SharedConnection:
    """
    The hook that all triggers of one connection share.

    Looking the connection up from a plain thread breaks the triggerer's channel on Airflow 3.0 to 3.2
    (apache/airflow#67380), so it is done in asgiref's one thread, where the client is made too. Calls need no
    connection.

    :param arguments: aws_conn_id, region_name, verify and config, as a hook takes them
    """

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._hook: HealthOmicsHook | None = None
        self._settings: _Settings = None

    async def hook(self) -> HealthOmicsHook:
        """Return the hook, whose client is made."""
        return self._hook or await self.renew()

    async def renew(self) -> HealthOmicsHook:
        """
        Make the hook and its client anew, with the connection as it is now.

        :raises OSError: if Airflow does not find a connection that it has found before
        :raises HealthOmicsApiError: if the connection cannot be used
        """
        self._hook, self._settings = await sync_to_async(self._make)()
        return self._hook

    async def is_current(self) -> bool:
        """Whether the connection is still what it was when the client was made, as far as Airflow can say."""
        try:
            settings = await sync_to_async(lambda: _settings(PollingHook(**self._arguments)))()
        except CONNECTION_MISTAKES:
            return True
        return settings is None or settings == self._settings

    def _make(self) -> tuple[HealthOmicsHook, _Settings]:
        hook = PollingHook(**self._arguments)
        settings = _settings(hook)
        if settings is None and self._settings is not None:
            # The hook would go on with boto3's own credentials, perhaps in another account. Airflow says so
            # too while it is in trouble itself.
            raise OSError(f"Airflow does not find the connection {hook.aws_conn_id} any more")
        try:
            _ = hook.conn
        except CONNECTION_MISTAKES as error:
            raise HealthOmicsApiError(
                f"The Airflow connection {hook.aws_conn_id} cannot be used: {type(error).__name__}: {error}"
            ) from error
        return hook, settings


def _settings(hook: HealthOmicsHook) -> _Settings:
    """Return what a client depends on; None if Airflow does not find the connection."""
    if not hook.aws_conn_id:
        return ()
    try:
        connection = hook.get_connection(hook.aws_conn_id)
    except AirflowNotFoundException:
        return None
    return connection.login, connection.password, connection.extra


_connections: dict[str, SharedConnection] = {}
_pollers: dict[asyncio.AbstractEventLoop, dict[str, Poller]] = {}


class HealthOmicsTrigger(BaseTrigger):
    """
    Base of the triggers: no AWS call and no look-up of a connection happens on the event loop.

    :param aws_conn_id: Airflow connection for AWS
    :param region_name: AWS region
    :param verify: whether, or by which bundle, to verify TLS certificates
    :param botocore_config: settings of the botocore client
    """

    def __init__(
        self,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow has left it unannotated
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @property
    def connection(self) -> dict[str, Any]:
        """The arguments that say which connection and client settings to use."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @property
    def connection_key(self) -> str:
        """Equal for triggers that may share a client."""
        return json.dumps(self.connection, sort_keys=True)

    async def connect(self) -> HealthOmicsHook:
        """Return the hook that the triggers of this connection share."""
        return await self._shared.hook()

    @property
    def poller(self) -> Poller:
        """The poller of the running event loop and of this connection."""
        for loop in [loop for loop in _pollers if loop.is_closed()]:
            del _pollers[loop]
        of_loop = _pollers.setdefault(asyncio.get_running_loop(), {})
        if self.connection_key not in of_loop:
            shared = self._shared

            async def connect() -> Any:
                return (await shared.renew()).conn

            of_loop[self.connection_key] = Poller(connect, shared.is_current)
        return of_loop[self.connection_key]

    @property
    def _shared(self) -> SharedConnection:
        if self.connection_key not in _connections:
            _connections[self.connection_key] = SharedConnection(
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                config=self.botocore_config,
            )
        return _connections[self.connection_key]
