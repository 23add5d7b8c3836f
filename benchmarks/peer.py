# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The pattern of the amazon provider, applied to HealthOmics runs.

As in EmrServerlessStartApplicationTrigger, there is a waiter trigger with a custom waiter, and an operator
that defers to it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.sdk import BaseOperator


class PeerHook(AwsBaseHook):
    """The hook. In the amazon provider, waiters are in a separate folder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "omics"
        super().__init__(*args, **kwargs)

    @cached_property
    def waiter_path(self) -> Path:
        """Custom waiters, since botocore's waiter never ends for a cancelled run."""
        return Path(__file__).with_name("peer_waiters.json")


class PeerRunTrigger(AwsBaseWaiterTrigger):
    """
    Fire at the end of a run.

    :param run_id: HealthOmics run id
    :param waiter_delay: seconds between two polls
    :param waiter_max_attempts: maximum number of polls
    :param aws_conn_id: Airflow connection for AWS
    :param region_name: AWS region
    :param verify: whether to verify TLS certificates, or the path of a CA bundle
    :param botocore_config: settings of the botocore client
    """

    aws_hook_class = PeerHook

    def __init__(
        self,
        run_id: str,
        waiter_delay: int = 60,
        waiter_max_attempts: int = 10_080,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            serialized_fields={"run_id": run_id},
            waiter_name="run_finished",
            waiter_args={"id": run_id},
            failure_message="Run failed",
            status_message="Run status is",
            status_queries=["status", "statusMessage"],
            return_key="run_id",
            return_value=run_id,
            waiter_delay=waiter_delay,
            waiter_max_attempts=waiter_max_attempts,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.run_id = run_id


class PeerRunOperator(BaseOperator):
    """
    Wait for a run in the triggerer.

    :param run_id: HealthOmics run id
    :param waiter_delay: seconds between two polls
    """

    def __init__(self, *, run_id: str, waiter_delay: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.waiter_delay = waiter_delay

    def execute(self, context: Any) -> None:
        """Defer."""
        self.defer(
            trigger=PeerRunTrigger(run_id=self.run_id, waiter_delay=self.waiter_delay),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Any, event: dict[str, Any]) -> str:
        """Resume after a deferral."""
        if event["status"] != "success":
            raise RuntimeError(f"Run failed: {event}")
        return str(event["run_id"])
