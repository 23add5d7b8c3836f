# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The watch of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ProfileNotFound

from airflow_healthomics.compat import AirflowException, AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsOutcomeUnknownError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.batch_watch import BatchWatch
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.resources.watch import NEW_GRACE
from airflow_healthomics.service.errors import error_code
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, answering
from tests.unit.resources.conftest import Records


@pytest.fixture
def run(omics: Control, started: Callable[..., Any]) -> dict[str, Any]:
    """A run that moves only when the test advances it."""
    omics.set_options(manual=True)
    answer: dict[str, Any] = started()
    return answer


#: The fields that GetRun always returns, besides a status and a uuid.
RUN = {"id": "1", "arn": "arn:aws:omics:us-east-1:123456789012:run/1", "creationTime": "2026-11-22T03:04:05Z"}


def test_it_logs_each_status_once(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """A change is logged, a poll is not."""
    watch = RunWatch(run["id"], log=log)
    for status in ("PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"):
        omics.advance(status, run_id=run["id"])
        for _ in range(3):
            watch.poll(hook.conn)
    assert [line.rpartition(" is ")[2] for _, line in log.lines] == [
        "PENDING",
        "STARTING",
        "RUNNING",
        "STOPPING",
        "COMPLETED",
    ]


def test_an_unknown_status_is_active(hook: HealthOmicsHook, log: Records) -> None:
    """AWS may add one; it is logged once, as a warning."""
    answering(hook.conn, "GetRun", RUN | {"uuid": "u", "status": "HIBERNATING"})
    watch = RunWatch("1", log=log)
    assert [watch.poll(hook.conn) for _ in range(3)] == [None] * 3
    assert len(log.lines) == 1
    assert log.lines[0][0] == logging.WARNING
    assert "HIBERNATING" in log.lines[0][1]


def test_a_run_may_end_after_an_unknown_status(hook: HealthOmicsHook, log: Records) -> None:
    """The unknown status precedes a known one."""
    unknown = RUN | {"uuid": "u", "status": "HIBERNATING"}
    answering(hook.conn, "GetRun", unknown, unknown | {"status": "COMPLETED"})
    watch = RunWatch("1", log=log)
    assert watch.poll(hook.conn) is None
    summary = watch.poll(hook.conn)
    assert summary is not None
    assert (summary["id"], summary["uuid"], summary["status"]) == ("1", "u", "COMPLETED")


def test_a_failing_poll_is_logged_until_polls_succeed_again(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """Once for each outage of the service."""
    watch = RunWatch(run["id"], log=log)
    for _ in range(2):
        omics.inject_error("GetRun", "ThrottlingException", times=4)
        for _ in range(5):
            assert watch.poll(hook.conn) is None
    assert [line for level, line in log.lines if level == logging.WARNING and "Throttling" in line][1:]
    assert len([line for level, line in log.lines if level == logging.WARNING]) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_any_error_of_the_service_is_temporary(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records, status: int
) -> None:
    """Whatever its code."""
    omics.inject_error("GetRun", "NobodyKnowsException", status=status)
    watch = RunWatch(run["id"], log=log)
    assert watch.poll(hook.conn) is None
    assert watch.latest is None
    watch.poll(hook.conn)
    assert watch.latest is not None
    assert watch.latest["arn"] == run["arn"]


def test_an_invalid_request_ends_the_watch(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """At once and with AWS's code, since no retry would help."""
    omics.inject_error("GetRun", "ValidationException", status=400)
    with pytest.raises(HealthOmicsApiError, match=f"GetRun for run {run['id']}") as caught:
        RunWatch(run["id"], log=log).poll(hook.conn)
    assert caught.value.code == "ValidationException"


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException"]
)
def test_a_refusal_is_waited_out(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records, clock: Clock, code: str
) -> None:
    """From the first poll on: a person may correct it while the run continues."""
    omics.inject_error("GetRun", code, status=403, times=20)
    watch = RunWatch(run["id"], log=log)
    for _ in range(20):
        assert watch.poll(hook.conn) is None
        clock.advance(watch.pause(10))
    assert watch.status is None
    watch.poll(hook.conn)
    assert watch.status == "PENDING"
    warnings = [line for level, line in log.lines if level == logging.WARNING]
    assert len(warnings) == 2
    assert all(code in line and run["id"] in line for line in warnings)
    assert len([line for level, line in log.lines if "succeed again" in line]) == 1


def test_a_refusal_that_lasts_too_long_is_retryable(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records, clock: Clock
) -> None:
    """The error has the refused call, its beginning, and the next step, and says that the run continues."""
    omics.inject_error("GetRun", "AccessDeniedException", status=403, times=None)
    watch = RunWatch(run["id"], log=log)
    assert watch.pause(10) == 10
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:  # noqa: PT012 - the last of many
        while True:
            watch.poll(hook.conn)
            clock.advance(watch.pause(10))
    assert not isinstance(caught.value, AirflowFailException)
    assert 3600 <= clock.elapsed <= 3660
    for word in ("AccessDeniedException", "omics:GetRun", "3", "continues", "next attempt"):
        assert word in str(caught.value)
    assert (caught.value.subject, caught.value.code) == (f"run {run['id']}", "AccessDeniedException")
    assert caught.value.reason.startswith(f"GetRun for run {run['id']} ")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoCredentialsError(), "GetRun for run 1 failed with NoCredentialsError"),
        (AirflowException("There is no connection 'laboratory'"), "There is no connection 'laboratory'"),
        (ValueError("not a URI"), "the Airflow connection cannot be looked up: not a URI"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_patience_is_a_setting(
    clock: Clock, log: Records, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """It applies to any refusal, and is in the error."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__REFUSAL_PATIENCE", "120")
    watch = RunWatch("1", log=log)
    for seconds in (0, 119):
        clock.advance(seconds)
        watch.record_error(error, "GetRun")
    clock.advance(1)
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        watch.record_error(error, "GetRun")
    assert caught.value.reason.startswith(reason)
    assert (caught.value.code, caught.value.seconds) == (error_code(error), 120)


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (ClientError({"Error": {"Code": "InternalServerException"}}, "GetRun"), False),
        (ConnectionResetError("the supervisor is away"), False),
        (PermissionError("the supervisor refuses"), True),
        (EndpointConnectionError(endpoint_url="https://omics"), True),
        (NoCredentialsError(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_errors_that_a_person_can_correct_are_refusals(
    log: Records, error: Exception, is_refusal: bool
) -> None:
    """Others end without help, and have no patience to exceed."""
    watch = RunWatch("1", log=log)
    watch.record_error(error, "GetRun")
    assert (watch.refusals.since is not None) is is_refusal


def test_a_connection_that_cannot_be_looked_up_is_a_refusal(
    hook: HealthOmicsHook, run: dict[str, Any], log: Records
) -> None:
    """The line does not say that HealthOmics has refused anything."""

    def look_up() -> Any:
        raise ProfileNotFound(profile="laboratory")

    watch = RunWatch(run["id"], log=log)
    assert watch.poll(look_up) is None
    assert log.lines[0][1].startswith(f"The connection for run {run['id']} was refused with ProfileNotFound")
    watch.poll(lambda: hook.conn)
    assert watch.status == "PENDING"


def test_credentials_that_are_missing_are_waited_for(
    omics: Control, run: dict[str, Any], log: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that botocore raises itself counts as a refusal, too."""
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        watch = RunWatch(run["id"], log=log)
        assert watch.poll(HealthOmicsHook().conn) is None
    assert "NoCredentialsError" in log.lines[0][1]
    watch.poll(HealthOmicsHook().conn)
    assert watch.status == "PENDING"


def test_a_run_that_is_not_found_is_deleted(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """Whoever deleted it."""
    watch = RunWatch(run["id"], log=log)
    watch.poll(hook.conn)
    omics.advance("DELETED", run_id=run["id"])
    summary = watch.poll(hook.conn)
    assert summary is not None
    assert (summary["id"], summary["status"]) == (run["id"], "DELETED")
    assert watch.latest == {"id": run["id"], "status": "DELETED"}


def test_a_run_with_status_deleted_is_deleted(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """The status exists, too."""
    omics.set_options(show_deleted_runs=True)
    omics.advance("DELETED", run_id=run["id"])
    summary = RunWatch(run["id"], log=log).poll(hook.conn)
    assert summary is not None
    assert summary["status"] == "DELETED"


@pytest.mark.parametrize("known", [True, False])
def test_another_run_under_the_same_id_is_an_error(
    hook: HealthOmicsHook,
    omics: Control,
    run: dict[str, Any],
    started: Callable[..., Any],
    log: Records,
    known: bool,
) -> None:
    """Whether the uuid was given or learned."""
    omics.set_options(reuse_run_ids=True)
    watch = RunWatch(run["id"], uuid=run["uuid"] if known else None, log=log)
    assert watch.poll(hook.conn) is None
    omics.advance("DELETED", run_id=run["id"])
    other = started()
    assert other["id"] == run["id"]
    with pytest.raises(HealthOmicsApiError, match=other["uuid"]) as caught:
        watch.poll(hook.conn)
    assert all(run[name] in str(caught.value) for name in ("id", "uuid"))


def test_another_run_under_the_same_id_ends_a_deletion(log: Records) -> None:
    """The run that had the id before was deleted."""
    watch = RunWatch("1", uuid="u", is_deletion=True, log=log)
    summary = watch.update({**RUN, "uuid": "v", "status": "RUNNING"})
    assert summary is not None
    assert (summary["id"], summary["uuid"], summary["status"]) == ("1", "u", "DELETED")


@pytest.mark.parametrize("status", [408, 429])
def test_throttling_with_another_code_is_temporary(
    omics: Control, started: Callable[..., Any], status: int
) -> None:
    """A proxy or front end returns only the HTTP status."""
    omics.inject_error("GetRun", "TooManyRequests", status=status)
    watch = RunWatch(started()["id"], log=Records())
    assert watch.poll(HealthOmicsHook(config=ONE_ATTEMPT).conn) is None


def test_a_run_without_a_uuid_is_waited_for(omics: Control) -> None:
    """GetRun's model does not require one, and old runs may have none."""
    hook = HealthOmicsHook(config=ONE_ATTEMPT)
    answering(hook.conn, "GetRun", RUN | {"status": "RUNNING"}, RUN | {"status": "COMPLETED"})
    watch = RunWatch("1", log=Records())
    assert watch.poll(hook.conn) is None
    summary = watch.poll(hook.conn)
    assert summary is not None
    assert summary["status"] == "COMPLETED"


@pytest.mark.parametrize("missing", ["id", "arn", "status", "creationTime", "uuid"])
def test_an_incomplete_response_is_repeated(
    hook: HealthOmicsHook, run: dict[str, Any], log: Records, missing: str
) -> None:
    """It comes from a proxy, and shows neither an end nor another run."""
    whole = RUN | {"uuid": "u", "status": "COMPLETED"}
    answering(hook.conn, "GetRun", {name: value for name, value in whole.items() if name != missing}, whole)
    watch = RunWatch("1", uuid="u", log=log)
    assert watch.poll(hook.conn) is None
    summary = watch.poll(hook.conn)
    assert summary is not None
    assert summary["status"] == "COMPLETED"


def test_a_new_run_has_a_grace_period(log: Records) -> None:
    """After it, a run that is not found has ended."""
    watch = RunWatch("1", grace=60, log=log)
    assert watch.update(None) is None
    assert (watch.status, watch.grace) == ("PENDING", 60)
    watch.update({**RUN, "status": "RUNNING"})
    assert watch.grace == 0
    summary = watch.update(None)
    assert summary is not None
    assert summary["statusMessage"].startswith("GetRun does not find the run.")
    assert "uuid" not in summary


@pytest.mark.parametrize(
    ("status", "ends", "ends_deletion"),
    [("RUNNING", False, False), ("COMPLETED", True, False), ("DELETED", True, True)],
)
def test_a_watch_of_a_deletion_outlasts_the_run(
    log: Records, status: str, ends: bool, ends_deletion: bool
) -> None:
    """Its run has ended before."""
    for is_deletion, has_ended in ((False, ends), (True, ends_deletion)):
        watch = RunWatch("1", is_deletion=is_deletion, log=log)
        assert (watch.update({**RUN, "status": status}) is not None) is has_ended


@pytest.mark.parametrize("watch_of", [RunWatch, BatchWatch])
def test_without_a_grace_period_not_found_is_an_end(
    hook: HealthOmicsHook, log: Records, watch_of: Any
) -> None:
    """Only a start that has just succeeded is a reason to poll again."""
    assert watch_of("1234567", log=log).poll(hook.conn) is not None


def test_the_grace_period_is_independent_of_the_wall_clock(
    hook: HealthOmicsHook, omics: Control, log: Records, clock: Clock
) -> None:
    """The clock of the machine that started the run does not matter."""
    watch = RunWatch("1234567", grace=NEW_GRACE, log=log)
    assert watch.grace == NEW_GRACE
    clock._wall_start += 1000
    assert watch.poll(hook.conn) is None
    clock.advance(NEW_GRACE - 1)
    assert watch.poll(hook.conn) is None
    clock.advance(2)
    assert watch.poll(hook.conn) is not None


@pytest.mark.parametrize(
    ("item", "is_active"),
    [
        ({}, True),
        ({"creationTime": "2026-11-22T04:04:05.000+01:00"}, True),
        ({"creationTime": "Sun, 22 Nov 2026 03:04:05 GMT"}, True),
        ({"creationTime": "2026-11-22T03:04:06Z"}, False),
        ({"status": "COMPLETED"}, False),
        ({"status": "A_STATUS_OF_NEXT_YEAR"}, False),
    ],
)
def test_an_item_of_a_list_is_matched_by_its_creation_time(
    log: Records, item: dict[str, Any], is_active: bool
) -> None:
    """It is used only if it is active: GetRun decides the rest."""
    watch = RunWatch("1", creation_time=RUN["creationTime"], log=log)
    for _ in range(2):
        assert watch.update_from_list({**RUN, "status": "RUNNING", **item}) is is_active
    assert watch.status == ("RUNNING" if is_active else None)
    assert len(log.lines) == is_active


def test_a_rounded_creation_time_of_a_list_is_learned(hook: HealthOmicsHook, log: Records) -> None:
    """GetRun has confirmed the run whose item had another time."""
    whole = {**RUN, "uuid": "u", "status": "RUNNING"}
    answering(hook.conn, "GetRun", {**whole, "creationTime": "2026-11-22T03:04:05.678Z"})
    watch = RunWatch("1", log=log)
    assert not watch.update_from_list(whole)
    watch.poll(hook.conn)
    assert watch.update_from_list(whole)
    assert watch.update_from_list({**whole, "creationTime": "2026-11-22T03:04:05.678Z"})
    assert not watch.update_from_list({**whole, "creationTime": "2026-11-22T03:04:07Z"})
    watch.poll(hook.conn)
    assert watch.update_from_list({**whole, "creationTime": "2026-11-22T03:04:07Z"})


@pytest.mark.parametrize(
    ("fields", "list_filter"),
    [
        ({}, None),
        ({"name": "a"}, ("name", "a")),
        ({"name": "a", "runGroupId": "2"}, ("runGroupId", "2")),
        ({"name": "a", "runGroupId": "2", "batchId": "3"}, ("batchId", "3")),
    ],
)
def test_its_list_is_as_narrow_as_possible(
    log: Records, fields: dict[str, str], list_filter: tuple[str, str] | None
) -> None:
    """The task may know a filter before GetRun has returned."""
    watch = RunWatch("1", list_filter=("name", "b"), log=log)
    assert watch.list_filter == ("name", "b")
    watch.update({**RUN, "status": "RUNNING", **fields})
    assert watch.list_filter == list_filter


def test_a_success_in_a_list_ends_the_refusals(log: Records) -> None:
    """Like one of GetRun."""
    watch = RunWatch("1", creation_time=RUN["creationTime"], log=log)
    watch.record_error(NoCredentialsError(), "ListRuns")
    assert watch.update_from_list({**RUN, "status": "RUNNING"})
    assert watch.refusals.since is None


def test_a_deletion_is_in_no_list(log: Records) -> None:
    """A wait for it polls, since other waits expect the run where it was last."""
    for is_deletion, status in ((True, "none"), (False, "RUNNING")):
        watch = RunWatch("1", is_deletion=is_deletion, log=log)
        watch.update({**RUN, "uuid": "u", "status": "RUNNING"})
        assert watch.list_status == status


def test_a_batch_is_in_no_list_of_runs(log: Records) -> None:
    """Even if a run has the same id."""
    watch = BatchWatch("1234567", log=log)
    assert not watch.update_from_list({"id": "1234567", "status": "RUNNING"})
    assert (watch.status, watch.list_status) == (None, "none")
