# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The local HealthOmics computes; without the extra ``engine``, nothing here is tested."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.archives import archive
from tests.local.conftest import BUCKET, ROLE, aws

#: A run is due to continue as soon as it is possible, and is RUNNING as long as it is computed.
PACE = {"pending_seconds": 0, "starting_seconds": 0, "stopping_seconds": 0}

collect_ignore_glob = [] if all(map(importlib.util.find_spec, ("WDL", "cwltool"))) else ["test_*.py"]


def one_task(command: str, *, memory: str = "1 GiB", output: str = "") -> str:
    """Return a workflow with one task."""
    return f"""version 1.0
task only {{
  command <<< {command} >>>
  output {{ {output} }}
  runtime {{ memory: "{memory}" }}
}}
workflow one {{ call only }}
"""


def wait_for(reached: Callable[[], bool]) -> None:
    """Wait until a condition is reached."""
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def options() -> dict[str, Any]:
    """Options of the local HealthOmics."""
    return {"manual": False, "any_workflow": False, "compute": True, **PACE}


@pytest.fixture
def put(omics: Any) -> Callable[[str, str], str]:
    """Put an object into the local S3, and return its URI."""

    def put_object(key: str, text: str) -> str:
        aws("s3").put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        return f"s3://{BUCKET}/{key}"

    return put_object


@pytest.fixture
def compute(omics: Any) -> Callable[..., str]:
    """Start a run of a WDL or CWL document, and return its id."""

    def start_run(document: str, parameters: dict[str, Any] | None = None, **fields: Any) -> str:
        language = "CWL" if document.startswith("cwlVersion") else "WDL"
        packed = archive(**{f"main_{language.lower()}": document})
        workflow = omics.create_workflow(definitionZip=packed, engine=language)
        run = omics.start_run(
            workflowId=workflow["id"],
            roleArn=ROLE,
            outputUri=f"s3://{BUCKET}/results",
            parameters=parameters or {},
            **fields,
        )
        return str(run["id"])

    return start_run


@pytest.fixture
def ended(omics: Any) -> Callable[[str, str], dict[str, Any]]:
    """Wait for the end of a run, and return it."""

    def run(run_id: str, status: str = "COMPLETED") -> dict[str, Any]:
        found: dict[str, Any] = {}

        def is_over() -> bool:
            found.update(omics.get_run(id=run_id))
            return found["status"] in ("COMPLETED", "FAILED", "CANCELLED")

        wait_for(is_over)
        assert found["status"] == status, found.get("statusMessage")
        return found

    return run
