# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The way from the trigger form to the end of a run, rights and actions, in a browser and a real Airflow.

``SCREENSHOTS=docs/images`` takes the picture of the form.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.browser import Browser, browser
from dev.local_airflow import LocalAirflow
from dev.trigger_form import BUCKET, PARAMETER_TEMPLATE, WORKFLOW_NAME, planned_tasks
from dev.trigger_form import DAG_ID as FORM_DAG_ID
from dev.trigger_form import WORKFLOW_ID as FORM_WORKFLOW_ID

pytestmark = pytest.mark.slow

#: Seconds; the machine may be slow.
LIMIT = 600

#: A run that only the test advances.
HELD = {"PENDING": None, "STARTING": None, "RUNNING": None, "STOPPING": None}
AT_ONCE = {"PENDING": 0, "STARTING": 0, "RUNNING": 0, "STOPPING": 0}

REASON = "OUT_OF_MEMORY_ERROR"

#: A report with a script that reads the storage of its origin, which the sandbox denies.
REPORT = """<!doctype html><h1>All is well</h1><p></p><script>
let storage = "without";
try { if (localStorage) storage = "with"; } catch {}
document.querySelector("p").textContent = `scripts run ${storage} storage`;
</script>"""

LARGE = 1_000


@pytest.fixture(scope="module")
def other_users() -> dict[str, str]:
    """A user who may read DAGs, and one who may not."""
    return {"viewer": "viewer", "guest": ""}


@pytest.fixture(scope="module")
def dag_runs(server: HealthOmicsServer, airflow: LocalAirflow) -> dict[str, str]:
    """Plan the HealthOmics runs, trigger the DAGs that need no form, and return the id of each DAG run."""
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    server.control.add_workflow(FORM_WORKFLOW_ID, name=WORKFLOW_NAME, parameter_template=PARAMETER_TEMPLATE)
    plan = server.control.plan_run
    plan(
        workflow_id=FORM_WORKFLOW_ID,
        seconds=HELD,
        tasks=planned_tasks(60),
        outputs={"qc/report.html": REPORT, "vcf/sample.vcf": "##fileformat"},
    )
    plan(
        name="failed",
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        seconds=AT_ONCE,
        tasks=[{"name": "qc"}, {"name": "align", "failure_reason": REASON}],
    )
    plan(name="large", seconds=AT_ONCE | {"RUNNING": None}, tasks=LARGE)
    for number in (3, 4):
        plan(run_setting_id=f"sample-{number}", status="FAILED", seconds=AT_ONCE, failure_reason=REASON)
    plan(workflow_id="7654321", seconds=AT_ONCE, times=None)
    names = ("page_failed", "page_large", "page_batch")
    return {dag_id: airflow.trigger_dag(dag_id) for dag_id in names}


@pytest.fixture(scope="module")
def window(airflow: LocalAirflow, dag_runs: dict[str, str]) -> Iterator[Browser]:
    """A browser with the admin logged in."""
    with browser(airflow, airflow.username) as window:
        yield window


def api_path(dag_id: str, dag_run_id: str, task_id: str, more: str = "") -> str:
    """Return the path of the page's own API."""
    run = quote(dag_run_id, safe="")
    return f"healthomics/api/dags/{dag_id}/dagRuns/{run}/taskInstances/{task_id}/-1{more}"


def test_from_the_form_to_the_end(
    airflow: LocalAirflow, server: HealthOmicsServer, omics: Any, window: Browser
) -> None:
    """The entered values reach the run, whose page advances from PENDING to COMPLETED without a reload."""
    window.open(f"dags/{FORM_DAG_ID}")
    window.click("[data-testid=trigger-dag-button]")
    window.fill("#element_sample_name", "NA12878")
    window.screenshot("trigger-form")
    window.click("[role=dialog] button", "Trigger")
    dag_run = window.until(
        lambda: next(iter(airflow.get(f"dags/{FORM_DAG_ID}/dagRuns")["dag_runs"]), None), "it is triggered"
    )
    dag_run_id = dag_run["dag_run_id"]
    airflow.wait_for_task_state(FORM_DAG_ID, dag_run_id, "wait", "deferred", limit=LIMIT)
    (run,) = [each for each in server.control.runs() if f"{each['requestId']}".startswith(f"{dag_run_id}.")]
    assert omics.get_run(id=run["id"])["parameters"]["sample_name"] == "NA12878"

    window.open_run_page(FORM_DAG_ID, dag_run_id, "wait")
    window.find("[data-status=PENDING]")
    window.run("window.isTheSamePage = true")
    server.control.advance("RUNNING", run_id=run["id"])
    window.find("[data-testid=status][data-status=RUNNING]")
    window.find("[data-testid=tasks] tr", "shard-5")
    server.control.advance("COMPLETED", run_id=run["id"])
    window.find("[data-testid=status][data-status=COMPLETED]")
    window.find("[data-live=ended]")
    assert window.find("[data-testid=run-id]").text == run["id"]
    assert window.run("window.isTheSamePage")
    assert "NA12878" not in window.find("main").text, "a parameter's value"
    assert airflow.wait_for_dag_run(FORM_DAG_ID, dag_run_id, limit=LIMIT) == "success"

    # Two clicks to an output, which the browser gets from S3.
    window.click("[data-testid=open-outputs]")
    window.find("[data-testid=outputs]", "out/qc/report.html")
    window.click("[data-testid=view]", "out/qc/report.html")
    viewer = window.find("[data-testid=output]")
    assert f"/runs/{run['id']}/outputs/view?path=out%2Fqc%2Freport.html" in (
        viewer.get_attribute("src") or ""
    )
    window.driver.switch_to.frame(viewer)
    report = window.find("iframe")
    assert report.get_attribute("sandbox") == "allow-scripts"
    assert (report.get_attribute("src") or "").startswith(f"{server.endpoint_url}/")
    window.driver.switch_to.frame(report)
    window.find("h1", "All is well")
    window.find("p", "scripts run without storage")


