# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters in a file: the DAG author's, or one that the operator writes because they are too large."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsRequestError,
    HealthOmicsRunFailedPermanentlyError,
)
from airflow_healthomics.requests.fields import MAX_PARAMETERS_BYTES
from tests.healthomics import Control
from tests.unit.conftest import (
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
    try_of,
)
from tests.unit.histories import start_of

BUCKET = "settings-bucket"
PLACE = f"s3://{BUCKET}/parameters"
CANARY = "canary-patient-7"
LARGE: dict[str, Any] = {"samples": [CANARY] * (MAX_PARAMETERS_BYTES // len(CANARY))}


def files(bucket: Any) -> dict[str, Any]:
    """Return the content of each object by its key."""
    listed = bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        item["Key"]: json.loads(bucket.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
        for item in listed
    }


def test_large_parameters_go_through_s3(omics: Control, bucket: Any, client: Any, context: Context) -> None:
    """They are written below a folder of the request ID, and HealthOmics gets their URI."""
    omics.set_options(presigned_parameters_uri=False)
    run_id = start_of(parameters=LARGE, parameters_s3_uri=f"{PLACE}/").execute(context)
    ((key, content),) = files(bucket).items()
    assert content == LARGE
    request_id = omics.runs()[0]["requestId"]
    assert key.startswith("parameters/")
    assert bucket.head_object(Bucket=BUCKET, Key=key)["ContentType"] == "application/json"
    assert re.search("/parameters-[0-9a-f]{16}[.]json$", key)
    assert request_id.rpartition(".")[2] in key
    run = client.get_run(id=run_id)
    assert run["parametersUri"] == f"s3://{BUCKET}/{key}"
    assert "parameters" not in run


def test_small_parameters_go_in_the_request(
    omics: Control, bucket: Any, client: Any, context: Context
) -> None:
    """The location for large ones is not used."""
    run_id = start_of(parameters={"a": 1}, parameters_s3_uri=PLACE).execute(context)
    assert files(bucket) == {}
    assert client.get_run(id=run_id)["parameters"] == {"a": 1}


def test_large_parameters_without_a_place_are_refused(omics: Control, context: Context) -> None:
    """The error has the limit, and the argument that lifts it."""
    with pytest.raises(HealthOmicsRequestError, match=r"50,000 bytes.*parameters_s3_uri"):
        start_of(parameters=LARGE).execute(context)
    assert omics.calls() == []


@pytest.mark.parametrize("place", ["", "bucket/folder", "https://bucket/folder"])
def test_an_invalid_location_is_refused(omics: Control, context: Context, place: str) -> None:
    """Before anything is sent."""
    with pytest.raises(HealthOmicsRequestError, match="parameters_s3_uri must be an S3 URI"):
        start_of(parameters=LARGE, parameters_s3_uri=place).execute(context)
    assert omics.calls() == []


def test_large_parameters_keep_the_rules_of_small_ones(omics: Control, context: Context) -> None:
    """A value that is not JSON is refused by its path, wherever it would be sent."""
    with pytest.raises(HealthOmicsRequestError, match=r"parameters\.bad is NaN"):
        start_of(parameters={**LARGE, "bad": float("nan")}, parameters_s3_uri=PLACE).execute(context)
    with pytest.raises(HealthOmicsRequestError, match="parameters or parameters_uri"):
        start_of(parameters=LARGE, parameters_s3_uri=PLACE, parameters_uri=f"{PLACE}/x").execute(context)
    assert omics.calls() == []


def test_a_missing_bucket_starts_nothing(omics: Control, context: Context) -> None:
    """One error names the object and the argument."""
    with pytest.raises(HealthOmicsApiError, match=r"parameters_s3_uri.*NoSuchBucket"):
        start_of(parameters=LARGE, parameters_s3_uri=PLACE).execute(context)
    assert calls_of(omics, "StartRun") == 0


@needs_store
def test_a_retry_does_not_change_a_file_that_a_run_may_be_reading(
    omics: Control, bucket: Any, ti: FakeTaskInstance, store: Store
) -> None:
    """The file is never rewritten, even if the DAG was edited."""
    ti.max_tries = 1

    def crash_when_started(value: dict[str, Any]) -> None:
        if value.get("resource_id"):
            raise Crash

    store.before_set = crash_when_started
    with pytest.raises(Crash):
        start_of(parameters=LARGE, parameters_s3_uri=PLACE).execute(try_of(ti, store))
    store.before_set = lambda value: None
    ti.try_number = 2
    changed = {**LARGE, "new": 1}
    start_of(parameters=changed, parameters_s3_uri=PLACE).execute(try_of(ti, store))
    assert list(files(bucket).values()) == [LARGE]
    assert len(omics.runs()) == 1


def test_their_names_are_checked_before_the_start(
    omics: Control, bucket: Any, context: Context, logged: Callable[[], str]
) -> None:
    """The names in a file of the DAG author are left to HealthOmics."""
    omics.add_workflow("77", parameter_template={"sampel": {}})
    fields = {"workflow_id": "77", "validate_parameters": True}
    with pytest.raises(HealthOmicsRequestError, match="samples"):
        start_of(parameters=LARGE, parameters_s3_uri=PLACE, **fields).execute(context)
    assert files(bucket) == {}
    start_of(parameters_uri=f"{PLACE}/x.json", **fields).execute(context)
    assert "not checked because they are in a file" in logged()


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_file_with_a_mistake_fails_the_task_at_once(
    omics: Control, bucket: Any, tasks: Tasks, context: Context, ti: FakeTaskInstance, deferrable: bool
) -> None:
    """HealthOmics reads it after the start, and the next attempt would use the same file."""
    bucket.put_object(Bucket=BUCKET, Key="x.json", Body=b"no JSON")
    ti.max_tries = 3
    fields = {
        "parameters_uri": f"s3://{BUCKET}/x.json",
        "wait_for_completion": True,
        "deferrable": deferrable,
    }
    with pytest.raises(HealthOmicsRunFailedPermanentlyError, match="INVALID_RUN_PARAMETERS") as caught:
        tasks.run(lambda: start_of(**fields), context)
    assert "Correct the parameters file" in str(caught.value)


def test_further_fields_are_rendered_by_type(omics: Control, context: Context) -> None:
    """A template of a single expression in start_run_kwargs keeps its type."""
    context["params"] = {"priority": 7}
    operator = start_of(start_run_kwargs={"priority": "{{ params.priority }}"})
    operator.render_template_fields(context)
    assert operator.start_run_kwargs == {"priority": 7}
    with pytest.raises(
        HealthOmicsRequestError, match=r"start_run_kwargs\.priority has an argument: use priority"
    ):
        operator.execute(context)
    assert omics.calls() == []
