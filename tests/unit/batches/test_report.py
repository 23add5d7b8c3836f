# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outcomes of a batch: the same from the triggerer and from a worker, and never read on both."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import HealthOmicsResultUnavailableError, HealthOmicsRunBatchFailedError
from tests.healthomics import Control
from tests.unit.batch_attempts import (
    CANARY,
    PLACE,
    Attempts,
    calls_on_worker,
    crashing,
    fail_runs,
    object_at,
    some_settings,
)
from tests.unit.conftest import Clock, Tasks, calls_of
from tests.unit.histories import STORES

#: Operations that read outcomes; GetRun is one only while no batch is started.
LISTS = frozenset({"ListRuns", "ListRunsInBatch"})


@pytest.fixture(autouse=True)
def _quick_batches(omics: Control, bucket: Any) -> None:
    omics.set_options(batch_runs_per_second=None, tasks=0)


@pytest.fixture
def worker(tasks: Tasks) -> Iterator[list[str]]:
    """The calls that occupy a worker slot."""
    with calls_on_worker(tasks) as calls:
        yield calls


def attempts_of(tasks: Tasks, count: int, **fields: Any) -> Attempts:
    """Return the attempts of a task that has files in S3 and waits in the triggerer."""
    arguments = {"deferrable": True, "run_settings": some_settings(count), "settings_s3_uri": PLACE}
    attempts = Attempts(tasks, **{**arguments, **fields})
    attempts.ti.task_id = f"a_task_{fields.get('deferrable', True)}"
    return attempts


def published(omics: Control, tasks: Tasks, count: int, **fields: Any) -> dict[str, Any]:
    """Return everything that a task publishes about its batch, without values that differ between batches."""
    attempts = attempts_of(tasks, count, retries=0, **fields)
    result: dict[str, Any] = {"error": None}
    try:
        attempts.again()
    except HealthOmicsRunBatchFailedError as error:
        result["error"] = str(error), error.counts, error.status
    xcoms = attempts.ti.xcoms
    result |= {key: xcoms.get(key) for key in ("successes", "summary")}
    result |= {"files": [object_at(uri) for uri in (xcoms["manifest"], *xcoms["success_parts"])]}
    del result["summary"]["usage"]["longestRuns"]
    comparable: dict[str, Any] = without_ids(
        result, {each["id"] for each in (*omics.runs(), *omics.batches())}
    )
    return comparable


def without_ids(value: Any, ids: set[str]) -> Any:
    """Replace ids, times, and texts that contain one."""
    match value:
        case dict():
            return {key: without_ids(item, ids) for key, item in value.items()}
        case list() | tuple():
            return [without_ids(item, ids) for item in value]
        case str():
            text = re.sub("|".join(map(re.escape, ids)), "ID", value)
            return re.sub(r"[0-9a-f-]{36}|[0-9-]{10}T[0-9:.]+[+Z][0-9:]*|[.][0-9a-f]{16}", "*", text)
    return value


ENDS: dict[str, Callable[[Control], None]] = {
    "completed": lambda omics: None,
    "failed": lambda omics: fail_runs(omics, "sample-1", "sample-2"),
    "not-started": lambda omics: omics.fail_submission(["sample-0"], "AccessDeniedException", message="no"),
    "batch-failed": lambda omics: omics.fail_batch(after=2, failure_reason="The dog ate it."),
}


@pytest.mark.parametrize("count", [3, 120])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_task_publishes_the_same_on_a_worker_and_after_a_deferral(
    omics: Control, tasks: Tasks, count: int, end: Callable[[Control], None]
) -> None:
    """The same XComs, files, and text of an error."""
    results = []
    for deferrable in (False, True):
        end(omics)
        results.append(published(omics, tasks, count, deferrable=deferrable))
    assert ["report" in event for event in tasks.events] == [True]
    assert results[0] == results[1]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_no_list_is_read_on_a_worker(
    omics: Control, tasks: Tasks, worker: list[str], with_store: bool, end: Callable[[Control], None]
) -> None:
    """No run is read there either: the slot is for other tasks."""
    end(omics)
    attempts = attempts_of(tasks, 120, with_store=with_store, retries=0)
    with suppress(HealthOmicsRunBatchFailedError):
        attempts.again()
    assert not {*LISTS, "GetRun"} & {*worker}
    assert calls_of(omics, "ListRuns") >= 1


def test_without_xcom_no_file_is_needed(omics: Control, tasks: Tasks, worker: list[str]) -> None:
    """The verdict is all that the task needs."""
    fail_runs(omics, "sample-1")
    attempts = attempts_of(tasks, 3, do_xcom_push=False, settings_s3_uri=None)
    with pytest.raises(HealthOmicsRunBatchFailedError, match="2 of 3 runs completed"):
        attempts.again()
    assert not LISTS & {*worker}


def test_without_a_folder_the_worker_reads(omics: Control, tasks: Tasks, worker: list[str]) -> None:
    """One page of each list is enough for up to 100 runs; an event must not have their ids."""
    attempts = attempts_of(tasks, 100, settings_s3_uri=None, output_uris=False)
    attempts.again()
    assert "report" not in tasks.events[0]
    assert [each for each in worker if each in LISTS] == ["ListRuns", "ListRunsInBatch"]
    assert len(attempts.ti.xcoms["successes"]) == 100


