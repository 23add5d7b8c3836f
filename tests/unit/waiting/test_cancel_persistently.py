# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a run or batch is found and cancelled without a kill, and without a time limit."""

from __future__ import annotations

import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.waiting.kill_guard import CANCEL_PATIENCE, Target, cancel_persistently
from tests.healthomics import Control, omics_client
from tests.unit.conftest import ONE_ATTEMPT, Clock, answering, calls_of
from tests.unit.kinds import KINDS, RUN, Kind
from tests.unit.resources.conftest import Records

NAMED = Target(kind="run", name="a")


@pytest.fixture
def hook(omics: Control) -> HealthOmicsHook:
    """A hook whose calls botocore does not repeat."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    return HealthOmicsHook(config=ONE_ATTEMPT)


@KINDS
@pytest.mark.parametrize("name", ["a", None])
def test_one_that_does_not_exist_is_not_cancelled(
    omics: Control, clock: Clock, hook: HealthOmicsHook, kind: Kind, name: str | None
) -> None:
    """It is not searched for again, unless its start may be in flight."""
    began = clock.elapsed
    assert cancel_persistently(Target(kind=kind.name, name=name), hook, Records()) is False
    assert clock.elapsed == began
    assert sum(omics.call_counts().values()) == (name is not None)


@KINDS
def test_a_start_in_flight_is_searched_for(
    omics: Control, clock: Clock, hook: HealthOmicsHook, kind: Kind
) -> None:
    """It may become visible late."""
    omics.set_options(batch_creating_seconds=0.0)
    clock.at(30, lambda: kind.start_beside(omics_client(), "a"))
    assert cancel_persistently(Target(kind=kind.name, name="a"), hook, Records(), is_on_its_way=True)
    assert kind.is_cancelled(omics)


def test_a_start_that_is_never_visible_is_given_up(clock: Clock, hook: HealthOmicsHook) -> None:
    """After a minute, since it never arrived."""
    assert cancel_persistently(NAMED, hook, Records(), is_on_its_way=True) is False
    assert 60 <= clock.elapsed <= 75


@pytest.mark.parametrize(
    ("code", "patience"), [("ThrottlingException", 20), ("ExpiredTokenException", CANCEL_PATIENCE)]
)
@pytest.mark.parametrize("lasts", [True, False])
def test_a_temporary_error_is_retried(
    omics: Control, clock: Clock, hook: HealthOmicsHook, code: str, patience: float, lasts: bool
) -> None:
    """Within the caller's time limit, and not too fast."""
    RUN.start_beside(omics_client(), "a")
    status = 429 if code == "ThrottlingException" else 403
    omics.inject_error("CancelRun", code, status=status, times=None if lasts else 3)
    log = Records()
    assert cancel_persistently(NAMED, hook, log, patience=patience) is not lasts
    assert RUN.is_cancelled(omics) is not lasts
    assert (code in str(log.lines)) is lasts
    if lasts:
        assert patience <= clock.elapsed <= patience + 15
        assert calls_of(omics, "CancelRun") <= 60


def test_a_permanent_error_is_not_retried(omics: Control, clock: Clock, hook: HealthOmicsHook) -> None:
    """The log has the error."""
    RUN.start_beside(omics_client(), "a")
    omics.inject_error("CancelRun", "AccessDeniedException", times=None)
    log = Records()
    assert cancel_persistently(NAMED, hook, log) is False
    assert clock.sleeps == []
    assert "AccessDeniedException" in str(log.lines)


@pytest.mark.parametrize("by", ["id", "name"])
def test_another_run_with_the_id_is_not_cancelled(omics: Control, hook: HealthOmicsHook, by: str) -> None:
    """HealthOmics gave the id of a deleted run to another one."""
    run = RUN.start_beside(omics_client(), "a")
    found = {**run, "name": "a", "status": "PENDING", "creationTime": "2026-11-22T03:04:05Z"}
    target = Target(kind="run", id=run["id"], uuid=run["uuid"]) if by == "id" else NAMED
    answering(hook.conn, "GetRun", *([found] if by == "name" else []), {**found, "uuid": "another"})
    assert target.cancel(hook, Records())
    assert not RUN.is_cancelled(omics)
