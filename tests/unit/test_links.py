# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The links of a task to its run."""

from __future__ import annotations

import json
from copy import copy
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from airflow_healthomics import links
from airflow_healthomics.compat import Context
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.links import RUN_LINKS, batch_urls, console_url, run_urls
from airflow_healthomics.operators import HealthOmicsCancelRunOperator, HealthOmicsStartRunOperator
from airflow_healthomics.provider_info import get_provider_info
from airflow_healthomics.publishing.resource import XCOM_KEY, publish_run, push_started
from airflow_healthomics.publishing.resource_xcom import TaskResource, parse_resource
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import (
    IS_AIRFLOW_2,
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    FakeTaskInstance,
    Tasks,
    write_links,
)

RUN = {"id": "1234567", "runOutputUri": "s3://outputs/results/a b/1234567"}
CONSOLE = "https://console.aws.amazon.com"


def test_the_run_in_the_console() -> None:
    """It has region and run id."""
    url = run_urls(RUN, "eu-west-1", "aws")["healthomics_run_link"]
    assert url == f"{CONSOLE}/omics/home?region=eu-west-1#/runs/1234567"


@pytest.mark.parametrize(
    ("key", "stream"),
    [("healthomics_run_log_link", "run/1234567"), ("healthomics_engine_log_link", "run/1234567/engine")],
)
def test_the_logs_in_cloudwatch(key: str, stream: str) -> None:
    """The stream is in HealthOmics' only log group."""
    url = urlsplit(run_urls(RUN, "eu-west-1", "aws")[key])
    assert parse_qs(url.query) == {"region": ["eu-west-1"]}
    path = url.fragment.removeprefix("logsV2:log-groups/log-group/").split("/")
    assert [unquote(part) for part in path] == ["/aws/omics/WorkflowLog", "log-events", stream]


def test_the_outputs_in_s3() -> None:
    """Bucket and prefix come from the API, and a prefix may have special characters."""
    url = urlsplit(run_urls(RUN, "eu-west-1", "aws")["healthomics_outputs_link"])
    assert url.path == "/s3/buckets/outputs"
    assert parse_qs(url.query) == {"region": ["eu-west-1"], "prefix": ["results/a b/1234567/"]}


@pytest.mark.parametrize("prefix", ["a&b=c", "a#b", "ü", "a+b", "a%2Fb", "a?b", "{a}"])
def test_a_prefix_of_any_characters(prefix: str) -> None:
    """A key must be quoted in a URL."""
    run = RUN | {"runOutputUri": f"s3://outputs/{prefix}"}
    url = urlsplit(run_urls(run, "eu-west-1", "aws")["healthomics_outputs_link"])
    assert parse_qs(url.query)["prefix"] == [f"{prefix}/"]
    assert url.fragment == ""


def test_a_run_without_an_output_uri_has_no_link_to_outputs() -> None:
    """It has the others."""
    assert set(run_urls({"id": "1"}, "eu-west-1", "aws")) == {
        "healthomics_run_link",
        "healthomics_run_log_link",
        "healthomics_engine_log_link",
    }


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_waiting_task_has_each_url(
    omics: Control, ti: FakeTaskInstance, context: Context, deferrable: bool
) -> None:
    """Under the key that Airflow reads: at once on a worker, otherwise when Airflow ends the process."""
    sensor = HealthOmicsRunSensor(
        task_id="a_task", run_id="7", region_name="eu-west-1", deferrable=deferrable
    )
    publish_run(context, sensor, RUN)
    if deferrable:
        write_links(sensor, context)
    told = ti.xcoms.pop(XCOM_KEY)
    assert ti.xcoms == run_urls(RUN, "eu-west-1", "aws")
    assert set(ti.xcoms) == {link.xcom_key for link in RUN_LINKS}
    assert parse_resource({XCOM_KEY: told}) == TaskResource(kind="run", id=RUN["id"], region="eu-west-1")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "1234567",
        {"kind": "run"},
        {"kind": "run", "id": "../1", "region": "eu-west-1"},
        {"kind": "run", "id": 1234567, "region": "eu-west-1"},
        {"kind": "workflow", "id": "1234567", "region": "eu-west-1"},
        {"kind": "run", "id": "1234567"},
    ],
)
def test_xcoms_that_are_no_run(value: Any) -> None:
    """The run page ignores them."""
    assert parse_resource({XCOM_KEY: value}) is None


REGION_ARN = "arn:aws-us-gov:omics:us-gov-west-1:123456789012"


@pytest.mark.parametrize("kind", ["run", "batch"])
@pytest.mark.parametrize("is_json", [False, True])
def test_the_xcom_of_a_start_is_enough(kind: Any, is_json: bool) -> None:
    """Its ARN has the region, and it takes precedence over an older one on the run page."""
    started = {"id": "7", "uuid": "u", "arn": f"{REGION_ARN}:{kind}/7", "requestId": "r"}
    older = {"kind": kind, "id": "6", "region": "eu-west-1"}
    found = parse_resource({kind: json.dumps(started) if is_json else started, XCOM_KEY: older})
    assert found == TaskResource(kind=kind, id="7", region="us-gov-west-1", uuid="u")


