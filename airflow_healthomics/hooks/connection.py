# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A connection and its client settings, and the hook that all triggers of one connection share."""

from __future__ import annotations

from typing import Any, TypeAlias

from asgiref.sync import sync_to_async

from airflow_healthomics.compat import AirflowNotFoundException
from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks.omics import CONNECTION_MISTAKES, HealthOmicsHook
from airflow_healthomics.hooks.polling import PollingHook


def connection_of(task: Any) -> dict[str, Any]:
    """Return the connection arguments of an operator or sensor, as a trigger takes them."""
    return {
        "aws_conn_id": task.aws_conn_id,
        "region_name": task.region_name,
        "verify": task.verify,
        "botocore_config": task.botocore_config,
    }


def hook_arguments(task: Any) -> dict[str, Any]:
    """Return the connection arguments of an operator or sensor, as hooks of the amazon provider name them."""
    return {
        "aws_conn_id": task.aws_conn_id,
        "region_name": task.region_name,
        "verify": task.verify,
        "config": task.botocore_config,
    }


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
