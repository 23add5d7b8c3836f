# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The usage of a run, against figures that were calculated by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_healthomics.reports.usage import (
    BatchUsage,
    describe_batch_usage,
    describe_run_usage,
    usage_of_run,
)
from airflow_healthomics.service.manifest import read_manifest

ARN = "arn:aws:omics:us-east-1:123456789012"
SECRET = "canary-patient-7"

#: Queued for 12 min, running for 2 h 03 min.
RUN: dict[str, Any] = {
    "id": "7",
    "status": "COMPLETED",
    "creationTime": "2026-11-22T10:00:00+00:00",
    "startTime": "2026-11-22T10:12:00+00:00",
    "stopTime": "2026-11-22T12:15:00+00:00",
    "storageType": "STATIC",
    "storageCapacity": 1000,
}

#: Name, status, CPUs, GiB, GPUs, instance, start, stop (of 22 November); none of them is from the cache.
ROWS: list[tuple[str, str, int, int, int, str, str, str]] = [
    ("align", "COMPLETED", 16, 64, 0, "omics.m.4xlarge", "10:20:00", "11:20:00"),  # 1 h
    ("call", "COMPLETED", 8, 32, 1, "omics.g5.2xlarge", "11:20:00", "12:05:00"),  # 3/4 h
    ("qc", "COMPLETED", 2, 4, 0, "omics.c.large", "10:20:00", "10:30:00"),  # 1/6 h
    ("sort", "FAILED", 4, 8, 0, "omics.c.xlarge", "10:20:00", "10:25:00"),  # 1/12 h
]

#: By hand:
#: hours      1 + 3/4 + 1/6 + 1/12                    = 2
#: CPU hours  16*1 + 8*3/4 + 2/6 + 4/12 = 16+6+1/3+1/3 = 22 2/3
#: GPU hours  1*3/4                                   = 3/4
#: GiB hours  64*1 + 32*3/4 + 4/6 + 8/12 = 64+24+2/3+2/3 = 89 1/3
#: seconds    10:00 -12- 10:12 -8- 10:20 -105- 12:05 -10- 12:15, in minutes
EXPECTED: dict[str, Any] = {
    "tasks": {"COMPLETED": 4, "FAILED": 1},
    "cacheHits": 1,
    "taskHours": 2.0,
    "cpuHours": 22.6667,
    "gpuHours": 0.75,
    "memoryGiBHours": 89.3333,
    "longestTasks": [
        {"taskId": "1", "name": "align", "seconds": 3600.0, "instanceType": "omics.m.4xlarge"},
        {"taskId": "2", "name": "call", "seconds": 2700.0, "instanceType": "omics.g5.2xlarge"},
        {"taskId": "3", "name": "qc", "seconds": 600.0, "instanceType": "omics.c.large"},
    ],
    "seconds": {
        "total": 8100.0,
        "queued": 720.0,
        "running": 7380.0,
        "beforeTasks": 480.0,
        "tasks": 6300.0,
        "afterTasks": 600.0,
    },
    "storage": {"type": "STATIC", "requestedGiB": 1000},
    "isPartial": False,
}


def listed() -> list[dict[str, Any]]:
    """Return the tasks as ListRunTasks lists them, the last one from the run cache, with times or not."""
    tasks = [
        {
            "taskId": str(number),
            "name": name,
            "status": status,
            "cpus": cpus,
            "memory": memory,
            "gpus": gpus,
            "instanceType": instance,
            "cacheHit": False,
            "creationTime": datetime.fromisoformat(f"2026-11-22T{start}+00:00"),
            "startTime": datetime.fromisoformat(f"2026-11-22T{start}+00:00"),
            "stopTime": datetime.fromisoformat(f"2026-11-22T{stop}+00:00"),
        }
        for number, (name, status, cpus, memory, gpus, instance, start, stop) in enumerate(ROWS, 1)
    ]
    cached = {**tasks[0], "taskId": "5", "name": "index", "cacheHit": True}
    return [*tasks, cached]


