# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Output URIs of the runs of a batch: derived from a sample, or read one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.batches.outcomes import RunOutcome
from airflow_healthomics.batches.output_uris import MAX_READ, read_output_uris

LOG = logging.getLogger(__name__)

Layout = Callable[[RunOutcome], str]


def outcomes(count: int) -> list[RunOutcome]:
    """Return completed runs, and one that failed."""
    completed = [
        RunOutcome(
            run_setting_id=f"s{number}", run_id=str(7000 + number), uuid=f"u{number}", status="COMPLETED"
        )
        for number in range(count)
    ]
    return [*completed, RunOutcome(run_setting_id="failed", run_id="1", uuid="f", status="FAILED")]


def of_run(run: RunOutcome) -> str:
    return f"s3://outputs/cohort 7/{run.run_id}"


def of_run_and_uuid(run: RunOutcome) -> str:
    return f"s3://outputs/{run.run_id}/{run.uuid}"


class Service:
    """GetRun with one of the documented layouts."""

    def __init__(self, runs: list[RunOutcome], layout: Layout) -> None:
        self.uris = {run.run_id: layout(run) for run in runs}
        self.calls: list[str] = []

    def get_run(self, *, id: str) -> dict[str, Any]:
        """Describe a run."""
        self.calls.append(id)
        if id not in self.uris:
            error = {"Error": {"Code": "ResourceNotFoundException", "Message": ""}}
            raise ClientError(error, "GetRun")  # type: ignore[arg-type]
        return {"id": id, "runOutputUri": self.uris[id]}


@pytest.mark.parametrize("layout", [of_run, of_run_and_uuid])
def test_ten_thousand_uris_cost_a_few_calls(layout: Layout) -> None:
    """Each is equal to that of GetRun."""
    runs = outcomes(10_000)
    service = Service(runs, layout)
    found = read_output_uris(service, runs, LOG)
    assert len(service.calls) <= 8
    assert found.source == "derived"
    assert found.by_run == {run.run_id: layout(run) for run in runs if run.is_success}


def test_few_uris_are_read() -> None:
    """Deriving them would save nothing."""
    runs = outcomes(MAX_READ)
    service = Service(runs, of_run)
    found = read_output_uris(service, runs, LOG)
    assert (len(service.calls), found.source) == (MAX_READ, "read")


def own_folder(run: RunOutcome) -> str:
    return f"s3://outputs/{run.run_setting_id}/{run.run_id}"


def same_for_all(run: RunOutcome) -> str:
    return "s3://outputs/run"


@pytest.mark.parametrize("layout", [own_folder, same_for_all])
def test_uris_of_another_form_are_read(layout: Layout) -> None:
    """Run settings may set their own output URIs, and AWS may change the layout."""
    runs = outcomes(50)
    service = Service(runs, layout)
    found = read_output_uris(service, runs, LOG)
    assert (found.source, sorted(service.calls)) == ("read", sorted(run.run_id or "" for run in runs[:-1]))
    assert found.by_run == {run.run_id: layout(run) for run in runs if run.is_success}


def test_deleted_runs_are_no_sample() -> None:
    """Retention mode REMOVE deletes runs; without a sample, each of the others is read."""
    runs = outcomes(50)
    service = Service(runs[:1], of_run)
    found = read_output_uris(service, runs, LOG)
    assert found.source == "read"
    assert [uri for uri in found.by_run.values() if uri] == [of_run(runs[0])]
    assert len(service.calls) == len(set(service.calls)) == 50


def test_a_throttled_read_loses_no_uri() -> None:
    """It fails the attempt, and the next one reads all of them; a missing URI would be permanent."""
    throttled = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "GetRun")

    class Throttled(Service):
        def get_run(self, *, id: str) -> dict[str, Any]:
            raise throttled

    runs = outcomes(2)
    with pytest.raises(ClientError) as caught:
        read_output_uris(Throttled(runs, of_run), runs, LOG)
    assert caught.value is throttled
