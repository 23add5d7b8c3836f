# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook of the poller: fewer retries and shorter timeouts, because the poller repeats its calls itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from botocore.config import Config

from airflow_healthomics.hooks.omics import HealthOmicsHook

#: Short timeouts, since one hung call delays every waiter. One attempt, since the poller repeats failed
#: calls.
_CLIENT_CONFIG: Final = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1})

#: Shorter ones for figures that a page can do without.
_LIVE_CONFIG: Final = _CLIENT_CONFIG.merge(Config(connect_timeout=2, read_timeout=3))

#: Regions with the Price List API, according to botocore 1.44.8. The first one is that of AWS's run analyzer.
PRICING_REGIONS: Final = ("us-east-1", "ap-south-1", "eu-central-1")

#: Presigned links with signature version 4, and to the endpoint of the region: botocore's default is the
#: global one, which may redirect the browser to a host that the link is not signed for.
_S3_CONFIG: Final = _CLIENT_CONFIG.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))


class PollingHook(HealthOmicsHook):
    """
    Hook for cheap polls, with short timeouts.

    Its times are unparsed text: botocore would spend three quarters of the parsing of a ListRuns page on
    times.
    """

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Get the session. Its clients do not parse times."""
        session = super().get_session(region_name, deferrable)
        factory = session._session.get_component("response_parser_factory")
        factory.set_parser_defaults(timestamp_parser=str)
        return session

    @property
    def conn_without_retries(self) -> Any:
        """The client, which has no retries."""
        return self.conn

    @cached_property
    def logs_client(self) -> Any:
        """The client of CloudWatch Logs, with the same timeouts."""
        return self.client_for("logs", _CLIENT_CONFIG.merge(self.config))

    @cached_property
    def s3_page_client(self) -> Any:
        """The client of S3 for the run page, with the same timeouts, and for presigned links."""
        return self.client_for("s3", _S3_CONFIG.merge(self.config))

    @cached_property
    def promql_client(self) -> Any:
        """The client of CloudWatch's Prometheus-compatible API, which has the endpoint of CloudWatch."""
        cloudwatch = self.client_for("cloudwatch")
        return self.client_for(
            "cloudwatch-promql",
            _LIVE_CONFIG.merge(self.config),
            endpoint_url=cloudwatch.meta.endpoint_url,
        )

    @cached_property
    def pricing_client(self) -> Any:
        """The client of the Price List API, which only some regions have."""
        region = self.conn_region_name if self.conn_region_name in PRICING_REGIONS else PRICING_REGIONS[0]
        return self.client_for("pricing", _CLIENT_CONFIG.merge(self.config).merge(Config(region_name=region)))

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """Get the client. Timeouts and retries of the user take precedence over those of the poller."""
        return super().get_client_type(region_name, _CLIENT_CONFIG.merge(config or self.config), deferrable)
