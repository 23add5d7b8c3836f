# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters that a run reads from S3 after it was started, and who pays for its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import BUCKET, aws, error_of

Start = Callable[..., dict[str, Any]]
URI = f"s3://{BUCKET}/parameters.json"


def write(content: bytes) -> None:
    aws("s3").put_object(Bucket=BUCKET, Key="parameters.json", Body=content)


def test_a_file_replaces_parameters(control: Control, omics: Any, start: Start) -> None:
    """The run completes, and GetRun returns a URL instead of the parameters."""
    write(b'{"a": 1}')
    run_id = start(parametersUri=URI)["id"]
    control.advance("COMPLETED")
    run = omics.get_run(id=run_id)
    assert run["status"] == "COMPLETED"
    assert "parameters" not in run
    assert run["parametersUri"].startswith(
        f"https://{BUCKET}.s3.us-east-1.amazonaws.com/parameters.json?X-Amz-"
    )


@pytest.mark.parametrize("options", [{"presigned_parameters_uri": False}])
def test_the_url_may_be_the_uri_itself(omics: Any, start: Start) -> None:
    """An option decides."""
    assert omics.get_run(id=start(parametersUri=URI)["id"])["parametersUri"] == URI


def test_parameters_and_a_file_exclude_each_other(start: Start) -> None:
    """StartRun refuses a request with both."""
    code, _, message = error_of(start, parametersUri=URI, parameters={"a": 1})
    assert code == "ValidationException"
    assert "exclude each other" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"no", "not JSON"),
        (b"[1]", "JSON object"),
        (b'{"b": 1}', "parameters lacks a"),
    ],
)
def test_a_bad_file_fails_the_run_after_its_start(
    control: Control, omics: Any, start: Start, content: bytes | None, message: str
) -> None:
    """StartRun succeeds, and the run ends as INVALID_RUN_PARAMETERS before it is RUNNING."""
    control.add_workflow("77", parameter_template={"a": {}})
    if content is not None:
        write(content)
    run_id = start(workflowId="77", parametersUri=URI)["id"]
    control.advance("RUNNING")
    assert omics.get_run(id=run_id)["status"] == "STOPPING"
    control.advance("COMPLETED")
    run = omics.get_run(id=run_id)
    assert (run["status"], run["failureReason"]) == ("FAILED", "INVALID_RUN_PARAMETERS")
    assert message in run["statusMessage"]
    assert "startTime" not in run


def test_a_rerun_inherits_the_file_or_replaces_it(omics: Any, start: Start) -> None:
    """Its own parameters replace its source's file, and vice versa."""
    source = start(parametersUri=URI, requesterPaysEnabled=True)["id"]
    same = omics.get_run(id=start(runId=source)["id"])
    assert same["requesterPaysEnabled"] is True
    assert "parametersUri" in same
    other = omics.get_run(id=start(runId=source, parameters={"a": 2})["id"])
    assert (other["parameters"], "parametersUri" in other) == ({"a": 2}, False)
    back = omics.get_run(id=start(runId=other["id"], parametersUri=URI)["id"])
    assert ("parameters" in back, "parametersUri" in back) == (False, True)


def test_a_batch_says_who_pays_for_all_its_runs(
    control: Control, omics: Any, start_batch: Callable[..., str]
) -> None:
    """The field belongs to the common settings."""
    start_batch("a", "b", defaults={"requesterPaysEnabled": True})
    control.advance_batch("INPROGRESS")
    runs = [omics.get_run(id=run["id"]) for run in control.runs()]
    assert [run["requesterPaysEnabled"] for run in runs] == [True, True]
