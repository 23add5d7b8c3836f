# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A DAG with a failed run and an active batch, and one that the users with custom roles may read, too."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator

#: FAB refuses DAGs with roles that do not exist.
ROLES = [role for role in os.environ.get("CUSTOM_ROLES", "").split(",") if role]

for dag_id, roles in (("theirs", ["NoLogs"]), ("others", ["NoLogs", "OtherDag"])):
    access = {role: {"DAGs": {"can_read"}, "DAG Runs": {"can_read"}} for role in roles if role in ROLES}
    with DAG(dag_id, schedule=None, access_control=access or None):
        HealthOmicsStartRunBatchOperator(
            task_id="batch",
            workflow_id="7654321",
            run_settings=[{"run_setting_id": f"sample-{number}"} for number in range(3)],
            # Its runs stay active.
            wait_for_completion=False,
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
        HealthOmicsStartRunOperator(
            task_id="run",
            name="failed",
            workflow_id="7654321",
            wait_for_completion=True,
            deferrable=False,
            # For a worker that a busy machine cannot launch in time. A failed run is not repeated.
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