@pytest.mark.parametrize(
    "value",
    [
        "7",
        [],
        {"arn": f"{REGION_ARN}:run/7"},
        {"id": "7"},
        {"id": "7", "arn": None},
        {"id": "7", "arn": 7},
        {"id": "7", "arn": "arn:aws:s3:::bucket"},
        {"id": "7", "arn": "arn:aws:omics::123456789012:run/7"},
        {"id": "7", "arn": REGION_ARN},
        {"id": "x", "arn": f"{REGION_ARN}:run/x"},
    ],
)
def test_an_xcom_of_another_task_named_run(value: Any) -> None:
    """It is no run to the run page, and does not hide one."""
    assert parse_resource({"run": value}) is None
    told = {"kind": "run", "id": "6", "region": "eu-west-1"}
    assert parse_resource({"run": value, XCOM_KEY: told}) == TaskResource("run", "6", "eu-west-1")


@pytest.mark.parametrize(
    ("arn", "do_xcom_push", "keys"),
    [
        ("arn:aws:omics:eu-west-1:123456789012:run/7", True, {"run"}),
        ("arn:aws:omics:eu-west-1:123456789012:run/7", False, {XCOM_KEY}),
        ("arn:aws:omics:us-east-1:123456789012:run/7", True, {"run", XCOM_KEY}),
        (None, True, {"run", XCOM_KEY}),
    ],
)
def test_a_start_pushes_its_run_once(
    omics: Control,
    ti: FakeTaskInstance,
    context: Context,
    arn: str | None,
    do_xcom_push: bool,
    keys: set[str],
) -> None:
    """Unless other tasks must not see it, or the page would lack its region."""
    task = HealthOmicsStartRunOperator(
        task_id="a_task", workflow_id=WORKFLOW, region_name="eu-west-1", do_xcom_push=do_xcom_push
    )
    started = {"id": "7", "uuid": "u"} | ({"arn": arn} if arn else {})
    push_started(context, task, "run", started, ("id", "arn", "uuid"))
    assert ti.xcoms.keys() == keys
    page = {key: value for key, value in ti.xcoms.items() if key == XCOM_KEY or keys == {"run"}}
    assert parse_resource(page) == TaskResource("run", "7", "eu-west-1", "u")


def test_the_links_of_a_batch() -> None:
    """The runs in the console, and the location of their outputs."""
    urls = batch_urls({"defaultRunSetting": {"outputUri": "s3://outputs/results"}}, "eu-west-1", "aws")
    assert urls["healthomics_run_link"] == f"{CONSOLE}/omics/home?region=eu-west-1#/runs"
    assert "/s3/buckets/outputs" in urls["healthomics_outputs_link"]
    assert set(batch_urls({}, "eu-west-1", "aws")) == {"healthomics_run_link"}


def test_the_console_url_is_the_first_link(omics: Control) -> None:
    """Errors contain it."""
    hook = HealthOmicsHook(region_name="eu-west-1")
    assert console_url("7", hook) == run_urls({"id": "7"}, "eu-west-1", "aws")["healthomics_run_link"]


@pytest.mark.parametrize("link", RUN_LINKS, ids=lambda link: link.name)
@pytest.mark.parametrize("stored", ["https://console/x", None])
@pytest.mark.skipif(not IS_AIRFLOW_2, reason="Airflow 3 reads the XCom itself")
def test_the_webserver_of_airflow_2_reads_the_url(
    link: Any, stored: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task without a run has no link, and no error."""
    asked: list[dict[str, Any]] = []

    def get_value(**key: Any) -> Any:
        asked.append(key)
        return stored

    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=get_value))
    ti_key = object()
    assert link.get_link(object(), ti_key=ti_key) == (stored or "")
    assert asked == [{"key": link.xcom_key, "ti_key": ti_key}]


def test_names_and_keys_are_distinct() -> None:
    """Each link has its own button."""
    assert len({link.name for link in RUN_LINKS}) == len({link.xcom_key for link in RUN_LINKS}) == 4


@pytest.mark.parametrize(
    "task", [HealthOmicsStartRunOperator, HealthOmicsCancelRunOperator, HealthOmicsRunSensor]
)
def test_every_link_of_a_task_is_registered(task: Any) -> None:
    """Airflow shows only links that the provider declares."""
    declared = set(get_provider_info()["extra-links"])
    used = {f"{type(link).__module__}.{type(link).__qualname__}" for link in task.operator_extra_links}
    assert used == declared


@pytest.mark.parametrize("uri", ["s3://outputs", "s3://outputs/"])
def test_the_link_to_outputs_at_the_root_of_a_bucket(uri: str) -> None:
    """NONE_WITH_OVERWRITE may put them there; their prefix is empty."""
    url = urlsplit(run_urls({"id": "1", "runOutputUri": uri}, "us-east-1", "aws")["healthomics_outputs_link"])
    assert parse_qs(url.query).get("prefix", [""]) == [""]
    assert url.path == "/s3/buckets/outputs"


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 keeps the XComs of the start")
def test_a_resumed_task_writes_no_link_again(omics: Control, context: Context, tasks: Tasks) -> None:
    """The process that deferred wrote them."""
    start = HealthOmicsStartRunOperator(
        task_id="a_task",
        workflow_id=WORKFLOW,
        role_arn=ROLE,
        output_uri=OUTPUT,
        wait_for_completion=True,
        deferrable=True,
        botocore_config=ONE_ATTEMPT,
    )
    made = []

    def make() -> HealthOmicsStartRunOperator:
        made.append(copy(start))
        return made[-1]

    tasks.run(make, context)
    first, *_, last = made
    assert len(first.operator_extra_links) == len(RUN_LINKS)
    assert not last.operator_extra_links
