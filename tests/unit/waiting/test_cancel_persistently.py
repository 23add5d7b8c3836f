# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a run or batch is found and cancelled without a kill, with all the time that it needs."""

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
    """A hook whose calls are not repeated by botocore."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    return HealthOmicsHook(config=ONE_ATTEMPT)


@KINDS
@pytest.mark.parametrize("name", ["a", None])
def test_one_that_does_not_exist_is_not_cancelled(
    omics: Control, clock: Clock, hook: HealthOmicsHook, kind: Kind, name: str | None
) -> None:
    """It is not searched for again, unless its start may be on its way."""
    began = clock.elapsed
    assert cancel_persistently(Target(kind=kind.name, name=name), hook, Records()) is False
    assert clock.elapsed == began
    assert sum(omics.call_counts().values()) == (name is not None)


@KINDS
def test_a_start_on_its_way_is_searched_for(
    omics: Control, clock: Clock, hook: HealthOmicsHook, kind: Kind
) -> None:
    """It may show up late."""
    omics.set_options(batch_creating_seconds=0.0)
    clock.at(30, lambda: kind.start_beside(omics_client(), "a"))
    assert cancel_persistently(Target(kind=kind.name, name="a"), hook, Records(), is_on_its_way=True)
    assert kind.is_cancelled(omics)


def test_a_start_that_does_not_show_up_is_given_up(clock: Clock, hook: HealthOmicsHook) -> None:
    """After a minute, as one that never arrived."""
    assert cancel_persistently(NAMED, hook, Records(), is_on_its_way=True) is False
    assert 60 <= clock.elapsed <= 75


@pytest.mark.parametrize(
    ("code", "patience"), [("ThrottlingException", 20), ("ExpiredTokenException", CANCEL_PATIENCE)]
)
@pytest.mark.parametrize("lasts", [True, False])
def test_what_may_pass_is_retried(
    omics: Control, clock: Clock, hook: HealthOmicsHook, code: str, patience: float, lasts: bool
) -> None:
    """As long as the caller has patience, and without a storm of calls."""
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


def test_what_does_not_pass_is_not_retried(omics: Control, clock: Clock, hook: HealthOmicsHook) -> None:
    """The log has the error."""
    RUN.start_beside(omics_client(), "a")
    omics.inject_error("CancelRun", "AccessDeniedException", times=None)
    log = Records()
    assert cancel_persistently(NAMED, hook, log) is False
    assert clock.sleeps == []
    assert "AccessDeniedException" in str(log.lines)


@pytest.mark.parametrize("by", ["id", "name"])
def test_another_run_with_the_id_is_not_cancelled(omics: Control, hook: HealthOmicsHook, by: str) -> None:
    """HealthOmics gave the id of a deleted run away."""
    run = RUN.start_beside(omics_client(), "a")
    found = {**run, "name": "a", "status": "PENDING", "creationTime": "2026-11-22T03:04:05Z"}
    target = Target(kind="run", id=run["id"], uuid=run["uuid"]) if by == "id" else NAMED
    answering(hook.conn, "GetRun", *([found] if by == "name" else []), {**found, "uuid": "another"})
    assert target.cancel(hook, Records())
    assert not RUN.is_cancelled(omics)
