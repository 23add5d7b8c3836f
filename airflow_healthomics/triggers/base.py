# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the triggers share: a connection, and the earliest moment to fire."""

from __future__ import annotations

import json
from typing import Any, Final

from airflow.triggers.base import BaseTrigger
from asgiref.sync import sync_to_async

from airflow_healthomics.hooks import HealthOmicsHook

#: Seconds between the start of a trigger and its event, at least. Airflow up to 3.3.2 fails a task whose
#: trigger fires before the scheduler has seen the deferral (apache/airflow#67287, #71580).
EARLIEST_EVENT: Final = 10.0

_hooks: dict[str, HealthOmicsHook] = {}


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
        """Return a hook whose client is made; triggers of one connection share it."""
        if self.connection_key not in _hooks:
            hook = HealthOmicsHook(
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                config=self.botocore_config,
            )
            # Looking the connection up from a plain thread breaks the triggerer's channel on Airflow 3.0 to
            # 3.2 (apache/airflow#67380), so the client is made in asgiref's one thread; calls need no
            # connection.
            await sync_to_async(lambda: hook.conn)()
            _hooks.setdefault(self.connection_key, hook)
        return _hooks[self.connection_key]

    def disconnect(self) -> None:
        """Have the next :meth:`connect` make a new client, with the connection as it is then."""
        _hooks.pop(self.connection_key, None)
