# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The test that the guide "How to test your DAGs" shows; ``test_testing_guide.py`` runs it."""

from __future__ import annotations

# [START test]
from airflow_healthomics.testing import HealthOmicsServer
from example_dags.example_healthomics_repair import dag


def test_a_run_out_of_memory_is_not_repeated(healthomics_airflow: HealthOmicsServer) -> None:
    """The DAG run fails, and no second run is started."""
    control = healthomics_airflow.control
    control.plan_run(status="FAILED", failure_reason="OUT_OF_MEMORY_ERROR")

    assert dag.test().state == "failed"

    (run,) = control.runs_started(workflow_id="1234567")
    assert run["failureReason"] == "OUT_OF_MEMORY_ERROR"
    assert control.call_counts(ok=True)["StartRun"] == 1
    # [END test]


def test_a_dag_succeeds(healthomics_airflow: HealthOmicsServer) -> None:
    """No option is needed."""
    assert dag.test().state == "success"
    assert len(healthomics_airflow.control.runs_started()) == 1
