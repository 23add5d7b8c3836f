# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the triggers: the shared connection and poller."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.hooks.shared_connection import SharedConnection
from airflow_healthomics.monitoring.metrics import Place
from airflow_healthomics.waiting.pace import DEFAULT_RATE
from airflow_healthomics.waiting.poller import Poller

_connections: dict[str, SharedConnection] = {}
_pollers: dict[asyncio.AbstractEventLoop, dict[str, Poller]] = {}


class HealthOmicsTrigger(BaseTrigger):
    """
    Base of the triggers. AWS calls and connection look-ups never block the event loop.

    :param aws_conn_id: Airflow connection for AWS
    :param region_name: AWS region
    :param verify: whether to verify TLS certificates, or the path of a CA bundle
    :param botocore_config: configuration of the botocore client
    """

    def __init__(
        self,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # unannotated in Airflow
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @property
    def connection(self) -> dict[str, Any]:
        """The connection arguments."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @property
    def place(self) -> Place:
        """The connection and region, for metrics."""
        return Place(self.aws_conn_id, self.region_name)

    @property
    def connection_key(self) -> str:
        """
        Key of the client and the poller, equal for triggers that may share them.

        Two connections share none, even if both lead to the same account: finding that out would take another
        AWS call.
        """
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

            rate = conf.getfloat("healthomics", "poll_rate", fallback=DEFAULT_RATE)
            of_loop[self.connection_key] = Poller(connect, shared.is_current, rate, self.place)
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