def manifest() -> list[str]:
    """Return the events of the manifest: as the user guide shows them, some times without a zone."""
    run = {
        "arn": f"{ARN}:run/7",
        "uuid": "u-7",
        "status": "COMPLETED",
        "parameters": {"sample": SECRET},
        "metrics": {
            "runningSeconds": 7380,
            "storageReservedGiB": 1200.0,
            "storageMaximumGiB": 700.5,
            "storageAverageGiB": 350.25,
        },
    }
    tasks = [
        {
            "arn": f"{ARN}:task/{number}",
            "name": name,
            "status": "SUCCESS" if status == "COMPLETED" else status,
            "run": f"{ARN}:run/7",
            "cpus": cpus,
            "memory": memory,
            "gpus": gpus,
            "instanceType": instance,
            "creationTime": f"2026-11-22T{start}.000Z",
            "startTime": f"2026-11-22T{start}.000Z",
            "stopTime": f"2026-11-22T{stop}.000",
            # The measured use, and the size of the instance: neither counts.
            "metrics": {"cpusReserved": 48, "cpusAverage": 0.5, "memoryReservedGiB": 192},
        }
        for number, (name, status, cpus, memory, gpus, instance, start, stop) in enumerate(ROWS, 1)
    ]
    cached = {"arn": f"{ARN}:task/5", "name": "index", "status": "SUCCESS", "cpus": 16, "metrics": {}}
    return [json.dumps(item) for item in (run, *tasks, cached)]


# --- calculated by hand ---


def test_the_tasks_of_a_list_by_hand() -> None:
    """ListRunTasks has each figure; a cached task ran nothing, whatever its times are."""
    assert usage_of_run(RUN, listed()) == EXPECTED


def test_the_tasks_of_a_manifest_by_hand() -> None:
    """The manifest gives the same, and the storage that was reserved and used."""
    run, tasks = read_manifest(manifest())
    storage = {**EXPECTED["storage"], "reservedGiB": 1200.0, "maximumGiB": 700.5, "averageGiB": 350.25}
    assert usage_of_run(RUN, tasks, manifest_run=run) == {**EXPECTED, "storage": storage}


def test_it_is_json_without_parameters() -> None:
    """It passes through XCom, and the manifest's parameters are left out."""
    run, tasks = read_manifest(manifest())
    use = usage_of_run(RUN, tasks, manifest_run=run)
    assert json.loads(json.dumps(use)) == use
    assert SECRET not in json.dumps([use, describe_run_usage(use)])


def test_a_person_reads_two_lines() -> None:
    """Amounts, tasks, cache; then durations and the longest tasks."""
    assert describe_run_usage(EXPECTED) == [
        "Used 22.7 CPU hours, 0.75 GPU hours and 89.3 GiB hours of memory in 5 tasks, 1 of them from the run "
        "cache",
        "Running for 2 h 03 min after 12 min in the queue; longest tasks: align (1 h 00 min, "
        "omics.m.4xlarge), call (45 min, omics.g5.2xlarge), qc (10 min, omics.c.large)",
    ]


# --- unknown figures ---


def test_unread_tasks_keep_the_durations() -> None:
    """No figure of tasks is made up, and the line for a person has none."""
    use = usage_of_run(RUN, None)
    assert use == {
        "seconds": {"total": 8100.0, "queued": 720.0, "running": 7380.0},
        "storage": {"type": "STATIC", "requestedGiB": 1000},
        "isPartial": True,
    }
    assert describe_run_usage(use) == ["Running for 2 h 03 min after 12 min in the queue"]


def test_some_unread_tasks_make_it_partial() -> None:
    """Sums are "at least", and the running time is not split."""
    use = usage_of_run(RUN, listed()[:1], is_complete=False)
    assert (use["cpuHours"], use["isPartial"]) == (16.0, True)
    assert set(use["seconds"]) == {"total", "queued", "running"}
    assert describe_run_usage(use)[0].startswith("Used at least 16.0 CPU hours")


@pytest.mark.parametrize(
    ("field", "figure"), [("cpus", "cpuHours"), ("gpus", "gpuHours"), ("memory", "memoryGiBHours")]
)
@pytest.mark.parametrize("value", [None, "16", True, float("nan"), -1], ids=str)
def test_a_figure_that_no_task_has_is_absent(field: str, figure: str, value: Any) -> None:
    """It is not 0; missing GPUs are not a gap in the rest."""
    use = usage_of_run(RUN, [{**task, field: value} for task in listed()])
    assert figure not in use
    assert use["isPartial"] is (field != "gpus")
    assert use["taskHours"] == 2.0


def test_a_figure_that_some_tasks_lack_makes_it_partial() -> None:
    """The others are summed."""
    tasks = listed()
    del tasks[0]["cpus"], tasks[1]["stopTime"]
    use = usage_of_run(RUN, tasks)
    # qc 2/6, sort 4/12
    assert (use["cpuHours"], use["isPartial"]) == (0.6667, True)
    assert [task["name"] for task in use["longestTasks"]] == ["align", "qc", "sort"]


