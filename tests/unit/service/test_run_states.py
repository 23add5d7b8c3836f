# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The states of a run, compared with the installed botocore."""

from __future__ import annotations

import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.service import run_states
from tests.healthomics import service_model


def test_they_are_those_of_botocore() -> None:
    """A new state of AWS fails here first."""
    model = service_model()
    assert set(model.shape_for("RunStatus").enum) == run_states.ACTIVE | run_states.TERMINAL


def test_each_state_means_one_thing() -> None:
    """No state is active and terminal, or a success and a failure."""
    assert not run_states.ACTIVE & run_states.TERMINAL
    assert not run_states.SUCCEEDED & run_states.FAILED
    assert run_states.TERMINAL == run_states.SUCCEEDED | run_states.FAILED


@pytest.mark.parametrize("status", ["PENDING", "STARTING", "RUNNING", "STOPPING"])
def test_a_run_before_its_end_is_active(status: str) -> None:
    """STOPPING is active too, since it precedes COMPLETED as well."""
    assert status in run_states.ACTIVE


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "DELETED"])
def test_only_completed_is_a_success(status: str) -> None:
    """Every other end is a failure."""
    assert status in run_states.FAILED
    assert {"COMPLETED"} == run_states.SUCCEEDED


@pytest.mark.parametrize("name", ["ACTIVE", "SUCCEEDED", "FAILED", "TERMINAL"])
def test_the_hook_has_them(name: str) -> None:
    """DAG authors read the sets from the hook."""
    assert getattr(HealthOmicsHook, f"RUN_{name}_STATES") == getattr(run_states, name)
