# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one run for a task instance: decisions after crashes, retries and Clears."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsOutcomeLostError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestChangedError,
    HealthOmicsRunFailedError,
)
from airflow_healthomics.service import run_states
from airflow_healthomics.starting.decision import Decision, Plan, decide
from airflow_healthomics.starting.exactly_once import LISTING_GRACE, VISIBILITY_GRACE
from airflow_healthomics.starting.record import KEY, Attempt, StartRecord, parse_record
from tests.healthomics import Control
from tests.unit.batch_attempts import crashing, hold_runs
from tests.unit.conftest import (
    OUTPUT,
    Clock,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    die,
    needs_store,
    try_of,
)
from tests.unit.histories import CRASHES, STORES, WAYS, History, start_of
from tests.unit.kinds import BATCH, KINDS, Kind

STATES = ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED", "FAILED", "CANCELLED", "DELETED"]


def record_of(**fields: Any) -> StartRecord:
    return StartRecord(**{"request_id": "r", "epoch": 3, "generation": 2, **fields})


# --- decide ---

ONLY_REQUEST = record_of()
WITH_RUN = record_of(resource_id="1", uuid="u")
BY_STATE = {
    None: Plan(Decision.REPEAT, 2),
    "PENDING": Plan(Decision.REATTACH, 2),
    "STARTING": Plan(Decision.REATTACH, 2),
    "RUNNING": Plan(Decision.REATTACH, 2),
    "STOPPING": Plan(Decision.WAIT_OUT, 2),
    "COMPLETED": Plan(Decision.DONE, 2),
    "FAILED": Plan(Decision.START, 3),
    "CANCELLED": Plan(Decision.START, 3),
    "DELETED": Plan(Decision.START, 3),
    "A_STATUS_OF_NEXT_YEAR": Plan(Decision.REATTACH, 2),
}


@pytest.mark.parametrize("status", BY_STATE)
@pytest.mark.parametrize("record", [ONLY_REQUEST, WITH_RUN], ids=["request", "run"])
def test_a_retry_reattaches_or_starts_the_next_generation(record: StartRecord, status: str | None) -> None:
    """A failed run is followed by the next generation; any other one is reattached to."""
    assert decide(record, status) == BY_STATE[status]


@pytest.mark.parametrize("status", [None, *STATES, "A_STATUS_OF_NEXT_YEAR"])
@pytest.mark.parametrize("record", [ONLY_REQUEST, WITH_RUN], ids=["request", "run"])
def test_a_discarded_run_is_followed_by_a_new_one(record: StartRecord, status: str | None) -> None:
    """Clear means "run it again", whatever the status of the run before."""
    assert decide(record, status, is_discarded=True) == Plan(Decision.START, 0, supersedes=True)


def test_without_a_record_a_run_starts() -> None:
    """The first generation, with nothing to cancel."""
    assert decide(None, None) == Plan(Decision.START, 0, supersedes=False)


# --- a Clear ---

OF_FIRST_ATTEMPT = record_of(attempt=1, max_tries=2, clear_number=0)


@pytest.mark.parametrize(
    ("attempt", "retries", "is_cleared"),
    [
        pytest.param(Attempt(number=2, max_tries=2), 2, False, id="retry"),
        pytest.param(
            Attempt(number=1, max_tries=2, clear_number=1), 2, False, id="same attempt, another task cleared"
        ),
        pytest.param(
            Attempt(number=2, max_tries=2, clear_number=1), 2, False, id="retry, another task cleared"
        ),
        pytest.param(Attempt(number=2, max_tries=3, clear_number=1), 2, True, id="clear"),
        pytest.param(
            Attempt(number=2, max_tries=2, clear_number=1), 1, True, id="clear after an edit of retries"
        ),
        pytest.param(Attempt(number=2, max_tries=2), 1, False, id="retry after an edit of retries"),
        pytest.param(Attempt(number=3, max_tries=3), 2, True, id="retry after a clear that was not seen"),
    ],
)
def test_a_clear_is_distinguished_from_a_retry(attempt: Attempt, retries: int, is_cleared: bool) -> None:
    """By Airflow's numbers, even if an edit of retries keeps max_tries unchanged."""
    assert OF_FIRST_ATTEMPT.is_from_before_a_clear(attempt, retries) is is_cleared


