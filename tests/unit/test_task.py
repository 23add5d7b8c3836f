# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The output of Airflow about an error that a task raises."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsConnectionNotFoundError,
    HealthOmicsError,
    HealthOmicsRequestError,
    HealthOmicsRunFailedError,
    HealthOmicsUnwatchedError,
)
from airflow_healthomics.operators import (
    HealthOmicsCancelRunOperator,
    HealthOmicsStartRunBatchOperator,
    HealthOmicsStartRunOperator,
)
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW, Tasks, context_of

REQUEST: dict[str, Any] = {"role_arn": ROLE, "output_uri": OUTPUT, "workflow_id": WORKFLOW}


def start_of(**fields: Any) -> HealthOmicsStartRunOperator:
    return HealthOmicsStartRunOperator(task_id="a_task", **{**REQUEST, **fields})


def batch_of(**fields: Any) -> HealthOmicsStartRunBatchOperator:
    return HealthOmicsStartRunBatchOperator(task_id="a_task", **{**REQUEST, **fields})


def sensor_of(**fields: Any) -> HealthOmicsRunSensor:
    return HealthOmicsRunSensor(task_id="a_task", run_id="7654321", **fields)


def raised_by(tasks: Tasks, make: Callable[[], Any], context: Any) -> BaseException:
    with pytest.raises(HealthOmicsError) as caught:
        tasks.run(make, context)
    return caught.value


@pytest.mark.parametrize(
    ("make", "refused", "kind"),
    [
        (lambda: start_of(workflow_id="abc"), "", HealthOmicsRequestError),
        (lambda: start_of(aws_conn_id="nowhere"), "", HealthOmicsConnectionNotFoundError),
        (start_of, "StartRun", HealthOmicsApiError),
        (lambda: start_of(wait_for_completion=True), "GetRun", HealthOmicsApiError),
        (lambda: start_of(wait_for_completion=True, deferrable=True), "GetRun", HealthOmicsApiError),
        (lambda: batch_of(sample_sheet="s3://nowhere/sheet.csv"), "", HealthOmicsError),
        (lambda: batch_of(run_settings=[{"run_setting_id": "a"}]), "StartRunBatch", HealthOmicsApiError),
        (lambda: HealthOmicsCancelRunOperator(task_id="a_task", run_id="7654321"), "", HealthOmicsError),
        (sensor_of, "", HealthOmicsRunFailedError),
        (lambda: sensor_of(deferrable=True), "GetRun", HealthOmicsApiError),
    ],
)
def test_an_error_has_one_frame_and_no_cause(
    omics: Control, tasks: Tasks, context: Any, make: Any, refused: str, kind: type[HealthOmicsError]
) -> None:
    """For any mistake of the author, on a worker and after a deferral."""
    if refused:
        omics.inject_error(refused, "ValidationException", times=None)
    error = raised_by(tasks, make, context)
    assert isinstance(error, kind)
    printed = "".join(traceback.format_exception(error))
    assert printed.count("Traceback (most recent call last)") == 1
    assert printed.count("/airflow_healthomics/") == 1


def test_a_template_is_refused_with_one_frame(omics: Control, tasks: Tasks, context: Any) -> None:
    """Even if it was found while Airflow rendered it."""

    def make() -> Any:
        task = start_of(parameters={"a": ["{{ missing.value }}"]})
        task.render_template_fields(context)
        return task

    error = raised_by(tasks, make, context)
    assert "failed with UndefinedError" in str(error)
    assert "".join(traceback.format_exception(error)).count("/airflow_healthomics/") == 1


def test_the_cause_is_still_there_for_callbacks(omics: Control, tasks: Tasks, context: Any) -> None:
    """In the context of the exception, which Airflow does not print."""
    omics.inject_error("StartRun", "AccessDeniedException")
    assert isinstance(raised_by(tasks, start_of, context).__context__, ClientError)


def test_the_traceback_is_logged_at_debug(
    omics: Control, tasks: Tasks, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, although the method of a subclass calls that of its base, and with the cause."""

    class Talkative(HealthOmicsStartRunOperator):
        log: Any = logging.getLogger("talkative")

        def execute(self, context: Any) -> Any:
            return super().execute(context)

    caplog.set_level(logging.DEBUG, logger="talkative")
    omics.inject_error("StartRun", "ValidationException")
    raised_by(tasks, lambda: Talkative(task_id="a_task", **REQUEST), context)
    assert caplog.text.count("The traceback of the error") == 1
    assert "in _make_api_call" in caplog.text


def test_an_unexpected_cause_is_kept(omics: Control, tasks: Tasks, ti: Any) -> None:
    """Its text alone, such as "'id'", would explain nothing."""

    class Broken(HealthOmicsStartRunOperator):
        def finish(self, context: Any, summary: dict[str, Any]) -> str:
            self._is_open = True
            raise KeyError("id")

    def make() -> Any:
        return Broken(task_id="a_task", wait_for_completion=True, **REQUEST)

    error = raised_by(tasks, make, context_of(ti))
    assert isinstance(error, HealthOmicsUnwatchedError)
    assert isinstance(error.__cause__, KeyError)
    assert "in finish" in "".join(traceback.format_exception(error))


def test_an_error_of_another_kind_keeps_its_frames(omics: Control, tasks: Tasks, context: Any) -> None:
    """A bug of this package must be found in the log."""

    class Broken(HealthOmicsStartRunOperator):
        def publish(self, context: Any, started: Any) -> None:
            raise LookupError("a bug")

    with pytest.raises(LookupError) as caught:
        tasks.run(lambda: Broken(task_id="a_task", **REQUEST), context)
    assert "in publish" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", ["run", "batch"])
def test_a_start_logs_three_lines(
    omics: Control, tasks: Tasks, context: Any, logged: Callable[[], str], kind: str
) -> None:
    """The request, the run, and the link to it."""
    if kind == "run":
        run_id = tasks.run(lambda: start_of(storage_type="STATIC", storage_capacity=1200), context)
        expected = [
            f"Starting a run of workflow {WORKFLOW}, STATIC storage of 1,200 GiB, outputs below {OUTPUT}",
            f"HealthOmics run {run_id}, request ID {omics.runs()[0]['name']}, outputs in {OUTPUT}/{run_id}",
            f"See https://console.aws.amazon.com/omics/home?region=us-east-1#/runs/{run_id}",
        ]
    else:
        batch_id = tasks.run(lambda: batch_of(run_settings=[{"run_setting_id": "a"}]), context)
        expected = [
            f"Starting a batch of runs of workflow {WORKFLOW}, DYNAMIC storage, outputs below {OUTPUT}",
            f"HealthOmics batch {batch_id}, request ID ",
            "See https://console.aws.amazon.com/omics/home?region=us-east-1#/runs",
        ]
    text = logged()
    for line in expected:
        assert line in text