@pytest.mark.parametrize("with_store", STORES)
def test_the_report_includes_earlier_batches(
    omics: Control, tasks: Tasks, worker: list[str], with_store: bool
) -> None:
    """A retry has repeated part of the runs."""
    fail_runs(omics, "sample-1")
    attempts = attempts_of(tasks, 5, with_store=with_store)
    with pytest.raises(HealthOmicsRunBatchFailedError):
        attempts.again()
    attempts.again()
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 5}
    assert len(object_at(attempts.ti.xcoms["manifest"])) == 5
    assert len(attempts.ti.xcoms["successes"]) == 5


@pytest.mark.parametrize("count", [100, 101])
def test_the_triggerer_reads_a_large_batch_that_has_ended(
    omics: Control, tasks: Tasks, clock: Clock, worker: list[str], count: int
) -> None:
    """A retry that finds it ended defers, unless there is only one page to list."""
    attempts = attempts_of(tasks, count)
    attempts.crash("StartRunBatch", "after")
    clock.advance(3600)
    attempts.again()
    assert len(tasks.deferrals) == (count > 100)
    assert bool(LISTS & {*worker}) == (count <= 100)
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": count}


REFUSALS = {
    "ListRuns": "omics:ListRuns",
    "ListRunsInBatch": "omics:ListRunsInBatch",
    "PutObject": "s3:PutObject",
}


@contextmanager
def refused(omics: Control, operation: str) -> Iterator[None]:
    """Refuse an operation of HealthOmics or S3."""
    if operation == "PutObject":
        refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
        with crashing("PutObject", error=refusal):
            yield
    else:
        omics.inject_error(operation, "AccessDeniedException", times=None)
        yield
        omics.clear_faults()


@pytest.mark.parametrize(("operation", "permission"), REFUSALS.items(), ids=REFUSALS)
def test_a_refusal_is_the_same_error_in_both_places(
    omics: Control, tasks: Tasks, operation: str, permission: str
) -> None:
    """A retry continues once the IAM policy is repaired."""
    texts = []
    for deferrable in (False, True):
        attempts = attempts_of(tasks, 3, deferrable=deferrable)
        with refused(omics, operation), pytest.raises(HealthOmicsResultUnavailableError) as caught:
            attempts.again()
        texts.append(without_ids(str(caught.value), {each["id"] for each in omics.batches()}))
        attempts.again()
        assert len(object_at(attempts.ti.xcoms["manifest"])) == 3
    assert texts[0] == texts[1]
    assert permission in texts[0]
    assert len(omics.batches()) == 2


def test_successes_that_cannot_be_read_are_listed_again(
    omics: Control, tasks: Tasks, worker: list[str], logged: Callable[[], str]
) -> None:
    """S3 has their ids, and earlier releases did not need s3:GetObject there."""
    refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")
    attempts = attempts_of(tasks, 3)
    with crashing("GetObject", error=refusal):
        attempts.again()
    assert len(attempts.ti.xcoms["successes"]) == 3
    assert {*worker} >= LISTS
    assert "s3:GetObject" in logged()


@pytest.mark.parametrize(
    "edit",
    [{"success_policy": "any"}, {"settings_s3_uri": f"{PLACE}/new"}, {"settings_s3_uri": None}],
    ids=["policy", "folder", "no-folder"],
)
def test_an_edited_task_uses_its_new_arguments(omics: Control, tasks: Tasks, edit: dict[str, Any]) -> None:
    """The DAG may change while the task waits; the report was made for the old one."""
    fail_runs(omics, "sample-1")
    attempts = attempts_of(tasks, 3)
    versions = itertools.chain([attempts.fields], itertools.repeat({**attempts.fields, **edit}))
    make = attempts.again.__globals__["batch_of"]
    attempts.ti.try_number += 1

    def run() -> Any:
        return tasks.run(lambda: make(**next(versions)), attempts.context)

    if "success_policy" in edit:
        assert run() == omics.batches()[0]["id"]
    else:
        with pytest.raises(HealthOmicsRunBatchFailedError):
            run()
    xcoms = attempts.ti.xcoms
    assert len(xcoms["successes"]) == 2
    place = {**attempts.fields, **edit}["settings_s3_uri"]
    assert xcoms.get("manifest", "").startswith(f"{place}/") == bool(place)
    if place:
        assert len(object_at(xcoms["manifest"])) == 3


def test_the_report_names_no_patient(omics: Control, tasks: Tasks, logged: Callable[[], str]) -> None:
    """Only S3 and XCom ``successes`` have ids of run settings."""
    settings = [
        {"run_setting_id": f"{CANARY}-{number}", "parameters": {"sample": CANARY}} for number in range(6)
    ]
    fail_runs(omics, f"{CANARY}-0")
    omics.fail_submission([f"{CANARY}-2"])
    attempts = attempts_of(tasks, 0, run_settings=settings, retries=0)
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        attempts.again()
    told = [logged(), repr(tasks.events), f"{caught.value} {vars(caught.value)}"]
    told += [repr(deferral.trigger.serialize()) for deferral in tasks.deferrals]
    assert not [text for text in told if CANARY in text]
    assert [CANARY in each["runSettingId"] for each in attempts.ti.xcoms["successes"]] == [True] * 4