def test_the_manifests_running_seconds_replace_missing_times() -> None:
    """If a task in it has no times."""
    task = {"arn": f"{ARN}:task/1", "name": "a", "status": "COMPLETED", "cpus": 2, "memory": 4}
    use = usage_of_run(RUN, [{**task, "metrics": {"runningSeconds": 1800}}])
    assert (use["cpuHours"], use["cacheHits"], use["isPartial"]) == (1.0, 0, False)
    assert "tasks" not in use["seconds"]


@pytest.mark.parametrize("status", ["PENDING", "STARTING", "CANCELLED", "FAILED"])
def test_a_task_that_never_started_used_nothing(status: str) -> None:
    """It is known to be zero, which is not a gap."""
    use = usage_of_run(RUN, [{"taskId": "1", "name": "a", "status": status, "cpus": 2, "memory": 4}])
    assert (use["taskHours"], use["cpuHours"], use["longestTasks"], use["isPartial"]) == (0.0, 0.0, [], False)
    assert use["tasks"] == {status: 1}


def test_a_run_without_tasks_used_nothing() -> None:
    """All of them are known: there are none."""
    use = usage_of_run({"id": "7", "status": "CANCELLED"}, [])
    assert (use["cpuHours"], use["gpuHours"], use["tasks"], use["isPartial"]) == (0.0, 0.0, {}, False)
    assert use["seconds"] == {}
    assert describe_run_usage(use) == ["Used 0.0 CPU hours in 0 tasks"]


def test_a_run_that_never_started_was_queued_to_its_end() -> None:
    """A run that was cancelled while PENDING."""
    run = {key: value for key, value in RUN.items() if key != "startTime"}
    assert usage_of_run(run, [])["seconds"] == {"total": 8100.0, "queued": 8100.0}


def test_an_active_run_counts_until_now() -> None:
    """For the run page: a running task counts its usage so far."""
    run = {**RUN, "status": "RUNNING"}
    del run["stopTime"]
    tasks = listed()[:2]
    tasks[1]["status"] = "RUNNING"
    del tasks[1]["stopTime"]
    now = datetime(2026, 11, 22, 11, 50, tzinfo=UTC)
    use = usage_of_run(run, tasks, until=now)
    # align 1 h of 16, call 1/2 h of 8
    assert (use["cpuHours"], use["isPartial"]) == (20.0, False)
    assert use["seconds"] == {"total": 6600.0, "queued": 720.0, "running": 5880.0}
    without = usage_of_run(run, tasks)
    assert (without["cpuHours"], without["isPartial"]) == (16.0, True)
    assert without["seconds"] == {"queued": 720.0}


@pytest.mark.parametrize(
    ("run", "metrics", "storage"),
    [
        ({}, {}, None),
        ({"storageType": "DYNAMIC"}, {}, {"type": "DYNAMIC"}),
        ({"storageType": "DYNAMIC", "storageCapacity": 0}, {"storageMaximumGiB": 0}, {"type": "DYNAMIC"}),
        (
            {"storageType": "DYNAMIC", "storageCapacity": 340},
            {"storageAverageGiB": 120.5},
            {"type": "DYNAMIC", "maximumGiB": 340, "averageGiB": 120.5},
        ),
        ({"storageType": "DYNAMIC", "storageCapacity": 340, "status": "RUNNING"}, {}, {"type": "DYNAMIC"}),
        ({"storageType": "STATIC"}, None, {"type": "STATIC"}),
    ],
)
def test_the_storage_of_a_run(run: Any, metrics: Any, storage: Any) -> None:
    """GetRun's capacity is the request's or, for DYNAMIC storage, the peak of an ended run."""
    answer = usage_of_run({"status": "COMPLETED", **run}, [], manifest_run={"metrics": metrics})
    assert answer.get("storage") == storage


def test_tasks_outside_of_the_run_are_not_split() -> None:
    """A negative share of the run is left out."""
    tasks = listed()
    tasks[0]["startTime"] = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    assert set(usage_of_run(RUN, tasks)["seconds"]) == {"total", "queued", "running"}


def test_lines_of_another_form_are_skipped() -> None:
    """A changed manifest loses figures, and fails no run."""
    odd = ["", "{", "[]", "7", "null", "{}", '{"arn": 7}', f'{{"arn": "{ARN}:workflow/7"}}']
    assert read_manifest(odd) == (None, [])
    task = json.dumps({"arn": f"{ARN}:run/7/task/8", "metrics": 7, "startTime": 3, "stopTime": "soon"})
    assert usage_of_run(RUN, read_manifest([*odd, task])[1])["tasks"] == {"UNKNOWN": 1}


# --- batches ---


