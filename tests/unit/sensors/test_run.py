# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The behaviour that only the sensor of runs has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRunFailedError
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.sensors import HealthOmicsRunSensor
from airflow_healthomics.sensors.base import KEY
from tests.healthomics import Control
from tests.unit.conftest import Clock, Store, needs_store
from tests.unit.kinds import RUN

from .conftest import MODES, Sensing

LINKS = {
    "healthomics_run_link",
    "healthomics_run_log_link",
    "healthomics_engine_log_link",
    "healthomics_outputs_link",
}


@pytest.fixture
def run_id(omics: Control) -> str:
    """A run that stays RUNNING."""
    return RUN.start(omics)


@MODES
def test_stopping_is_waited_out(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str
) -> None:
    """Like RUNNING, it does not show whether the run succeeds."""
    omics.set_options(stopping_seconds=1e9)
    clock.at(600, lambda: omics.advance("STOPPING", run_id=run_id))
    clock.at(1200, lambda: omics.advance("COMPLETED", run_id=run_id))
    assert sensing.run(RUN, mode, run_id)["status"] == "COMPLETED"
    assert clock.elapsed >= 1200


@needs_store
@MODES
def test_another_run_with_the_id_is_no_success(
    omics: Control,
    sensing: Sensing,
    clock: Clock,
    run_id: str,
    started: Callable[..., Any],
    mode: str,
) -> None:
    """Also between two pokes of a rescheduled sensor, which remembers the uuid."""
    omics.set_options(reuse_run_ids=True)

    def replace() -> None:
        omics.advance("DELETED", run_id=run_id)
        assert started()["id"] == run_id
        omics.advance("COMPLETED", run_id=run_id)

    clock.at(1000, replace)
    with pytest.raises(HealthOmicsApiError, match="belongs to a different run now"):
        sensing.run(RUN, mode, run_id)


@needs_store
def test_another_attempt_does_not_remember(sensing: Sensing, store: Store, run_id: str) -> None:
    """A Clear after a replacement accepts the new run."""
    store.set(KEY, {"attempt": f"7 {run_id}", "uuid": "another", "refusals": None, "time": 0})
    with pytest.raises(AirflowException, match="timed out"):
        sensing.run(RUN, "reschedule", run_id, timeout=1800)


@MODES
def test_the_reason_of_the_failure_is_reported(
    omics: Control, sensing: Sensing, run_id: str, mode: str
) -> None:
    """With AWS's code and text, and the links."""
    omics.advance("FAILED", run_id=run_id, failure_reason="EXPORT_FAILED", status_message="no such bucket")
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        sensing.run(RUN, mode, run_id)
    error = caught.value
    assert (error.failure_reason, error.status_message) == ("EXPORT_FAILED", "no such bucket")
    for word in ("EXPORT_FAILED", "no such bucket", "console"):
        assert word in str(error)


@MODES
@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_its_links_work_while_it_waits(
    omics: Control, sensing: Sensing, clock: Clock, run_id: str, mode: str, do_xcom_push: bool
) -> None:
    """From the first poll."""
    seen: list[set[str]] = []
    clock.at(1, lambda: seen.append(set(sensing.ti.xcoms)))
    clock.at(600, lambda: omics.advance("COMPLETED", run_id=run_id))
    sensing.run(RUN, mode, run_id, do_xcom_push=do_xcom_push)
    assert seen[0] == LINKS | {XCOM_KEY}
    assert {link.xcom_key for link in HealthOmicsRunSensor.operator_extra_links} == LINKS