def test_the_page_refuses_users_without_the_dag(airflow: LocalAirflow, dag_runs: dict[str, str]) -> None:
    """The page shows a notice, and nothing of the run."""
    dag_run_id = dag_runs["page_failed"]
    airflow.wait_for_dag_run("page_failed", dag_run_id, limit=LIMIT)
    with browser(airflow, "guest") as guest:
        guest.open_page_alone("page_failed", dag_run_id, "run")
        guest.find("[data-testid=notice]", "may not")
        assert REASON not in guest.find("body").text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_large_run(
    airflow: LocalAirflow,
    server: HealthOmicsServer,
    dag_runs: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    theme: str,
) -> None:
    """A thousand tasks can be searched, sorted and read, in Airflow's theme."""
    dag_run_id = dag_runs["page_large"]
    airflow.wait_for_task_state("page_large", dag_run_id, "run", "deferred", limit=LIMIT)
    with browser(airflow, airflow.username, theme=theme) as window:
        begin = time.monotonic()
        window.fetch(api_path("page_large", dag_run_id, "run"))
        fetched = time.monotonic() - begin
        window.open_run_page("page_large", dag_run_id, "run")
        window.find(".tiles", "of 1,000")
        assert window.run("document.documentElement.dataset.theme") == theme
        paint = window.until(
            lambda: window.run("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"),
            "it is painted",
        )
        answer = window.until(
            lambda: window.run(
                "performance.getEntriesByType('resource').filter((each) => each.name.includes('/api/'))"
                ".map((each) => [each.duration, each.decodedBodySize])[0]"
            ),
            "its data were fetched",
        )
        window.fill("input[type=search]", "task-777")
        window.find("[data-testid=shown]", "1 of 1,000")
    with capsys.disabled():
        print(
            f"\n{LARGE:,} tasks, {theme}: the server took {fetched * 1000:.0f} ms, then {answer[0]:.0f} ms "
            f"from memory; {answer[1]:,} bytes; first paint after {paint:.0f} ms"
        )


def test_start_again_is_airflows_own_clear(
    airflow: LocalAirflow, dag_runs: dict[str, str], window: Browser
) -> None:
    """The page shows what will be cleared, and Airflow's audit log what was."""
    dag_run_id = dag_runs["page_batch"]
    assert airflow.wait_for_dag_run("page_batch", dag_run_id, limit=LIMIT) == "failed"
    window.open_run_page("page_batch", dag_run_id, "batch")
    window.click("[data-testid=again]")
    window.find("dialog li", "batch")
    window.click("[data-testid=confirm]")
    window.until(lambda: "post_clear_task_instances" in events_of(airflow, "page_batch"), "it is logged")

    def is_repeated() -> bool:
        # Airflow logs the request before it clears the task.
        return bool(airflow.dag_run("page_batch", dag_run_id)["state"] == "success")

    airflow.wait_until(is_repeated, "the cleared task has succeeded", LIMIT)


def test_cancel(airflow: LocalAirflow, dag_runs: dict[str, str], window: Browser) -> None:
    """Two clicks, and the run ends; a viewer has no button."""
    dag_run_id = dag_runs["page_large"]
    airflow.wait_for_task_state("page_large", dag_run_id, "run", "deferred", limit=LIMIT)
    with browser(airflow, "viewer") as viewer:
        viewer.open_run_page("page_large", dag_run_id, "run")
        viewer.find("[data-testid=status][data-status=RUNNING]")
        viewer.find("[data-testid=actions]")
        assert viewer.shown("[data-testid=cancel]") == []
    window.open_run_page("page_large", dag_run_id, "run")
    window.click("[data-testid=cancel]")
    window.click("[data-testid=confirm]")
    window.find("[data-testid=status][data-status=CANCELLED]")
    assert "cancel_healthomics_run" in events_of(airflow, "page_large")


def events_of(airflow: LocalAirflow, dag_id: str) -> set[str]:
    """Return the events of a DAG in Airflow's audit log."""
    return {entry["event"] for entry in airflow.get(f"eventLogs?dag_id={dag_id}")["event_logs"]}