def test_the_table_has_every_state() -> None:
    """A new state of AWS needs a decision."""
    assert set(STATES) == run_states.ACTIVE | run_states.TERMINAL


# --- histories ---


def alive(run: dict[str, Any]) -> bool:
    return run["status"] not in run_states.FAILED


steps = st.lists(
    st.tuples(
        st.sampled_from([None, None, *CRASHES]),
        st.sampled_from([None, None, "RUNNING", "FAILED", "CANCELLED", "COMPLETED", "DELETED"]),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=2,
    max_size=6,
)
quick = settings(
    deadline=None,
    max_examples=15,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def play(history: History, plot: list[tuple[str | None, str | None, bool]]) -> Iterator[list[Any]]:
    """Make an attempt for each step, and yield the runs of its epoch before and after, and its result."""
    for crash, becomes, is_cleared in plot:
        epoch = history.ti.max_tries
        before = history.runs(epoch)
        answer = history.try_again(crash)
        yield [before, history.runs(epoch), answer]
        newest = history.omics.runs()[-1:]
        if becomes and newest and newest[0]["status"] not in (*run_states.TERMINAL, "STOPPING"):
            # a name does not help after its run was deleted
            becomes = "FAILED" if becomes == "DELETED" and history.store is None else becomes
            history.omics.advance(becomes, run_id=newest[0]["id"])
        if is_cleared:
            history.clear()


@pytest.mark.parametrize("with_store", STORES)
@given(plot=steps)
@quick
def test_a_new_run_follows_failed_ones_only(
    omics: Control, with_store: bool, plot: list[tuple[str | None, str | None, bool]]
) -> None:
    """
    Whatever crashes, no epoch has two runs that live or have succeeded, and no try more than one start.

    With a store, the first try after a Clear that gets through leaves no run of an earlier epoch at work.
    """
    history = History(omics, with_store=with_store)
    for before, after, answer in play(history, plot):
        assert len(after) - len(before) <= 1
        if len(after) > len(before):
            assert not [run for run in before if alive(run)]
        assert len([run for run in after if alive(run)]) <= 1
        assert answer in (None, *(run["id"] for run in after))
        if answer is not None and with_store:
            working = {
                run["id"] for run in omics.runs() if run["status"] in ("PENDING", "STARTING", "RUNNING")
            }
            assert working <= {run["id"] for run in after}


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("crash", CRASHES[1:])
def test_a_crash_repeats_the_request_id(omics: Control, with_store: bool, crash: str) -> None:
    """The next attempt finds the run, or starts it, under the same request ID."""
    history = History(omics, with_store=with_store)
    ids = [history.try_again(crash), history.try_again(), history.try_again()]
    (run,) = omics.runs()
    assert ids[1:] == [run["id"]] * 2


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_failure_is_followed_by_another_request_id(omics: Control, with_store: bool, status: str) -> None:
    """Each generation has its own, and a matching name."""
    history = History(omics, with_store=with_store)
    for _ in range(4):
        omics.advance(status, run_id=history.try_again())
    runs = omics.runs()
    assert len({run["requestId"] for run in runs}) == len(runs) == 4
    assert all(run["name"] == run["requestId"] for run in runs)


@pytest.mark.parametrize("with_store", STORES)
def test_a_completed_run_is_not_repeated_by_a_retry(omics: Control, with_store: bool) -> None:
    """Its result is the purpose of the task."""
    history = History(omics, with_store=with_store)
    run_id = history.try_again()
    omics.advance("COMPLETED", run_id=run_id)
    assert history.try_again() == run_id


@needs_store
def test_a_deleted_run_is_repeated_only_on_request(omics: Control, clock: Clock) -> None:
    """Its end is unknown, so a retry does not start another one unless the DAG author has agreed."""
    history = History(omics, with_store=True)
    first = history.try_again()
    omics.advance("DELETED", run_id=first)
    clock.advance(VISIBILITY_GRACE)
    with pytest.raises(HealthOmicsOutcomeLostError, match="on_unknown_end='repeat'") as caught:
        history.try_again()
    lost = caught.value
    assert (lost.noun, lost.resource_id, lost.output_uri) == ("run", first, f"{OUTPUT}/{first}")
    assert "region us-east-1" in str(lost.place)
    assert len(omics.runs()) == 1
    history.fields["on_unknown_end"] = "repeat"
    assert history.try_again() != first


@needs_store
@pytest.mark.parametrize(("end", "runs"), [("COMPLETED", 1), ("FAILED", 2)])
@pytest.mark.parametrize("crash", [None, "after-call"])
def test_the_manifest_of_a_deleted_run_has_its_end(
    omics: Control, clock: Clock, crash: str | None, end: str, runs: int
) -> None:
    """Retention mode REMOVE deletes the record of a run and keeps its logs, also after a lost response."""
    history = History(omics, with_store=True)
    history.try_again(crash)
    first = omics.runs()[0]["id"]
    omics.advance(end, run_id=first)
    omics.advance("DELETED", run_id=first)
    clock.advance(VISIBILITY_GRACE)
    assert (history.try_again() == first) is (runs == 1)
    assert len(omics.runs()) == runs
    newest = omics.runs()[-1]
    published = history.ti.xcoms["run"]
    assert published["arn"].endswith(f"/{newest['id']}")
    assert {name: newest[name] for name in ("id", "uuid", "requestId")}.items() <= published.items()
    if crash is None:
        assert published["runOutputUri"] == f"{OUTPUT}/{newest['id']}"


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED", "FAILED"])
def test_a_clear_runs_it_again(omics: Control, with_store: bool, status: str) -> None:
    """Even a success."""
    history = History(omics, with_store=with_store)
    first = history.try_again()
    omics.advance(status, run_id=first)
    history.clear()
    assert history.try_again() != first


@needs_store
@pytest.mark.parametrize(("cancel_on_kill", "status"), [(True, "STOPPING"), (False, "RUNNING")])
@pytest.mark.parametrize("crash", [None, "after-call", "before-run-id"])
def test_a_clear_cancels_the_old_run(
    omics: Control, cancel_on_kill: bool, status: str, crash: str | None, logged: Callable[[], str]
) -> None:
    """Also one whose response was lost; with ``cancel_on_kill=False`` it is left, and the log says so."""
    history = History(omics, with_store=True, cancel_on_kill=cancel_on_kill)
    history.try_again(crash)
    (old,) = omics.runs()
    omics.advance("RUNNING", run_id=old["id"])
    history.clear()
    history.try_again()
    assert omics.runs()[0]["status"] == status
    assert old["id"] in logged()


@needs_store
def test_the_old_run_is_cancelled_before_the_new_one_starts(omics: Control) -> None:
    """They would write to the same location."""
    history = History(omics, with_store=True)
    history.try_again()
    history.clear()
    history.try_again()
    assert history.store is not None
    assert history.store.get(KEY)["epoch"] == 1
    operations = [call["operation"] for call in omics.calls()]
    assert operations.index("CancelRun") < len(operations) - 1 - operations[::-1].index("StartRun")


@needs_store
def test_a_run_id_that_belongs_to_another_run_is_not_touched(omics: Control) -> None:
    """The task's run was deleted, and a Clear does not cancel the other one with its id."""
    history = History(omics, with_store=True)
    first = history.try_again()
    omics.set_options(reuse_run_ids=True)
    omics.advance("DELETED", run_id=first)
    stranger = start_of(request_id="stranger").execute(try_of(FakeTaskInstance(max_tries=2)))
    assert stranger == first
    history.clear()
    history.epoch_of["stranger"] = -1
    history.try_again()
    assert calls_of(omics, "CancelRun") == 0


@needs_store
def test_a_retry_does_not_adopt_another_run(omics: Control, logged: Callable[[], str]) -> None:
    """A reused id is another run, so the next generation starts."""
    history = History(omics, with_store=True)
    first = history.try_again()
    omics.set_options(reuse_run_ids=True)
    omics.advance("FAILED", run_id=first)
    omics.advance("DELETED", run_id=first)
    start_of(request_id="stranger").execute(try_of(FakeTaskInstance(max_tries=2)))
    assert history.try_again() != first
    assert "now belongs to another run" in logged()


@needs_store
def test_a_repeated_start_may_return_an_id_of_another_run(omics: Control) -> None:
    """The run of the lost response was deleted, so the next generation starts."""
    history = History(omics, with_store=True)
    history.try_again("after-call")
    (lost,) = omics.runs()
    omics.set_options(reuse_run_ids=True)
    omics.advance("CANCELLED", run_id=lost["id"])
    omics.advance("DELETED", run_id=lost["id"])
    stranger = start_of(request_id="stranger").execute(try_of(FakeTaskInstance(max_tries=2)))
    assert stranger == lost["id"]
    assert history.try_again() not in (None, stranger)


@needs_store
def test_a_repeated_start_may_return_a_run_with_unknown_outcome(omics: Control) -> None:
    """Another one would cost money, so the DAG author must have agreed."""
    history = History(omics, with_store=True)
    history.try_again("after-call")
    (lost,) = omics.runs()
    omics.set_options(reuse_run_ids=True)
    omics.advance("DELETED", run_id=lost["id"])
    stranger = start_of(request_id="stranger").execute(try_of(FakeTaskInstance(max_tries=2)))
    assert stranger == lost["id"]
    with pytest.raises(HealthOmicsOutcomeLostError):
        history.try_again()
    history.fields["on_unknown_end"] = "repeat"
    assert history.try_again() not in (None, stranger)
    assert calls_of(omics, "CancelRun") == 0


@needs_store
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_a_run_whose_status_is_throttled_is_polled_again(omics: Control, tasks: Tasks, code: str) -> None:
    """The attempt waits for it, and does not fail."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    first = start_of().execute(try_of(ti, store))
    ti.try_number = 2
    omics.inject_error("GetRun", code, times=2)
    assert tasks.run(start_of, try_of(ti, store)) == first
    (run,) = omics.runs()
    target = {"kind": "run", "id": first, "uuid": run["uuid"], "name": run["name"]}
    assert [deferral.trigger.targets for deferral in tasks.deferrals] == [[target], [target]]


def test_a_search_without_credentials_names_its_call(omics: Control) -> None:
    """A person must look for the cause in the right place."""
    history = History(omics, with_store=False)
    history.try_again()
    omics.inject_error("ListRuns", "ExpiredTokenException", status=403)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="ListRuns"):
        history.try_again()
    with (
        crashing("ListRuns", error=NoCredentialsError()),
        pytest.raises(HealthOmicsOutcomeUnknownError, match="The connection for request"),
    ):
        history.try_again()


@pytest.mark.parametrize("with_store", STORES)
def test_a_lost_start_with_a_custom_name_is_repeated(
    omics: Control, started: Callable[..., Any], with_store: bool
) -> None:
    """The request ID finds its run, and no run of another task with the name."""
    history = History(omics, with_store=with_store, name="mine")
    start_of(name="mine").execute(try_of(FakeTaskInstance(task_id="another")))
    history.try_again("after-call")
    stranger, lost = omics.runs()
    started()  # without a name
    assert history.try_again() == lost["id"]
    assert stranger["name"] == lost["name"]


@KINDS
@needs_store
def test_the_record_has_the_fields_for_later_attempts(omics: Control, clock: Clock, kind: Kind) -> None:
    """First of the start, and later of the last attempt that reattached."""
    hold_runs(omics)
    ti, store = FakeTaskInstance(max_tries=2), Store()
    kind.task().execute(try_of(ti, store))
    kind.end(omics, "FAILED")
    first = parse_record(store.get(KEY))
    assert first is not None
    assert (first.epoch, first.generation, first.earlier, first.attempt, first.clear_number) == (
        0,
        0,
        (),
        1,
        0,
    )
    context = try_of(ti, store)
    context["dag_run"].clear_number = 3
    ti.try_number = 2
    kind.task(cancel_on_kill=False, region_name="us-east-1").execute(context)
    second = parse_record(store.get(KEY))
    newest = kind.all(omics)[-1]
    assert second is not None
    assert second == StartRecord(
        request_id=newest["requestId"],
        kind=kind.name,
        name=newest["requestId"],
        epoch=0,
        generation=1,
        resource_id=newest["id"],
        uuid=newest["uuid"],
        arn=second.arn,
        started=clock.time(),
        output_uri=second.output_uri,
        fingerprint=second.fingerprint,
        earlier=(str(first.resource_id),),
        attempt=2,
        max_tries=2,
        clear_number=3,
        settled=clock.time(),
        connection={**first.connection, "region_name": "us-east-1"},
        cancel_on_kill=False,
    )
    assert str(second.arn).endswith(f"/{newest['id']}")
    assert second.fingerprint
    assert second.output_uri == (None if kind is BATCH else f"{OUTPUT}/{newest['id']}")
    before = store.get(KEY)
    ti.try_number, ti.max_tries = 3, 4  # a Clear
    context["dag_run"].clear_number = 4
    kind.task(on_clear="reattach").execute(context)
    changes = {"attempt": 3, "max_tries": 4, "clear_number": 4, "cancel_on_kill": True}
    assert store.get(KEY) == {**before, **changes}


@KINDS
@needs_store
def test_the_record_is_complete_before_the_call(omics: Control, clock: Clock, kind: Kind) -> None:
    """After a crash in the call, later attempts and the API server have all they need."""
    hold_runs(omics)
    ti, store = FakeTaskInstance(max_tries=2), Store()
    first = kind.task().execute(try_of(ti, store))
    kind.end(omics, "FAILED")
    context = try_of(ti, store)
    context["dag_run"].clear_number = 3
    ti.try_number = 2
    task = kind.task(cancel_on_kill=False, region_name="us-east-1")
    with crashing(kind.operation("Start"), "after"), pytest.raises(Crash):
        task.execute(context)
    record = parse_record(store.get(KEY))
    assert record is not None
    newest = kind.all(omics)[-1]
    assert record == StartRecord(
        request_id=newest["requestId"],
        kind=kind.name,
        name=newest["requestId"],
        epoch=0,
        generation=1,
        started=clock.time(),
        fingerprint=record.fingerprint,
        earlier=(first,),
        attempt=2,
        max_tries=2,
        clear_number=3,
        connection={"aws_conn_id": "aws_default", "region_name": "us-east-1", "verify": None},
        cancel_on_kill=False,
    )
    assert len(str(record.fingerprint).partition(":")[2]) == 64


@needs_store
@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize(("end", "runs"), [("COMPLETED", 1), ("FAILED", 2), ("CANCELLED", 2)])
def test_a_stopping_run_is_waited_out(
    omics: Control, clock: Clock, tasks: Tasks, wait: bool, deferrable: bool, end: Any, runs: int
) -> None:
    """Its final status decides whether another one starts."""
    store, ti = Store(), FakeTaskInstance(max_tries=2)
    reason = "SERVICE_ERROR" if end == "FAILED" else None
    omics.plan_run(status=end, seconds={"STOPPING": 300}, failure_reason=reason)
    first = start_of().execute(try_of(ti, store))
    omics.advance("STOPPING", run_id=first)
    ti.try_number = 2
    fields = {"wait_for_completion": wait, "deferrable": deferrable}
    answer = tasks.run(lambda: start_of(**fields), try_of(ti, store))
    assert len(omics.runs()) == runs
    assert answer == omics.runs()[-1]["id"]


@needs_store
@pytest.mark.parametrize(
    ("waits", "calls"),
    [
        pytest.param(False, [0, 1], id="start"),
        # Written once more when the attempt comes to its end.
        pytest.param(True, [0, 1, 1], id="start and wait"),
    ],
)
def test_the_intention_is_stored_before_the_call(
    omics: Control, clock: Clock, waits: bool, calls: list[int]
) -> None:
    """Otherwise a crash could forget it."""
    store = Store()
    seen: list[int] = []
    store.after_set = lambda value: seen.append(calls_of(omics, "StartRun"))
    start_of(wait_for_completion=waits).execute(try_of(FakeTaskInstance(max_tries=2), store))
    assert seen == calls
    assert store.get(KEY)["settled"]


# --- an explicit request ID ---


@pytest.mark.parametrize("with_store", STORES)
def test_an_explicit_request_id_is_one_run_ever(omics: Control, with_store: bool) -> None:
    """It is used unchanged: retries and Clears find its run."""
    history = History(omics, with_store=with_store, request_id="mine")
    ids = [history.try_again("after-call"), history.try_again()]
    history.clear()
    ids += [history.try_again(), history.try_again()]
    (run,) = omics.runs()
    assert ids == [None, run["id"], run["id"], run["id"]]
    assert (run["requestId"], calls_of(omics, "CancelRun")) == ("mine", 0)


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
@pytest.mark.parametrize("is_cleared", [False, True])
def test_a_retry_with_an_explicit_request_id_says_why_it_cannot(
    omics: Control, with_store: bool, status: str, is_cleared: bool
) -> None:
    """HealthOmics would return the failed run forever."""
    history = History(omics, with_store=with_store, request_id="mine")
    first = history.try_again()
    omics.advance(status, run_id=first)
    if is_cleared:
        history.clear()
    with pytest.raises(AirflowFailException, match=f"{first} .*is {status}.*request_id is fixed"):
        history.try_again()
    assert len(omics.runs()) == 1


# --- ConflictException ---


def test_a_duplicate_in_flight_resolves(omics: Control, tasks: Tasks, clock: Clock) -> None:
    """The same request is repeated later, until it returns its run."""
    omics.inject_error("StartRun", "ConflictException", times=3)
    run_id = tasks.run(start_of, try_of(FakeTaskInstance(max_tries=2)))
    assert [run["id"] for run in omics.runs()] == [run_id]
    assert [deferral.method_name for deferral in tasks.deferrals] == ["resume_start"]


@needs_store
def test_a_changed_request_is_reported(omics: Control, tasks: Tasks) -> None:
    """The record has a fingerprint, but not the request."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    operator = start_of(parameters={"a": 1}, name="mine")
    operator.hook.conn.meta.events.register("after-call.omics.StartRun", die)
    with pytest.raises(Crash):
        operator.execute(try_of(ti, store))
    with pytest.raises(HealthOmicsRequestChangedError, match="The request has changed") as caught:
        tasks.run(lambda: start_of(parameters={"a": 2}, name="mine"), try_of(ti, store))
    assert caught.value.has_changed is True
    assert pickle.loads(pickle.dumps(caught.value)).has_changed is True


# --- refused ---


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize(
    "code",
    [
        "ValidationException",
        "AccessDeniedException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
    ],
)
def test_a_refused_start_fails_at_once(omics: Control, with_store: bool, code: str, clock: Clock) -> None:
    """Another attempt would get the same response."""
    omics.inject_error("StartRun", code, times=None)
    with pytest.raises(HealthOmicsApiError, match=code) as caught:
        start_of().execute(try_of(FakeTaskInstance(max_tries=2), Store() if with_store else None))
    assert caught.value.code == code
    assert isinstance(caught.value, AirflowFailException)
    assert (calls_of(omics, "StartRun"), clock.elapsed, omics.runs()) == (1, 0, [])


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException"])
def test_a_refusal_after_a_lost_start_is_retryable(omics: Control, with_store: bool, code: str) -> None:
    """Its run may be active, and is found by the attempt after the permission was added."""
    history = History(omics, with_store=with_store)
    history.try_again("after-call")
    (run,) = omics.runs()
    omics.inject_error("ListRuns", "AccessDeniedException")
    omics.inject_error("StartRun", code, status=403)
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        history.try_again()
    assert caught.value.subject == f"the run with request ID {run['requestId']}"
    assert caught.value.code == code
    assert code in caught.value.reason
    assert not isinstance(caught.value, AirflowFailException)
    assert history.try_again() == run["id"]


@pytest.mark.parametrize("with_store", STORES)
def test_a_clear_after_a_refusal_starts_the_run(omics: Control, with_store: bool) -> None:
    """After the cause was removed."""
    history = History(omics, with_store=with_store)
    omics.inject_error("StartRun", "AccessDeniedException")
    with pytest.raises(HealthOmicsApiError):
        history.try_again()
    history.clear()
    assert history.try_again() == omics.runs()[0]["id"]


@needs_store
@pytest.mark.parametrize("crash", ["after-call", "before-run-id"])
def test_a_clear_searches_again_for_a_lost_start(omics: Control, clock: Clock, crash: str) -> None:
    """The run of the lost attempt is cancelled, even if ListRuns did not show it at first."""
    history = History(omics, with_store=True)
    history.try_again(crash)
    history.clear()
    omics.inject_error("ListRuns", "AccessDeniedException")
    second = history.try_again()
    assert clock.elapsed == LISTING_GRACE
    status = {run["id"]: run["status"] for run in omics.runs()}
    assert status.pop(second) == "PENDING"
    assert list(status.values()) in (["CANCELLED"], ["STOPPING"])


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_run_is_repaired_by_the_retry(
    omics: Control, tasks: Tasks, with_store: bool, deferrable: bool
) -> None:
    """One task starts, waits and repairs."""
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    omics.plan_run(status="FAILED", failure_reason="SERVICE_ERROR")
    fields = {"wait_for_completion": True, "deferrable": deferrable}
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        tasks.run(lambda: start_of(**fields), try_of(ti, store))
    assert not isinstance(caught.value, AirflowFailException)
    ti.try_number = 2
    answer = tasks.run(lambda: start_of(**fields), try_of(ti, store))
    assert [run["status"] for run in omics.runs()] == ["FAILED", "COMPLETED"]
    assert answer == omics.runs()[1]["id"]


@KINDS
@pytest.mark.parametrize(
    "event",
    [
        {"event": "error", "message": "GetRun was refused", "code": "AccessDeniedException"},
        {
            "event": "refused",
            "subject": "run 1",
            "reason": "GetRun was refused",
            "code": "AccessDeniedException",
            "seconds": 3600.0,
        },
        None,
    ],
    ids=["error", "refused", "none"],
)
def test_a_failed_wait_for_a_stopping_run_starts_nothing(
    omics: Control, kind: Kind, event: dict[str, Any] | None
) -> None:
    """The run may still be active, so the attempt fails and the next one polls again."""
    with pytest.raises(HealthOmicsError):
        kind.task(wait_for_completion=True).resume_execution(
            "resume_after_stop", {"event": event}, try_of(FakeTaskInstance(max_tries=2), Store())
        )
    assert kind.all(omics) == []


def test_the_fake_store_keeps_its_values() -> None:
    """Fakes are tested too."""
    store = Store()
    store.set("k", {"a": 1}, retention=SimpleNamespace())
    assert (store.get("k"), store.get("x", 7), len(store.retentions)) == ({"a": 1}, 7, 1)
    store.delete("k")
    assert store.get("k") is None
