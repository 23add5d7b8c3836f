# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Faults hit the planned calls at the planned time, in both modes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from airflow_healthomics.testing import Control

from .conftest import SESSION, aws, error_of

Start = Callable[..., dict[str, Any]]
ERRORS = {
    shape.name: shape.metadata["error"]["httpStatusCode"]
    for shape in botocore.session.get_session()
    .get_service_model("omics")
    .operation_model("ListRuns")
    .error_shapes
} | {"NotSupportedOperationException": 405}


@contextmanager
def background(control: Control, threads: int) -> Iterator[ThreadPoolExecutor]:
    """Make calls in other threads; none stays held if a test fails."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield pool
        finally:
            control.clear_faults()


@pytest.mark.parametrize(("code", "status"), sorted(ERRORS.items()))
def test_every_error_of_the_model_can_be_injected(
    control: Control, omics: Any, code: str, status: int
) -> None:
    """The error has the model's status, the planned message and botocore's own class, and happens once."""
    control.inject_error("ListRuns", code, message="no luck")
    with pytest.raises(getattr(omics.exceptions, code)) as caught:
        omics.list_runs()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["Error"]["Message"] == "no luck"
    assert caught.value.response["ResponseMetadata"]["RequestId"]
    assert omics.list_runs()["items"] == []


def test_an_error_of_another_kind_needs_a_status(control: Control, omics: Any) -> None:
    """Injecting a code that HealthOmics does not have requires its HTTP status."""
    with pytest.raises(ValueError, match="ExpiredTokenException"):
        control.inject_error("ListRuns", "ExpiredTokenException")
    control.inject_error("ListRuns", "ExpiredTokenException", status=403, message="expired")
    assert error_of(omics.list_runs) == ("ExpiredTokenException", 403, "expired")


def test_a_fault_happens_n_times_to_its_operation(control: Control, omics: Any) -> None:
    """Faults are consumed in order and do not affect other operations."""
    control.inject_error("ListRuns", "InternalServerException", times=2)
    control.inject_error("ListRuns", "AccessDeniedException")
    assert omics.list_workflows()["items"] == []
    codes = [error_of(omics.list_runs)[0] for _ in range(3)]
    assert codes == ["InternalServerException", "InternalServerException", "AccessDeniedException"]
    assert omics.list_runs()["items"] == []


def test_a_fault_can_last_until_it_is_cleared(control: Control, omics: Any) -> None:
    """``times=None`` and ``*`` hit every call."""
    control.inject_error("*", "InternalServerException", times=None)
    for call in (omics.list_runs, omics.list_workflows, omics.list_runs):
        assert error_of(call)[1] == 500
    control.clear_faults()
    assert omics.list_runs()["items"] == []


def test_a_fault_can_be_for_one_run(control: Control, omics: Any, start: Start) -> None:
    """``match`` compares members of the request."""
    first, second = start()["id"], start()["id"]
    control.inject_error("GetRun", "AccessDeniedException", times=None, match={"id": second})
    assert omics.get_run(id=first)["id"] == first
    assert error_of(omics.get_run, id=second)[0] == "AccessDeniedException"


@pytest.mark.parametrize("options", [{"seed": 3}])
def test_a_fault_can_be_probable(control: Control, omics: Any) -> None:
    """With a seed, the same calls fail each time."""

    def met() -> list[bool]:
        control.reset()
        control.inject_error("ListRuns", times=None, probability=0.5)
        statuses = []
        for _ in range(20):
            try:
                omics.list_runs()
                statuses.append(False)
            except omics.exceptions.InternalServerException:
                statuses.append(True)
        return statuses

    first = met()
    assert first == met()
    assert 0 < sum(first) < 20


def test_an_error_before_has_no_effect_and_one_after_hides_it(control: Control, start: Start) -> None:
    """``when`` says whether the request took effect."""
    control.inject_error("StartRun", when="before")
    assert error_of(start, requestId="one")[1] == 500
    assert control.runs() == []
    control.inject_error("StartRun", when="after")
    assert error_of(start, requestId="one")[1] == 500
    (run,) = control.runs()
    assert start(requestId="one")["id"] == run["id"]


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_a_dropped_connection_has_no_response(control: Control, start: Start, when: Any, runs: int) -> None:
    """Botocore sees a closed connection, whether or not the run was started."""
    control.drop_connection("StartRun", when=when)
    with pytest.raises(ConnectionClosedError):
        start(requestId="one")
    assert len(control.runs()) == runs
    start(requestId="one")
    assert len(control.runs()) == 1
    assert [call["error"] for call in control.calls("StartRun")] == ["DroppedConnection", None]


def test_botocore_repeats_after_a_fault(control: Control, omics: Any) -> None:
    """A client with its usual retries gets through one fault of each kind."""
    control.inject_error("ListRuns", "ThrottlingException")
    control.drop_connection("ListRuns")
    retrying = SESSION.client("omics", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))
    assert retrying.list_runs()["items"] == []
    assert [call["status"] for call in control.calls("ListRuns")] == [429, None, 200]


def test_a_response_can_be_late(control: Control, omics: Any) -> None:
    """A delayed call takes longer, and delays no other."""
    control.delay("ListRuns", 0.3)
    began = time.monotonic()
    with background(control, 1) as pool:
        late = pool.submit(omics.list_runs)
        omics.list_workflows()
        assert not late.done()
        late.result()
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("control", ["server"], indirect=True)
def test_a_late_response_exceeds_the_clients_timeout(control: Control) -> None:
    """A client whose timeout is shorter than the delay gives up."""
    control.delay("ListRuns", 60)
    hasty = SESSION.client("omics", config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
    with pytest.raises(ReadTimeoutError):
        hasty.list_runs()


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_a_held_call_waits_for_its_release(
    control: Control, omics: Any, start: Start, when: Any, runs: int
) -> None:
    """A held call blocks before or after taking effect, until its release; other calls proceed."""
    control.hold("StartRun", "gate", when=when)
    with background(control, 1) as pool:
        held = pool.submit(start)
        control.wait_until_held("gate")
        assert len(omics.list_runs()["items"]) == runs
        assert not held.done()
        assert control.release("gate") == 1
        assert held.result()["status"] == "PENDING"
    assert len(control.runs()) == 1


def test_several_calls_can_be_held(control: Control, omics: Any) -> None:
    """One name holds many calls and releases all; afterwards none is held."""
    control.hold("ListRuns", "gate", times=None)
    with background(control, 5) as pool:
        held = [pool.submit(aws("omics").list_runs) for _ in range(5)]
        control.wait_until_held("gate", count=5)
        assert control.release("gate") == 5
        assert all(call.result()["items"] == [] for call in held)
    assert omics.list_runs()["items"] == []
    assert control.release("gate") == 0


def test_waiting_for_a_held_call_times_out(control: Control) -> None:
    """The error names the call."""
    with pytest.raises(TimeoutError, match="0 of 1 calls are held as 'gate'"):
        control.wait_until_held("gate", timeout=0.05)


def test_clearing_a_fault_releases_its_calls(control: Control, omics: Any) -> None:
    """Clearing the faults ends holds and delays."""
    control.hold("ListRuns", "gate")
    control.delay("ListWorkflows", 600)
    with background(control, 2) as pool:
        calls = [pool.submit(omics.list_runs), pool.submit(omics.list_workflows)]
        control.wait_until_held("gate")
        control.wait_for_call("ListWorkflows", answered=False)
        control.clear_faults()
        for call in calls:
            assert call.result(timeout=10)["items"] == []


def test_a_second_start_meets_the_first_in_flight(control: Control, start: Start) -> None:
    """While a StartRun is in flight, its request id conflicts and others do not; later it is a duplicate."""
    control.hold("StartRun", "gate")
    with background(control, 1) as pool:
        held = pool.submit(start, requestId="one")
        control.wait_until_held("gate")
        assert error_of(start, requestId="one")[:2] == ("ConflictException", 409)
        assert start(requestId="two")["id"]
        control.release("gate")
        assert held.result()["id"] == start(requestId="one")["id"]


def test_a_second_batch_meets_the_first_in_flight(
    control: Control, start: Start, start_batch: Callable[..., str]
) -> None:
    """While a StartRunBatch is in flight, its request id conflicts for batches, but not for runs."""
    control.hold("StartRunBatch", "gate")
    with background(control, 1) as pool:
        held = pool.submit(start_batch, "a", requestId="one")
        control.wait_until_held("gate")
        assert error_of(start_batch, "a", requestId="one")[:2] == ("ConflictException", 409)
        assert start(requestId="one")["id"]
        control.release("gate")
        assert held.result() == start_batch("a", requestId="one")


@pytest.mark.parametrize("options", [{"conflict_in_flight": False}])
def test_the_conflict_in_flight_can_be_off(control: Control, start: Start) -> None:
    """With the option, whichever is processed first starts the run."""
    control.hold("StartRun", "gate")
    with background(control, 1) as pool:
        held = pool.submit(start, requestId="one")
        control.wait_until_held("gate")
        run_id = start(requestId="one")["id"]
        control.release("gate")
        assert held.result()["id"] == run_id


def test_an_unimplemented_operation_can_have_a_fault(control: Control, omics: Any) -> None:
    """Injected errors take precedence over everything else."""
    control.inject_error("GetRunCache", "AccessDeniedException")
    assert error_of(omics.get_run_cache, id="1")[0] == "AccessDeniedException"


def test_a_fault_happens_before_or_after(control: Control) -> None:
    """Any other value of ``when`` is refused."""
    with pytest.raises(ValueError, match="before"):
        control.drop_connection("GetRun", when="during")  # type: ignore[arg-type]