def listed_run(run_id: str, queued: int, running: int, **fields: Any) -> dict[str, Any]:
    """Return a run of ListRuns."""
    begin = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    times = zip(
        ("creationTime", "startTime", "stopTime"),
        (begin, begin + queued, begin + queued + running),
        strict=True,
    )
    item = {
        "id": run_id,
        "status": "COMPLETED",
        **{key: datetime.fromtimestamp(at, UTC) for key, at in times},
    }
    return {**item, **fields}


def test_the_sums_of_a_batch_by_hand() -> None:
    """Hours of the runs, storage by type, and the longest runs."""
    use = BatchUsage()
    use.add(listed_run("1", 60, 7200, storageType="STATIC", storageCapacity=1200))
    use.add(listed_run("2", 600, 1800, storageType="STATIC", storageCapacity=2400, status="FAILED"))
    use.add(listed_run("3", 0, 10800, storageType="DYNAMIC", storageCapacity=100))
    use.add(listed_run("4", 0, 900, storageType="DYNAMIC"))  # under two hours
    figures = use.figures()
    # running 2 h + 1/2 h + 3 h + 1/4 h = 5.75 h; STATIC 1200*2 + 2400/2 = 3600; DYNAMIC 100*3 = 300
    assert figures == {
        "runs": 4,
        "seconds": {"queued": 660.0, "running": 20700.0},
        "runHours": 5.75,
        "storage": {
            "DYNAMIC": {"runs": 1, "maximumGiBHours": 300.0},
            "STATIC": {"runs": 2, "requestedGiBHours": 3600.0},
        },
        "longestRuns": [
            {"id": "3", "seconds": 10800.0},
            {"id": "1", "seconds": 7200.0},
            {"id": "2", "seconds": 1800.0},
        ],
        "isPartial": False,
    }
    assert describe_batch_usage(figures) == (
        "5.8 hours running and 0.18 hours in the queue, summed over 4 runs"
    )


def test_a_batch_without_any_lists_has_no_figures() -> None:
    """Not even zeros."""
    use = BatchUsage()
    use.add_unlisted()
    assert use.figures() == {}


@pytest.mark.parametrize("fields", [{"status": "RUNNING"}, {"stopTime": None}, None])
def test_a_batch_with_gaps_is_partial(fields: Any) -> None:
    """A run is active, has no times, or was deleted."""
    use = BatchUsage()
    use.add(listed_run("1", 0, 3600))
    if fields is None:
        use.add_unlisted()
    else:
        use.add(listed_run("2", 0, 3600, **fields))
    assert use.figures()["isPartial"]
    assert describe_batch_usage(use.figures()).startswith("At least ")


# --- any input ---

_SCALARS = st.sampled_from(
    [None, True, False, -1, 0, 3, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "a"]
)
_TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 9)).map(lambda at: at.replace(tzinfo=UTC))
_TASKS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "taskId": st.integers(1, 99).map(str),
            "arn": st.just(f"{ARN}:task/1"),
            "name": _SCALARS,
            "status": st.sampled_from(["PENDING", "RUNNING", "COMPLETED", "FAILED", "SUCCESS", "NEW"])
            | _SCALARS,
            "cacheHit": st.booleans(),
            "startTime": _TIMES | _TIMES.map(datetime.isoformat) | _SCALARS,
            "stopTime": _TIMES | _TIMES.map(datetime.isoformat) | _SCALARS,
            "cpus": st.integers(1, 192) | _SCALARS,
            "memory": st.integers(1, 1536) | _SCALARS,
            "gpus": st.integers(0, 8) | _SCALARS,
            "instanceType": _SCALARS,
            "metrics": _SCALARS | st.dictionaries(st.just("runningSeconds"), _SCALARS),
        },
    ),
    max_size=4,
)
_HOURS = ("taskHours", "cpuHours", "gpuHours", "memoryGiBHours")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(first=_TASKS, second=_TASKS)
def test_the_usage_of_two_parts_is_that_of_the_whole(first: Any, second: Any) -> None:
    """Hours, hits and tasks add up and are never negative, whatever AWS returns."""
    parts = [usage_of_run(RUN, tasks) for tasks in (first, second)]
    whole = usage_of_run(RUN, first + second)
    for name in _HOURS:
        told = [part.get(name, 0.0) for part in parts]
        assert min(told) >= 0
        assert whole.get(name, 0.0) == pytest.approx(sum(told), rel=1e-9, abs=2e-4)
    assert whole["cacheHits"] == sum(part["cacheHits"] for part in parts)
    assert sum(whole["tasks"].values()) == len(first) + len(second)
    assert whole["isPartial"] is any(part["isPartial"] for part in parts)
    assert all(seconds >= 0 for seconds in whole["seconds"].values())
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert describe_run_usage(whole)
