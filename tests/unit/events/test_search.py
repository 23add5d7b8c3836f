# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The criteria of watchers."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.exceptions import HealthOmicsRequestError

PAYLOAD = {"status": "FAILED", "name": "sample-1", "workflowId": "7", "workflowName": "germline"}
RUN = {"runGroupId": "9", "tags": {"lab": "a", "plate": "3"}}
BATCH = {"defaultRunSetting": {"runGroupId": "9"}}


def search(**criteria: Any) -> EndSearch:
    """Return a search for failed runs."""
    return EndSearch(**{"statuses": ["FAILED"], **criteria})


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        ({}, True),
        ({"statuses": ["COMPLETED"]}, False),
        ({"workflow_id": "7"}, True),
        ({"workflow_id": "8"}, False),
        ({"workflow_name": "germline"}, True),
        ({"workflow_name": "somatic"}, False),
        ({"name_pattern": "sample-*"}, True),
        ({"name_pattern": "Sample-*"}, False),
        ({"name_pattern": "other"}, False),
        ({"run_group_id": "9"}, True),
        ({"run_group_id": "8"}, False),
        ({"tags": {"lab": "a"}}, True),
        ({"tags": {"lab": "b"}}, False),
        ({"tags": {"lab": "a", "other": "c"}}, False),
        ({"workflow_id": "7", "tags": {"lab": "b"}}, False),
    ],
    ids=str,
)
def test_all_criteria_must_match(criteria: dict[str, Any], matches: bool) -> None:
    """Each alone, and together."""
    assert search(**criteria).matches(PAYLOAD, RUN) is matches


def test_the_run_group_of_a_batch_is_in_its_settings() -> None:
    """GetBatch has no runGroupId of its own."""
    assert search(run_group_id="9").matches(PAYLOAD, BATCH)
    assert not search(run_group_id="8").matches(PAYLOAD, BATCH)


@pytest.mark.parametrize("criteria", [{"run_group_id": "9"}, {"tags": {"lab": "a"}}], ids=str)
def test_what_is_unknown_of_a_deleted_run_does_not_match(criteria: dict[str, Any]) -> None:
    """Its tags and group cannot be read."""
    assert search().matches(PAYLOAD, None)
    assert not search(**criteria).matches(PAYLOAD, None)


def test_an_unknown_workflow_name_may_match_but_does_not_match() -> None:
    """An item without a name of its workflow is looked at more closely."""
    without = {**PAYLOAD, "workflowName": None}
    assert search(workflow_name="germline").may_match(without)
    assert not search(workflow_name="germline").matches(without, RUN)


@pytest.mark.parametrize(
    ("criteria", "argument"),
    [
        ({"statuses": []}, "statuses"),
        ({"statuses": "FAILED"}, "statuses"),
        ({"statuses": ["RUNNING"]}, "statuses"),
        ({"workflow_id": ""}, "workflow_id"),
        ({"workflow_id": "abc"}, "workflow_id"),
        ({"workflow_name": 7}, "workflow_name"),
        ({"run_group_id": "a group"}, "run_group_id"),
        ({"name_pattern": ""}, "run_name_pattern"),
        ({"tags": ["lab"]}, "tags"),
        ({"tags": {"lab": 1}}, "tags"),
    ],
    ids=str,
)
def test_a_mistake_names_the_argument(criteria: dict[str, Any], argument: str) -> None:
    """Before any call."""
    with pytest.raises(HealthOmicsRequestError, match=argument):
        search(**criteria).check({"FAILED", "COMPLETED"}, "run_name_pattern")
