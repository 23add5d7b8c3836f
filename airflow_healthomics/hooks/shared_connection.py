# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook shared by all triggers of the same connection."""

from __future__ import annotations

from typing import Any, TypeAlias

from asgiref.sync import sync_to_async

from airflow_healthomics.compat import AirflowNotFoundException
from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks.base import CONNECTION_MISTAKES
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.hooks.polling import PollingHook

Settings: TypeAlias = tuple[Any, ...] | None


class SharedConnection:
    """
    The hook that all triggers of one connection share.

    On Airflow 3.0 to 3.2, looking up a connection from a plain thread breaks the triggerer's channel
    (apache/airflow#67380). So asgiref's single thread looks it up and creates the client. Calls need no
    connection afterwards.

    :param arguments: arguments of the hook: aws_conn_id, region_name, verify and config
    """

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._hook: HealthOmicsHook | None = None
        self._settings: Settings = None

    async def hook(self) -> HealthOmicsHook:
        """Return the hook with its client."""
        return self._hook or await self.renew()

    async def renew(self) -> HealthOmicsHook:
        """
        Replace the hook and its client, using the current connection.

        :raises OSError: if Airflow no longer finds the connection
        :raises HealthOmicsApiError: if the connection cannot be used
        """
        self._hook, self._settings = await sync_to_async(self._make)()
        return self._hook

    async def is_current(self) -> bool:
        """Whether the connection is unchanged since the client was created; True if that is unknown."""
        try:
            settings = await sync_to_async(lambda: connection_settings(PollingHook(**self._arguments)))()
        except CONNECTION_MISTAKES:
            return True
        return settings is None or settings == self._settings

    def _make(self) -> tuple[HealthOmicsHook, Settings]:
        hook = PollingHook(**self._arguments)
        settings = connection_settings(hook)
        if settings is None and self._settings is not None:
            # The hook would use boto3's default credentials, perhaps in another account. Airflow also reports
            # a missing connection while its own database or API fails.
            raise OSError(f"Airflow no longer finds the connection {hook.aws_conn_id}")
        try:
            _ = hook.conn
        except CONNECTION_MISTAKES as error:
            raise HealthOmicsApiError(
                f"The Airflow connection {hook.aws_conn_id} is invalid: {type(error).__name__}: {error}"
            ) from error
        return hook, settings


def connection_settings(hook: HealthOmicsHook) -> Settings:
    """
    Look up the settings that a client depends on; None if Airflow does not find the connection.

    :param hook: hook of the connection
    """
    if not hook.aws_conn_id:
        return ()
    try:
        connection = hook.get_connection(hook.aws_conn_id)
    except AirflowNotFoundException:
        return None
    return connection.login, connection.password, connection.extra
