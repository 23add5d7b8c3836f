# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Code runs on this machine only for its own user, who has asked for it at the start."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_healthomics.testing import Control, HealthOmicsServer, Options
from tests.local.conftest import BUCKET, aws

from .conftest import PACE, one_task, wait_for


def test_it_is_off_by_default() -> None:
    """Nothing computes without being asked to."""
    assert Options().compute is False


def test_the_local_healthomics_does_not_import_the_engine() -> None:
    """Only the processes of runs import miniwdl."""
    code = (
        "import sys, airflow_healthomics.testing as t; t.Options(compute=True); print('WDL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_a_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that has it; another interpreter makes it unnecessary."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"airflow-provider-healthomics\[engine\]"):
        Options(compute=True)
    Options(compute=True, engine_python="/opt/miniwdl/bin/python")


@pytest.mark.parametrize("control", ["server"], indirect=True)
@pytest.mark.parametrize("options", [{"manual": False, "compute": True, **PACE, "engine_python": "/nowhere"}])
def test_a_missing_interpreter_fails_the_run(
    control: Control, omics: Any, compute: Callable[..., str], ended: Callable[..., dict[str, Any]]
) -> None:
    """The engine log says which one."""
    run_id = compute(one_task("true"))
    run = ended(run_id, "FAILED")
    assert run["failureReason"] == "WORKFLOW_RUN_FAILED"
    log = aws("s3").get_object(Bucket=BUCKET, Key=f"results/{run_id}/logs/engine.log")["Body"].read()
    assert b"/nowhere" in log


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
def test_no_other_machine_can_compute_here(host: str) -> None:
    """The address must be loopback."""
    with pytest.raises(ValueError, match="loopback"):
        HealthOmicsServer(host=host, compute=True).start()


@pytest.mark.parametrize(("compute", "status"), [(True, 403), (False, 200)])
def test_no_web_page_can_compute_here(compute: bool, status: int) -> None:
    """A browser names the page that a request comes from."""
    with HealthOmicsServer(compute=compute) as server:
        url = f"{server.endpoint_url}/_healthomics/call_counts"
        assert requests.post(url, json={}, timeout=30).status_code == 200
        from_page = requests.post(url, json={}, headers={"Origin": "https://example.org"}, timeout=30)
    assert from_page.status_code == status


@pytest.mark.parametrize("control", ["server"], indirect=True)
@pytest.mark.parametrize("change", [{"compute": False}, {"engine_python": "/bin/false"}])
def test_it_cannot_be_changed_later(control: Control, change: dict[str, Any]) -> None:
    """Who starts the local HealthOmics decides, not its callers."""
    with pytest.raises(ValueError, match="only at the start"):
        control.set_options(**change)


@pytest.mark.parametrize("control", ["server"], indirect=True)
def test_reset_ends_the_processes(control: Control, compute: Callable[..., str], tmp_path: Path) -> None:
    """Nothing of a forgotten run continues."""
    pid = tmp_path / "pid"
    compute(one_task(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 600"))
    wait_for(pid.exists)
    control.reset()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_processes_end_with_the_server(tmp_path: Path) -> None:
    """Also if it is killed and cannot end them."""
    script = """
import sys, time
import boto3
from airflow_healthomics.testing import mock_healthomics
from tests.local.archives import archive
from tests.local.engine.conftest import PACE, one_task
with mock_healthomics(compute=True, create_buckets=True, **PACE):
    omics = boto3.client("omics", region_name="us-east-1")
    command = f"echo $$ > {sys.argv[1]}.new; mv {sys.argv[1]}.new {sys.argv[1]}; sleep 600"
    workflow = omics.create_workflow(definitionZip=archive(main_wdl=one_task(command)), engine="WDL")
    role = "arn:aws:iam::123456789012:role/omics"
    run = omics.start_run(workflowId=workflow["id"], roleArn=role, outputUri="s3://outputs/x")
    while True:
        omics.get_run(id=run["id"])
        time.sleep(0.05)
"""
    pid = tmp_path / "pid"
    server = subprocess.Popen([sys.executable, "-c", script, str(pid)], cwd=Path(__file__).parents[3])
    try:
        wait_for(pid.exists)
    finally:
        server.kill()
        server.wait()
    wait_for(lambda: _is_gone(int(pid.read_text())))


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
