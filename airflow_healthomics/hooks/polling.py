# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook whose client the poller uses."""

from __future__ import annotations

from typing import Any, Final

from botocore.config import Config

from airflow_healthomics.hooks.omics import HealthOmicsHook

#: One hung call holds up every waiter, and the poller repeats a failing one by itself.
_CLIENT_CONFIG: Final = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1})


class PollingHook(HealthOmicsHook):
    """
    Hook whose client is cheap to poll with, and not patient.

    Its times are text as the service sends it: botocore spends three quarters of the parsing of a ListRuns
    page on them.
    """

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Get the session, whose clients leave times as they are."""
        session = super().get_session(region_name, deferrable)
        factory = session._session.get_component("response_parser_factory")
        factory.set_parser_defaults(timestamp_parser=str)
        return session

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """Get the client; timeouts and retries of the user's own go before ours."""
        return super().get_client_type(region_name, _CLIENT_CONFIG.merge(config or self.config), deferrable)
