# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Ten thousand samples from a sheet, their cost compared with mapped single runs, and crashes on the way.

``BATCH_SAMPLES=1000`` makes it a smaller batch, and ``BATCH_MAPPED=200`` a longer comparison.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

from .conftest import BUCKET

pytestmark = pytest.mark.slow

SAMPLES = int(os.environ.get("BATCH_SAMPLES", "10000"))
MAPPED = int(os.environ.get("BATCH_MAPPED", "50"))

#: The runs that fail, and those that cannot be started; the retry of the task repeats them.
FAILING = [f"sample-{number}" for number in range(0, SAMPLES, SAMPLES // 7)]
UNSTARTED = [f"sample-{number}" for number in range(1, SAMPLES, SAMPLES // 5)]

#: Bytes: of one XCom value in the metadata database, and of all values of a batch.
MAX_XCOM = 2_000
MAX_XCOMS = 8_000

#: Bytes: of a process of the task. Airflow and the amazon provider take about half of it.
MAX_MEMORY = 300_000_000

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
RUNNING_SECONDS = 12

#: Seconds; the machine may be slow.
LIMIT = 600


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Let tasks run beside the held ones."""
    return {"AIRFLOW__CORE__PARALLELISM": "8"}


@pytest.fixture(scope="module")
def s3(server: HealthOmicsServer) -> Any:
    """S3, counting the writes of each object."""
    client = boto3.Session().client("s3")
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


@pytest.fixture(scope="module", autouse=True)
def _high_quota(server: HealthOmicsServer) -> None:
    # At the default of one run a second, the batch alone would take three hours.
    server.control.set_options(batch_runs_per_second=1000, running_seconds=1, tasks=0)


def put_sheet(s3: Any, name: str, samples: int) -> str:
    """Write a sheet, and return its URI."""
    rows = [
        f"{sample},s3://reads/{sample}_1.fastq.gz,s3://reads/{sample}_2.fastq.gz,30"
        for sample in (f"sample-{number}" for number in range(samples))
    ]
    sheet = "\n".join(["sample,fastq_1,fastq_2,depth", *rows])
    s3.put_object(Bucket=BUCKET, Key=name, Body=sheet.encode())
    return f"s3://{BUCKET}/{name}"


def writes(s3: Any, prefix: str) -> Counter[str]:
    """Return the number of writes of each object below a prefix, by the end of its key without a digest."""
    pages = s3.get_paginator("list_object_versions")
    return Counter(
        re.sub("-[0-9a-f]{16}[.]json$", ".json", version["Key"].rpartition("/")[2])
        for page in pages.paginate(Bucket=BUCKET, Prefix=prefix)
        for version in page.get("Versions", ())
    )


def xcom_sizes(airflow: LocalAirflow, dag_id: str, dag_run_id: str) -> list[tuple[str, int]]:
    """Return the size of each XCom value of the task in the metadata database, by key."""
    query = (
        "SELECT key, length(CAST(value AS BLOB)) FROM xcom WHERE (dag_id, run_id, task_id) = (?, ?, 'run')"
    )
    with closing(sqlite3.connect(f"file:{airflow.home / 'airflow.db'}?mode=ro", uri=True)) as database:
        return database.execute(query, (dag_id, dag_run_id)).fetchall()


@dataclass(frozen=True)
class Measured:
    """A DAG run and its cost."""

    state: str
    seconds: float
    calls: Counter[str]
    runs: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {sum(self.calls.values()):,} calls {dict(self.calls.most_common())}"


def measure(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_id: str, dag_run_id: str, sheet: str
) -> Measured:
    """Run a DAG for a sheet."""
    calls, runs = Counter(server.control.call_counts()), len(server.control.runs())
    began = time.monotonic()
    airflow.trigger_dag(dag_id, {"sheet": sheet}, run_id=dag_run_id)
    state = airflow.wait_for_dag_run(dag_id, dag_run_id, limit=LIMIT + 5 * MAPPED)
    seconds = time.monotonic() - began
    after = Counter(server.control.call_counts())
    return Measured(state, seconds, after - calls, server.control.runs()[runs:])


def test_ten_thousand_samples(
    airflow: LocalAirflow, server: HealthOmicsServer, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sheet of any length is one call, one object and few small XComs, and a retry repeats what failed."""
    control = server.control
    for sample in FAILING:
        control.plan_run(run_setting_id=sample, status="FAILED", failure_reason="SERVICE_ERROR")
    control.fail_submission(UNSTARTED, "ServiceQuotaExceededException", times=len(UNSTARTED))

    batch = measure(airflow, server, "batch", "manual__all", put_sheet(s3, "all.csv", SAMPLES))

    sizes = xcom_sizes(airflow, "batch", "manual__all")
    written = writes(s3, "batches/manual__all")
    lines = (airflow.home / "peaks-manual__all").read_text().splitlines()
    peaks = {f"try {number}, {leg}": int(kib) * 1024 for number, leg, kib in map(str.split, lines)}
    with capsys.disabled():
        print(f"\n{SAMPLES:,} samples by a batch: {len(FAILING)} fail and {len(UNSTARTED)} do not start")
        print(f"  {batch}")
        print(f"  {written['settings.json']} write of the settings to S3, {written.total() - 1} of outcomes")
        print(f"  XCom bytes {dict(sizes)}, together {sum(size for _, size in sizes):,}")
        print("  peak memory", ", ".join(f"{leg} {peak / 1e6:.0f} MB" for leg, peak in peaks.items()))

    assert batch.state == "success", airflow.task_log("batch", "manual__all", "run")
    started = Counter(run["runSettingId"] for run in batch.runs)
    assert len(started) == SAMPLES
    assert {sample for sample, times in started.items() if times > 1} == set(FAILING)
    assert started.total() == SAMPLES + len(FAILING)
    assert batch.calls["StartRunBatch"] == 2, "one for each try"
    assert batch.calls["GetRun"] <= SAMPLES + len(FAILING), "outputs are asked for once"
    assert written["settings.json"] == 1
    assert max(size for _, size in sizes) <= MAX_XCOM
    assert sum(size for _, size in sizes) <= MAX_XCOMS
    assert max(peaks.values()) <= MAX_MEMORY

    summary = airflow.xcom("batch", "manual__all", "run", "summary")
    counts = (summary if isinstance(summary, dict) else json.loads(summary))["counts"]
    assert counts == {"COMPLETED": SAMPLES}
    parts = airflow.xcom("batch", "manual__all", "run", "success_parts")
    parts = parts if isinstance(parts, list) else json.loads(parts)
    done: list[str] = []
    for uri in parts:
        body = s3.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
        done += [success["runSettingId"] for success in json.loads(body)]
    assert sorted(done) == sorted(started)


def test_a_batch_beside_mapped_runs(
    airflow: LocalAirflow, server: HealthOmicsServer, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the same samples a batch needs fewer calls, less time and less of the metadata database."""
    sheet = put_sheet(s3, "few.csv", MAPPED)
    found = {}
    for dag_id in ("batch", "mapped"):
        found[dag_id] = measure(airflow, server, dag_id, "manual__few", sheet)
    sizes = {dag_id: xcom_sizes(airflow, dag_id, "manual__few") for dag_id in found}
    with capsys.disabled():
        print(f"\n{MAPPED:,} samples, with no limit of StartRun")
        for dag_id, measured in found.items():
            rows = sizes[dag_id]
            print(f"  {dag_id}: {measured}; {len(rows):,} XComs of {sum(size for _, size in rows):,} bytes")

    batch, mapped = found["batch"], found["mapped"]
    assert (batch.state, mapped.state) == ("success", "success")
    assert len(batch.runs) == len(mapped.runs) == MAPPED
    assert batch.calls.total() < mapped.calls.total()
    assert batch.seconds < mapped.seconds
    assert len(sizes["batch"]) < len(sizes["mapped"])


@dataclass(frozen=True)
class Case:
    """A DAG run with one task, named ``run``."""

    airflow: LocalAirflow
    server: HealthOmicsServer
    dag_id: str

    @property
    def dag_run_id(self) -> str:
        """The id of the DAG run; short, since a batch's request ID has room for 47 characters of it."""
        return self.dag_id

    @property
    def task(self) -> dict[str, Any]:
        """The task instance."""
        return self.airflow.task_instance(self.dag_id, self.dag_run_id, "run")

    @property
    def batches(self) -> list[dict[str, Any]]:
        """The batches that the task has started; each is named by its request ID."""
        return [
            batch
            for batch in self.server.control.batches()
            if str(batch["name"]).startswith(f"{self.dag_run_id}.")
        ]

    def hold(self, operation: str, match: dict[str, Any], name: str = "", **when: Any) -> None:
        """Hold a call, by default under the name of the DAG."""
        self.server.control.hold(operation, name or self.dag_id, match=match, **when)

    def hold_start(self, **when: Any) -> None:
        """Hold StartRunBatch."""
        self.hold("StartRunBatch", {"tags": {"dag": self.dag_id}}, **when)

    def kill_when_held(self) -> None:
        """Kill the task's process once its call is held."""
        self.server.control.wait_until_held(self.dag_id, timeout=LIMIT)
        pid = self.task["pid"]
        assert os.getsid(pid) == self.airflow.process_id("scheduler")
        os.kill(pid, signal.SIGKILL)

    def release(self) -> None:
        """Release the held call of the dead process."""
        self.server.control.release(self.dag_id)


def before_write(case: Case) -> Iterator[None]:
    """The intention is recorded, and nothing is in S3."""
    case.hold("ListBatch", {"name": f"{case.dag_id} sending"})
    yield
    case.kill_when_held()
    case.release()


def before_start_lost(case: Case) -> Iterator[None]:
    """The settings are in S3, and StartRunBatch never takes effect."""
    case.hold_start()
    case.server.control.inject_error("StartRunBatch", match={"tags": {"dag": case.dag_id}})
    yield
    case.kill_when_held()
    case.release()


def before_start_late(case: Case) -> Iterator[None]:
    """The settings are in S3, and StartRunBatch takes effect when the process is dead."""
    case.hold_start()
    yield
    case.kill_when_held()
    case.release()


def before_start_in_flight(case: Case) -> Iterator[None]:
    """The settings are in S3, and StartRunBatch takes effect only after the next try has called it."""
    case.hold_start()
    yield
    case.kill_when_held()
    case.airflow.wait_until(
        lambda: any(
            call["error"] == "ConflictException"
            and call["ids"]["requestId"].startswith(f"{case.dag_run_id}.")
            for call in case.server.control.calls("StartRunBatch")
        ),
        f"the next try of {case.dag_id} meets the StartRunBatch in flight",
        LIMIT,
    )
    case.release()


def after_start(case: Case) -> Iterator[None]:
    """HealthOmics received StartRunBatch, and the process dies before the response."""
    case.hold_start(when="after")
    yield
    case.kill_when_held()
    case.release()


def before_batch_id(case: Case) -> Iterator[None]:
    """StartRunBatch has returned, and the batch's id is not recorded yet."""
    case.hold("ListBatch", {"name": f"{case.dag_id} started"})
    yield
    case.kill_when_held()
    case.release()


def before_deferral(case: Case) -> Iterator[None]:
    """The batch's id is recorded, and the task is about to defer."""
    case.hold("ListBatch", {"name": f"{case.dag_id} published"})
    yield
    case.kill_when_held()
    case.release()


def after_resume(case: Case) -> Iterator[None]:
    """The batch has ended and the trigger has fired."""
    case.hold("ListBatch", {"name": f"{case.dag_id} resumed"})
    yield
    case.kill_when_held()
    case.release()


POINTS: tuple[Callable[[Case], Iterator[None]], ...] = (
    before_write,
    before_start_lost,
    before_start_late,
    before_start_in_flight,
    after_start,
    before_batch_id,
    before_deferral,
    after_resume,
)

CRASHES = {f"crash_{point.__name__}{suffix}": point for point in POINTS for suffix in ("", "_without_store")}


@pytest.fixture(scope="module")
def crashed(
    airflow: LocalAirflow, server: HealthOmicsServer
) -> Iterator[dict[str, tuple[Case, Future[str]]]]:
    """Kill a process of every task, and return the results of the DAG runs."""
    server.control.set_options(running_seconds=RUNNING_SECONDS)

    def crash(case: Case, steps: Iterator[None]) -> str:
        next(steps, None)
        return airflow.wait_for_dag_run(case.dag_id, case.dag_run_id, limit=LIMIT)

    cases = {}
    with ThreadPoolExecutor(len(CRASHES)) as pool:
        for dag_id, point in CRASHES.items():
            case = Case(airflow, server, dag_id)
            steps = point(case)
            next(steps)
            airflow.trigger_dag(dag_id, run_id=case.dag_run_id)
            cases[dag_id] = (case, pool.submit(crash, case, steps))
        yield cases


@pytest.mark.parametrize("dag_id", CRASHES)
def test_a_killed_worker_starts_no_second_batch(
    crashed: dict[str, tuple[Case, Future[str]]], s3: Any, dag_id: str
) -> None:
    """A task whose process is killed at any point continues with its only batch, and succeeds."""
    case, state = crashed[dag_id]

    assert state.result() == "success", case.airflow.task_log(case.dag_id, case.dag_run_id, "run")
    assert [batch["status"] for batch in case.batches] == ["PROCESSED"]
    assert writes(s3, f"crashes/{case.dag_run_id}.")["settings.json"] == 1
    assert case.task["try_number"] > 1, "the process was killed"
