# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics that a StatsD server receives from Airflow's Stats about starts, waits, runs and AWS calls."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config

from airflow_healthomics.compat import Context, airflow_stats
from airflow_healthomics.exceptions import HealthOmicsRunFailedError
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.monitoring.metrics import METRICS, Place
from airflow_healthomics.run_page.plugin import HAS_VIEWS
from airflow_healthomics.sensors import HealthOmicsRunSensor
from airflow_healthomics.service.errors import bounded_code
from tests.healthomics import Control
from tests.unit.conftest import Clock, Tasks
from tests.unit.histories import start_of
from tests.unit.kinds import BATCH
from tests.unit.statsd import StatsD

DOCS = Path(__file__).resolve().parents[3] / "docs"
STATSD_KINDS = {"counter": "c", "gauge": "g", "timer": "ms"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_statsd_receives_each_metric_with_its_tags(statsd: StatsD, metric: metrics.Metric) -> None:
    """A timer is in milliseconds, and no character of a tag makes Airflow drop the metric."""
    metrics._send(metric, 2, *(f"a b,c=d:{tag}" for tag in metric.tags))
    (received,) = statsd.received(metric.name)
    assert received.kind == STATSD_KINDS[metric.kind]
    assert received.value == (2000 if metric.kind == "timer" else 2)
    assert received.tags == {tag: f"a_b_c_d_{tag}" for tag in metric.tags}


# --- the end of a run ---


@pytest.mark.parametrize(
    ("documented", "reason"), [("OUT_OF_MEMORY_ERROR", "OUT_OF_MEMORY_ERROR"), ("sample NA12878", "other")]
)
def test_an_end_is_counted_with_a_documented_reason_only(
    statsd: StatsD, omics: Control, tasks: Tasks, context: Context, clock: Clock, documented: str, reason: str
) -> None:
    """Any other reason is counted as ``other``."""
    omics.plan_run(status="FAILED", failure_reason=documented)
    clock.at(100, lambda: omics.advance("FAILED"))
    with pytest.raises(HealthOmicsRunFailedError):
        tasks.run(lambda: start_of(wait_for_completion=True, deferrable=True), context)
    assert statsd.counts("ended", "kind", "status", "reason") == {("run", "FAILED", reason): 1}


def test_a_sensor_counts_the_end_and_the_times(
    statsd: StatsD, omics: Control, tasks: Tasks, context: Context, started: Any, clock: Clock
) -> None:
    """It counts the end once, and records the times once."""
    run = started()
    clock.at(150, lambda: omics.advance("COMPLETED"))
    sensor = HealthOmicsRunSensor(task_id="wait", run_id=run["id"], poke_interval=10, report_usage=False)
    sensor.execute(context)
    assert statsd.counts("ended", "kind", "status", "reason") == {("run", "COMPLETED", "none"): 1}
    assert {each.tags["operation"] for each in statsd.received("poll.duration")} == {"GetRun"}
    (queued,), (ran,) = statsd.received("run.queued"), statsd.received("run.duration")
    assert queued.tags == ran.tags == {"status": "COMPLETED"}


def test_queue_and_run_seconds_are_those_of_healthomics(statsd: StatsD) -> None:
    """A run that never started has neither."""
    created = {"status": "CANCELLED", "creationTime": "2026-11-22T03:00:00+00:00"}
    metrics.ended("run", created, "none")
    times = {"startTime": "2026-11-22T03:01:00Z", "stopTime": "2026-11-22T03:03:00+00:00"}
    metrics.ended("run", created | times, "none")
    assert [each.value for each in statsd.received("run.queued")] == [60_000]
    assert [each.value for each in statsd.received("run.duration")] == [120_000]


def test_the_end_of_a_batch_is_counted(
    statsd: StatsD, omics: Control, tasks: Tasks, context: Context, clock: Clock
) -> None:
    """The message that a batch has as its reason is no tag."""
    clock.at(100, lambda: omics.advance("COMPLETED"))
    tasks.run(lambda: BATCH.task(wait_for_completion=True, deferrable=True), context)
    assert statsd.counts("ended", "kind", "status", "reason") == {("batch", "PROCESSED", "none"): 1}


# --- the run page ---


@pytest.mark.skipif(not HAS_VIEWS, reason="Airflow has no views of plugins before 3.1")
def test_answers_of_the_page_are_counted(statsd: StatsD) -> None:
    """Responses of its API are counted, its files are not."""
    from fastapi.testclient import TestClient

    from airflow_healthomics.run_page.app import create_app

    with TestClient(create_app()) as page:
        page.get("/page")
        page.get("/api/nothing")
        page.get("/api/nothing")
    assert statsd.counts("page.answers", "status") == {("404",): 2}


# --- metrics have no side effects ---


def test_a_failing_backend_changes_nothing(
    statsd: StatsD,
    omics: Control,
    tasks: Tasks,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    """A task starts its run, waits and succeeds."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the backend is down")

    for method in ("incr", "gauge", "timing"):
        monkeypatch.setattr(airflow_stats(), method, fail)
    clock.at(100, lambda: omics.advance("COMPLETED"))
    run_id = tasks.run(lambda: start_of(wait_for_completion=True, deferrable=True), context)
    assert run_id == omics.runs()[0]["id"]
    assert statsd.received("starts") == []


def test_nothing_is_sent_unless_metrics_are_on(
    statsd: StatsD, monkeypatch: pytest.MonkeyPatch, omics: Control, context: Context
) -> None:
    """Airflow's Stats is not imported either."""
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
    airflow_stats.cache_clear()
    start_of().execute(context)
    assert airflow_stats() is None
    assert statsd.received("starts") == []


def test_a_session_without_metrics_is_unaffected(omics: Control) -> None:
    """The event handlers receive botocore's arguments unchanged, and return nothing."""
    session = boto3.Session()
    metrics.count_calls(session, None)
    client = session.client("omics", "us-east-1", config=Config(inject_host_prefix=False))
    assert client.list_runs()["items"] == []


@pytest.mark.parametrize(
    ("code", "bounded"),
    [
        ("ok", "ok"),
        ("ThrottlingException", "ThrottlingException"),
        ("EndpointConnectionError", "EndpointConnectionError"),
        ("sample NA12878", "other"),
        ("", "other"),
    ],
)
def test_codes_are_bounded(code: str, bounded: str) -> None:
    """A proxy may answer with any code."""
    assert bounded_code(code) == bounded


def test_a_place_may_be_unknown(statsd: StatsD) -> None:
    """boto3's default credentials have no connection."""
    metrics.credentials_refused(Place())
    assert statsd.received("credentials.refused")[0].tags == {"connection": "none", "region": "none"}


# --- the documentation ---


def test_the_documentation_has_each_metric() -> None:
    """It has the type and tags of each, and no others."""
    rows = re.findall(
        r"^\| `healthomics\.([\w.]+)` \| (\w+) \| [^|]* \| ([^|]*) \|",
        (DOCS / "reference" / "metrics.md").read_text(),
        re.MULTILINE,
    )
    documented = {(name, kind, tuple(re.findall(r"`(\w+)`", tags))) for name, kind, tags in rows}
    assert documented == {(name, str(kind), tags) for name, kind, tags in METRICS}


def _exported() -> dict[str, metrics.Metric]:
    """Return the metrics by their names in statsd_exporter."""
    names = {"airflow_healthomics_" + metric.name.replace(".", "_"): metric for metric in METRICS}
    timers = {name: metric for name, metric in names.items() if metric.kind == "timer"}
    return names | {f"{name}_{part}": metric for name, metric in timers.items() for part in ("sum", "count")}


def _expressions(path: Path) -> list[str]:
    value = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else json.loads(path.read_text())

    def search(node: Any) -> list[str]:
        if isinstance(node, dict):
            found = [text for key, text in node.items() if key == "expr"]
            return found + [text for child in node.values() for text in search(child)]
        return [text for child in node for text in search(child)] if isinstance(node, list) else []

    return search(value)


@pytest.mark.parametrize("file", ["healthomics.json", "alerts.yaml"])
def test_each_expression_has_metrics_and_tags_that_exist(file: str) -> None:
    """In the dashboard and in the alert rules."""
    exported = _exported()
    expressions = _expressions(DOCS / "grafana" / file)
    assert expressions
    for text in expressions:
        used = re.findall(r"airflow_healthomics_\w+", text)
        assert used
        assert set(used) <= exported.keys(), text
        labels = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")}
        labels |= set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", text))
        known = {tag for name in used for tag in exported[name].tags} | {"quantile"}
        assert labels <= known, text


def test_the_dashboard_shows_each_metric() -> None:
    """No metric is collected in vain."""
    text = "\n".join(_expressions(DOCS / "grafana" / "healthomics.json"))
    shown = {metric for name, metric in _exported().items() if re.search(rf"\b{name}\b", text)}
    assert shown == set(METRICS)
