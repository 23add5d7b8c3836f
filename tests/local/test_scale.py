# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Many runs and calls: bounded records, artefacts created when read, and transitions applied in slices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from moto.logs.models import logs_backends
from moto.s3.models import S3Backend, s3_backends

from airflow_healthomics.testing import Control, local
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics import models, responses

from .conftest import BUCKET, aws, error_of
from .test_side_effects import GROUP

Start = Callable[..., dict[str, Any]]
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


def test_counts_outlive_the_recorded_calls(
    control: Control, omics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last calls are kept, but all are counted."""
    monkeypatch.setattr(local, "RECORDED_CALLS", 3)
    control.reset()
    for _ in range(5):
        omics.list_runs()
    error_of(omics.get_run, id="1")
    control.wait_for_call("ListRuns", count=5)
    assert [call["operation"] for call in control.calls()] == ["ListRuns", "ListRuns", "GetRun"]
    assert control.call_counts() == {"ListRuns": 5, "GetRun": 1}
    assert control.call_counts(ok=True) == {"ListRuns": 5}


def raw_streams() -> dict[str, Any]:
    """Return moto's streams, without a read that would create more."""
    streams = logs_backends["123456789012"]["us-east-1"].groups[GROUP].streams
    return {name: dict.__getitem__(streams, name) for name in dict.__iter__(streams)}


def raw_keys() -> set[str]:
    """Return moto's keys, without a read that would create more."""
    return set(dict.__iter__(s3_backends["123456789012"]["aws"].buckets[BUCKET].keys))


@in_process
def test_artefacts_are_created_when_they_are_read(control: Control, start: Start) -> None:
    """A run's logs and objects exist in moto once one of them was read."""
    first, second = start()["id"], start()["id"]
    control.advance("COMPLETED")
    assert (raw_streams(), raw_keys()) == ({}, set())
    aws("logs").get_log_events(logGroupName=GROUP, logStreamName=f"run/{first}/engine")
    aws("s3").get_object(Bucket=BUCKET, Key=f"results/{second}/logs/engine.log")
    assert {name.split("/")[-1] for name in raw_streams() if name.startswith("run")} >= {first, "engine"}
    assert not any(second in name for name in raw_streams())
    assert {key.split("/")[1] for key in raw_keys()} == {second}


def test_logs_grow_between_two_reads(control: Control, start: Start) -> None:
    """Each status is logged once, however late it is read."""
    run_id = start()["id"]
    logs = aws("logs")

    def lines() -> list[str]:
        stream = {"logGroupName": GROUP, "logStreamName": f"run/{run_id}", "startFromHead": True}
        return [event["message"].split()[-1] for event in logs.get_log_events(**stream)["events"]]

    assert lines() == ["PENDING"]
    control.advance("RUNNING")
    assert lines() == ["PENDING", "STARTING", "RUNNING"]
    control.advance("COMPLETED")
    control.advance("DELETED", run_id=run_id)
    assert lines() == ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED", "DELETED"]


def test_the_manifest_of_a_deleted_run_has_its_outcome(control: Control, start: Start) -> None:
    """It has the final status, even if nobody read it before the run was deleted."""
    run = start()
    control.advance("COMPLETED")
    control.advance("DELETED", run_id=run["id"])
    stream = f"manifest/run/{run['id']}/{run['uuid']}"
    events = aws("logs").get_log_events(logGroupName=GROUP, logStreamName=stream)["events"]
    assert '"status": "COMPLETED"' in events[0]["message"]


def test_an_object_that_replaces_an_unread_one_wins(control: Control, start: Start) -> None:
    """A run's output does not overwrite an object that was written later."""
    run_id = start()["id"]
    control.advance("COMPLETED")
    s3, place = aws("s3"), {"Bucket": BUCKET, "Key": f"results/{run_id}/logs/engine.log"}
    s3.put_object(**place, Body=b"mine")
    assert s3.get_object(**place)["Body"].read() == b"mine"
    s3.delete_object(**place)
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert keys == {f"results/{run_id}/out/result/result.txt", f"results/{run_id}/logs/outputs.json"}


@in_process
def test_a_reset_creates_no_artefacts(
    control: Control, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Artefacts that nobody can read are not created only for moto to discard them."""
    start()
    control.advance("COMPLETED")
    monkeypatch.setattr(S3Backend, "put_object", lambda *_: pytest.fail("made"))
    control.reset()


@in_process
def test_a_call_applies_a_slice_of_what_is_due(
    control: Control, omics: Any, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call applies some of the due transitions, and later calls apply the others."""
    control.set_options(manual=False, pending_seconds=60)
    control.stop_clock()
    for number in range(5):
        start(requestId=str(number))
    LOCAL.clock.advance(60)
    monkeypatch.setattr(responses, "SECONDS_OF_CALL", -1)
    counts = []
    for _ in range(6):
        statuses = [run["status"] for run in omics.list_runs()["items"]]
        counts.append(statuses.count("STARTING"))
    assert counts == [1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("control", ["server"], indirect=True)
def test_callers_get_the_lock_between_slices(
    control: Control, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that applies all due transitions does not block others."""
    got_in = threading.Event()
    slices = iter(range(100))

    def apply(_: float) -> bool:
        if next(slices) == 0:
            threading.Thread(target=enter, daemon=True).start()
        return got_in.is_set()

    def enter() -> None:
        with LOCAL.lock:
            got_in.set()

    with LOCAL.lock:
        monkeypatch.setattr(models, "apply_due_transitions", apply)
        models.apply_all_due_transitions()
    assert got_in.is_set()
