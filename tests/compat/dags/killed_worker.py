# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A task that is killed as soon as StartRun has answered, and waits in the triggerer in its next attempt."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

from airflow import __version__ as airflow_version

from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG


class KilledOnce(HealthOmicsStartRunOperator):
    """A task that dies by SIGKILL in its first attempt, before it can record the run."""

    def pre_execute(self, context: Any) -> None:
        """Arm the first attempt."""
        super().pre_execute(context)
        if context["ti"].try_number == 1:
            self.hook.conn_without_retries.meta.events.register("after-call.omics.StartRun", die)


def die(**_: Any) -> None:
    """End this process, as the kernel does when memory runs out."""
    if airflow_version.startswith("3.0."):
        # A supervisor of Airflow 3.0 that outlives its task fails it without a retry.
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


with DAG("killed_worker", schedule=None) as dag:
    KilledOnce(
        task_id="run",
        workflow_id="1234567",
        parameters={"cpus": 4},
        wait_for_completion=True,
        deferrable=True,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
