# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""All runs of a batch: settings, states, outputs, success policy, and the manifest as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi.testclient import TestClient

from airflow_healthomics.exceptions import HealthOmicsRunBatchFailedError
from airflow_healthomics.run_page import batch_runs
from airflow_healthomics.run_page.batch_answers import policy_answer, runs_csv
from tests.healthomics import Control
from tests.unit.batch_attempts import Attempts, batch_of, fail_runs
from tests.unit.conftest import OUTPUT, Clock, calls_of
from tests.unit.run_page.api.api_server import CANARY, deny, get, url

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def settings(number: int) -> list[dict[str, Any]]:
    """Return run settings."""
    return [{"run_setting_id": f"s{n:03}", "parameters": {"sample": CANARY}} for n in range(number)]


def test_all_runs(page: TestClient, omics: Control, start_batch: Any) -> None:
    """Each has its setting, state, times and, once completed, its outputs."""
    omics.plan_run(run_setting_id="s001", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    omics.fail_submission(["s002"])
    path, _ = start_batch(run_settings=settings(6))
    omics.advance_batch("PROCESSED")
    answer = get(page, f"{path}/runs")
    rows = {row["runSettingId"]: row for row in answer["rows"]}
    assert [row["status"] for row in rows.values()] == [
        "COMPLETED",
        "FAILED",
        "NOT_STARTED",
        "COMPLETED",
        "COMPLETED",
        "COMPLETED",
    ]
    for row in rows.values():
        if row["status"] == "COMPLETED":
            assert row["runOutputUri"] == omics_output(page, path, row["id"])
            assert row["startTime"] <= row["stopTime"]
            assert row["outputsUrl"].startswith("https://")
        else:
            assert not row.keys() & {"runOutputUri", "outputsUrl"}
    assert rows["s002"]["failureReason"] == "ValidationException"
    assert answer["counts"] == {"COMPLETED": 4, "FAILED": 1, "NOT_STARTED": 1}
    assert (answer["total"], answer["read"], answer["matching"]) == (6, 6, 6)
    assert (answer["isComplete"], answer["active"], answer["pollSeconds"]) == (True, False, 0)


def omics_output(page: TestClient, path: str, run_id: str) -> str:
    """Return the output URI of a run, read separately."""
    uri: str = get(page, f"{path}/runs/{run_id}")["run"]["runOutputUri"]
    assert uri.startswith(OUTPUT)
    return uri


def test_outputs_are_derived_from_a_few(page: TestClient, omics: Control, start_batch: Any) -> None:
    """GetRun is called three times, however many runs completed."""
    path, _ = start_batch(run_settings=settings(20))
    omics.advance_batch("PROCESSED")
    before = calls_of(omics, "GetRun")
    rows = get(page, f"{path}/runs")["rows"]
    assert len({row["runOutputUri"] for row in rows}) == 20
    assert calls_of(omics, "GetRun") == before + 3


def test_filters_sorting_and_pages(page: TestClient, omics: Control, start_batch: Any) -> None:
    """The server does all three."""
    omics.plan_run(run_setting_id="s003", status="FAILED")
    path, _ = start_batch(run_settings=settings(30))
    omics.advance_batch("PROCESSED")

    def ids(query: str) -> list[str]:
        return [row["runSettingId"] for row in get(page, f"{path}/runs?{query}")["rows"]]

    assert ids("limit=2&offset=4") == ["s004", "s005"]
    assert ids("descending=true&limit=2") == ["s029", "s028"]
    assert ids("status=FAILED") == ["s003"]
    assert ids("search=S01&limit=3") == ["s010", "s011", "s012"]
    assert ids("sort=status&descending=true&limit=1") == ["s003"]
    assert ids("search=nothing") == []
    for bad in ("sort=parameters", "limit=0", "limit=501", "offset=-1"):
        assert page.get(f"{path}/runs?{bad}").status_code == 422


def test_many_runs_are_read_in_several_fetches(
    page: TestClient, omics: Control, start_batch: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response has the number of runs read so far; the CSV file waits for all."""
    monkeypatch.setattr(batch_runs, "MAX_PAGES", 2)
    monkeypatch.setattr(batch_runs, "PAGE_SIZE", 10)
    path, _ = start_batch(run_settings=settings(25))
    omics.advance_batch("PROCESSED")
    answer = get(page, f"{path}/runs")
    assert (answer["read"], answer["total"], answer["isComplete"]) == (20, 25, False)
    assert answer["pollSeconds"] == 2
    refused = page.get(f"{path}/runs.csv")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    for _ in range(2):
        clock.advance(3)
        answer = get(page, f"{path}/runs")
    assert (answer["read"], answer["isComplete"], answer["counts"]) == (25, True, {"COMPLETED": 25})
    assert calls_of(omics, "ListRuns") == calls_of(omics, "ListRunsInBatch") == 3


def test_an_active_batch(page: TestClient, omics: Control, start_batch: Any, clock: Clock) -> None:
    """It is read again until it ends, and not afterwards."""
    omics.set_options(manual=True)
    path, _ = start_batch(run_settings=settings(3))
    omics.advance_batch("SUBMITTING")
    omics.submit_runs(2)
    answer = get(page, f"{path}/runs")
    assert answer["active"] is True
    assert answer["pollSeconds"] == 15
    assert answer["counts"] == {"PENDING": 2, "WAITING": 1}
    omics.advance_batch("PROCESSED")
    clock.advance(16)
    answer = get(page, f"{path}/runs")
    assert (answer["counts"], answer["active"]) == ({"COMPLETED": 3}, False)
    before = calls_of(omics, "ListRuns")
    clock.advance(301)
    get(page, f"{path}/runs")
    assert calls_of(omics, "ListRuns") == before


def test_the_manifest(page: TestClient, omics: Control, start_batch: Any) -> None:
    """It is a CSV file with all runs."""
    path, batch_id = start_batch(run_settings=settings(3))
    omics.advance_batch("PROCESSED")
    answer = page.get(f"{path}/runs.csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert f"batch-{batch_id}.csv" in answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert CANARY not in answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["runSettingId"] for row in rows] == ["s000", "s001", "s002"]
    assert all(row["runOutputUri"].startswith(OUTPUT) and row["status"] == "COMPLETED" for row in rows)


def test_no_cell_is_a_formula() -> None:
    """Whatever the id of the run setting is."""
    text = runs_csv([{"runSettingId": '=HYPERLINK("x")', "status": "COMPLETED"}, {"runSettingId": "a,b"}])
    first, second = list(csv.reader(io.StringIO(text)))[1:]
    assert first[0] == '\'=HYPERLINK("x")'
    assert second[0] == "a,b"


@pytest.mark.parametrize(
    ("policy", "completed", "failed", "state"),
    [
        ("all", 10, 0, "met"),
        ("all", 5, 0, "open"),
        ("all", 9, 1, "missed"),
        (0.9, 8, 1, "open"),
        ("0.9", 9, 1, "met"),
        ("90%", 0, 2, "missed"),
        (1, 1, 0, "met"),
    ],
)
def test_the_success_policy(policy: Any, completed: int, failed: int, state: str) -> None:
    """It is met, missed in any case, or open."""
    batch = {"totalRuns": 10, "runSummary": {"completedRunCount": completed, "failedRunCount": failed}}
    answer = policy_answer(batch, policy)
    assert answer is not None
    assert answer["state"] == state
    assert answer["completed"] == completed
    repeated = policy_answer(batch, policy, may_repeat=True)
    assert repeated is not None
    assert "state" not in repeated


@pytest.mark.parametrize("policy", [None, "{{ x }}", {}, 0])
def test_no_success_policy(policy: Any) -> None:
    """An unknown policy is not shown."""
    assert policy_answer({"totalRuns": 10}, policy) is None


def test_the_success_policy_of_the_task(
    page: TestClient, omics: Control, start_batch: Any, tasks_db: Any
) -> None:
    """It is the rendered one."""
    path, _ = start_batch(run_settings=settings(3))
    tasks_db.set_rendered("cohort", {"aws_conn_id": "aws_default", "success_policy": "any"})
    omics.advance_batch("PROCESSED")
    answer = get(page, f"{path}/runs")
    assert answer["policy"] == {
        "text": "at least 1 run",
        "state": "met",
        "required": 1,
        "completed": 3,
    }


def test_the_success_policy_after_a_retry(
    page: TestClient, omics: Control, tasks: Any, tasks_db: Any, clock: Clock
) -> None:
    """Once the task has published all attempts, they count together, as for the task."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks)
    with pytest.raises(HealthOmicsRunBatchFailedError):
        attempts.again()
    attempts.again()
    with tasks_db.dag:
        task = batch_of(task_id="cohort")
    rendered = {"aws_conn_id": "aws_default", "success_policy": "all"}
    xcoms = dict(attempts.ti.xcoms)
    summary = xcoms.pop("summary")
    path = tasks_db.add(task, xcoms=xcoms, rendered=rendered)
    tasks_db.update(try_number=2)
    answer = get(page, f"{path}/runs")
    assert answer["policy"] == {"text": "all runs", "completed": 1}
    assert (answer["active"], answer["pollSeconds"]) == (False, 15)
    tasks_db.update(state="failed")
    assert get(page, f"{path}/runs")["pollSeconds"] == 0
    tasks_db.push(task, "summary", summary)
    answer = get(page, f"{path}/runs")
    met = {"text": "all runs", "state": "met", "required": 3, "completed": 3, "batches": 2}
    assert (answer["policy"], answer["pollSeconds"]) == (met, 0)


@pytest.mark.parametrize(
    "edited", [{"counts": {"COMPLETED": "3"}, "batchIds": []}, {"counts": {"FAILED": 1}}]
)
def test_a_summary_that_was_edited(edited: dict[str, Any]) -> None:
    """It has no effect, and is no error."""
    batch = {"totalRuns": 1, "runSummary": {"completedRunCount": 1}}
    answer = policy_answer(batch, "all", summary=edited)
    assert answer is not None
    assert answer["state"] == "met"


def test_a_sensor_judges_one_batch(page: TestClient, omics: Control, start_batch: Any, tasks_db: Any) -> None:
    """Whatever its try number."""
    path, batch_id = start_batch(run_settings=settings(3))
    omics.advance_batch("PROCESSED")
    rendered = {"aws_conn_id": "aws_default", "batch_id": batch_id, "success_policy": "all"}
    tasks_db.set_rendered("cohort", rendered)
    tasks_db.update(try_number=2)
    assert get(page, f"{path}/runs")["policy"]["state"] == "met"


def test_a_run_has_no_list(page: TestClient, omics: Control, start: Any) -> None:
    """Only a batch has one."""
    path, _ = start()
    for name in ("runs", "runs.csv"):
        assert page.get(f"{path}/{name}").status_code == 404


@pytest.mark.parametrize("name", ["runs", "runs.csv"])
@pytest.mark.parametrize("entity", [DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM])
def test_the_required_rights(
    page: TestClient, start_batch: Any, monkeypatch: pytest.MonkeyPatch, entity: DagAccessEntity, name: str
) -> None:
    """Both those for the task instance and those for its XComs."""
    start_batch(run_settings=settings(1))
    deny(monkeypatch, entity)
    assert page.get(f"{url('cohort')}/{name}").status_code == 403


def test_an_outage(page: TestClient, omics: Control, start_batch: Any, clock: Clock) -> None:
    """The last known runs are shown, with the reason."""
    omics.set_options(manual=True)
    path, _ = start_batch(run_settings=settings(3))
    omics.advance_batch("INPROGRESS")
    get(page, f"{path}/runs")
    omics.inject_error("ListRuns", "ThrottlingException", times=1)
    clock.advance(16)
    answer = get(page, f"{path}/runs")
    assert len(answer["rows"]) == 3
    assert "ThrottlingException" in answer["notices"][0]
    clock.advance(21)
    assert "notices" not in get(page, f"{path}/runs")
