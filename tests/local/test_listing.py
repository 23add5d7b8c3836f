# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Lists come in pages and through filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .archives import ARCHIVE
from .conftest import aws

Start = Callable[..., dict[str, Any]]


def test_pages_show_every_run_once(omics: Any, start: Start) -> None:
    """Pages follow each other by token, in the order of the start."""
    ids = [start()["id"] for _ in range(7)]
    pages = list(omics.get_paginator("list_runs").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["items"]) for page in pages] == [3, 3, 1]
    assert [run["id"] for page in pages for run in page["items"]] == ids


def test_a_list_that_changes_shows_nothing_twice(control: Control, omics: Any, start: Start) -> None:
    """Runs that come or go between two pages neither repeat nor hide others."""
    ids = [start()["id"] for _ in range(4)]
    first = omics.list_runs(maxResults=2)
    control.advance("DELETED", run_id=ids[0])
    late = start()["id"]
    second = omics.list_runs(maxResults=100, startingToken=first["nextToken"])
    assert [run["id"] for run in second["items"]] == [*ids[2:], late]
    assert "nextToken" not in second


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_page_has_100_runs_by_default(omics: Any, start: Start) -> None:
    """Without maxResults a page has 100 items, and no token when it is the last."""
    for _ in range(101):
        start()
    first = omics.list_runs()
    assert len(first["items"]) == 100
    second = omics.list_runs(startingToken=first["nextToken"])
    assert len(second["items"]) == 1
    assert "nextToken" not in second


def test_runs_are_filtered(control: Control, omics: Any, start: Start) -> None:
    """Name, status and run group each narrow the list, and together too."""
    a = start(name="a", runGroupId="1")["id"]
    b = start(name="b", runGroupId="1")["id"]
    c = start(name="ab")["id"]
    control.advance("RUNNING", run_id=b)

    def listed(**filters: Any) -> list[str]:
        return [run["id"] for run in omics.list_runs(**filters)["items"]]

    assert listed() == [a, b, c]
    assert listed(name="a") == [a]
    assert listed(status="PENDING") == [a, c]
    assert listed(runGroupId="1") == [a, b]
    assert listed(runGroupId="1", status="RUNNING") == [b]
    assert listed(name="b", status="PENDING") == []
    assert listed(batchId="1") == []
    control.set_options(name_filter="contains")
    assert listed(name="a") == [a, c]


def test_a_list_names_the_runs_workflow(control: Control, omics: Any, start: Start) -> None:
    """ListRuns shows the workflow's name beside its id."""
    control.add_workflow("8", name="align")
    start(workflowId="8")
    (run,) = omics.list_runs()["items"]
    assert (run["workflowId"], run["workflowName"]) == ("8", "align")


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_thousands_of_tasks_are_paged_and_filtered(control: Control, omics: Any, start: Start) -> None:
    """A run may have thousands of tasks; a failed one among them is found by its status."""
    tasks = [{"name": f"shard-{number}", "cpus": 4, "memory": 16} for number in range(2500)]
    tasks[1234]["failure_reason"] = "OUT_OF_MEMORY_ERROR"
    control.plan_run(status="FAILED", tasks=tasks)
    run_id = start(logLevel="OFF")["id"]
    control.advance("FAILED")
    pages = omics.get_paginator("list_run_tasks").paginate(id=run_id)
    names = [task["name"] for page in pages for task in page["items"]]
    assert names == [task["name"] for task in tasks]
    (failed,) = omics.list_run_tasks(id=run_id, status="FAILED")["items"]
    assert (failed["name"], failed["cpus"], failed["memory"]) == ("shard-1234", 4, 16)


def test_workflows_are_listed_by_type_and_name(control: Control, omics: Any) -> None:
    """AWS's own workflows are listed apart from the account's."""
    created = [omics.create_workflow(name=name, definitionZip=ARCHIVE)["id"] for name in ("a", "b", "c")]
    control.add_workflow("9", name="a", type="READY2RUN")
    pages = omics.get_paginator("list_workflows").paginate(PaginationConfig={"PageSize": 2})
    assert [workflow["id"] for page in pages for workflow in page["items"]] == created
    assert [item["id"] for item in omics.list_workflows(name="b")["items"]] == [created[1]]
    assert [item["id"] for item in omics.list_workflows(type="READY2RUN")["items"]] == ["9"]


def test_accounts_and_regions_are_apart(control: Control, omics: Any, start: Start) -> None:
    """A run is visible only in its region."""
    run_id = start()["id"]
    assert [run["id"] for run in omics.list_runs()["items"]] == [run_id]
    assert aws("omics", region_name="eu-west-1").list_runs()["items"] == []
