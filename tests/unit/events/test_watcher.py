# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A watcher without a queue: reconciliation alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.triggers import HealthOmicsRunEventTrigger
from tests.healthomics import Control
from tests.unit.conftest import Clock, calls_of
from tests.unit.kinds import RUN

from .conftest import AssetStore, Watch

Ended = Callable[..., str]


def ids(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the run ids of events."""
    return [payload["runId"] for payload in payloads]


def test_each_end_is_reported_once(watch: Watch, clock: Clock, ended: Ended) -> None:
    """Ended before the start or after it, whoever started the run."""
    expected = [ended(), ended("FAILED")]
    clock.at(clock.elapsed + 150, lambda: expected.append(ended("CANCELLED")))
    payloads = watch(HealthOmicsRunEventTrigger(), 600)
    assert sorted(ids(payloads)) == sorted(expected)
    assert {payload["status"] for payload in payloads} == {"COMPLETED", "FAILED", "CANCELLED"}


def test_an_active_run_is_not_reported(omics: Control, watch: Watch) -> None:
    """Only ends are."""
    RUN.start(omics)
    assert watch(HealthOmicsRunEventTrigger(), 300) == []


def test_ends_before_the_lookback_are_not_reported(watch: Watch, clock: Clock, ended: Ended) -> None:
    """A new watcher does not report the history of the account."""
    ended()
    clock.advance(1000)
    recent = ended()
    assert ids(watch(HealthOmicsRunEventTrigger(lookback=500), 7200)) == [recent]


@pytest.mark.parametrize("statuses", [["FAILED"], ["COMPLETED", "FAILED"]], ids=str)
def test_it_reports_only_what_matches(watch: Watch, ended: Ended, statuses: list[str]) -> None:
    """By status, name and tags; what the list shows costs no GetRun."""
    ended("COMPLETED", name="other", tags={"lab": "a"})
    ended("FAILED", name="sample-1", tags={"lab": "b"})
    wanted = ended("FAILED", name="sample-2", tags={"lab": "a"})
    trigger = HealthOmicsRunEventTrigger(statuses=statuses, run_name_pattern="sample-*", tags={"lab": "a"})
    assert ids(watch(trigger, 300)) == [wanted]


def test_an_idle_watcher_costs_only_lists(omics: Control, watch: Watch, ended: Ended) -> None:
    """A run that was confirmed costs no GetRun again, also if it does not match."""
    ended("COMPLETED", tags={"lab": "b"})
    ended("COMPLETED", tags={"lab": "a"})
    watch(HealthOmicsRunEventTrigger(tags={"lab": "a"}), 3600)
    assert calls_of(omics, "GetRun") == 2
    # A last pass may have begun.
    assert 4 * 60 <= calls_of(omics, "ListRuns") <= 4 * 61


def test_a_restart_reports_nothing_twice_and_loses_nothing(
    watch: Watch, clock: Clock, ended: Ended, asset_store: AssetStore
) -> None:
    """On Airflow 3.3: what ended while there was no triggerer is found, by the position in the store."""
    first = ended()
    trigger = HealthOmicsRunEventTrigger(lookback=60)
    assert ids(watch(trigger, 300, asset_store)) == [first]
    second = ended("FAILED")
    clock.advance(6 * 3600)
    assert ids(watch(HealthOmicsRunEventTrigger(lookback=60), 300, asset_store)) == [second]


def test_a_trigger_that_restarts_in_its_process_repeats_nothing(watch: Watch, ended: Ended) -> None:
    """On Airflow 3.0 to 3.2, where the memory of the process is all there is."""
    run_id = ended()
    assert ids(watch(HealthOmicsRunEventTrigger(), 300)) == [run_id]
    assert watch(HealthOmicsRunEventTrigger(), 300) == []


def test_an_event_that_was_not_stored_is_sent_again(
    watch: Watch, ended: Ended, asset_store: AssetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the trigger and the database: the record has only what the database has."""
    run_id = ended()
    with monkeypatch.context() as patch:
        patch.setattr(asset_store, "record", lambda payload: None)
        assert ids(watch(HealthOmicsRunEventTrigger(), 300, asset_store)) == [run_id]
    assert ids(watch(HealthOmicsRunEventTrigger(), 300, asset_store)) == [run_id]
    assert watch(HealthOmicsRunEventTrigger(), 300, asset_store) == []


def test_watchers_of_two_assets_are_independent(watch: Watch, ended: Ended) -> None:
    """Each asset has its own record."""
    run_id = ended()
    one, other = AssetStore(), AssetStore()
    assert ids(watch(HealthOmicsRunEventTrigger(), 300, one)) == [run_id]
    assert ids(watch(HealthOmicsRunEventTrigger(), 300, other)) == [run_id]


def test_two_assets_of_one_trigger_share_the_record(watch: Watch, ended: Ended) -> None:
    """Equal triggers are one in Airflow; the position is in the store of each asset."""
    one, other = AssetStore(), AssetStore()
    run_id = ended()
    assert ids(watch(HealthOmicsRunEventTrigger(), 300, one, other)) == [run_id]
    assert one.values == other.values
    assert watch(HealthOmicsRunEventTrigger(), 300, other) == []


def test_a_refused_list_is_waited_out(
    omics: Control, watch: Watch, clock: Clock, ended: Ended, logged: Callable[[], str]
) -> None:
    """It says so once, names the permission, and later reports what ended meanwhile."""
    omics.inject_error("ListRuns", "AccessDeniedException", times=20)
    run_id = ended()
    assert ids(watch(HealthOmicsRunEventTrigger(), 3600)) == [run_id]
    text = logged()
    assert "ListRuns: AccessDeniedException" in text
    assert "this is over" in text


def test_one_run_that_may_not_be_read_holds_up_no_other(
    omics: Control, watch: Watch, ended: Ended, logged: Callable[[], str]
) -> None:
    """The pass goes on, and its time is covered again."""
    omics.inject_error("GetRun", "AccessDeniedException", times=1)
    expected = {ended(), ended("FAILED")}
    payloads = ids(watch(HealthOmicsRunEventTrigger(), 600))
    assert sorted(payloads) == sorted(expected)
    assert "GetRun: AccessDeniedException" in logged()


def test_a_store_that_does_not_answer_is_waited_out(
    watch: Watch, clock: Clock, ended: Ended, asset_store: AssetStore
) -> None:
    """Without the record nothing is reported, since it could be the second time."""
    run_id = ended()
    asset_store.is_broken = True
    assert watch(HealthOmicsRunEventTrigger(), 300, asset_store) == []
    asset_store.is_broken = False
    assert ids(watch(HealthOmicsRunEventTrigger(), 300, asset_store)) == [run_id]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"poll_interval": 0}, "poll_interval"),
        ({"lookback": -1}, "lookback"),
        ({"statuses": ["RUNNING"]}, "statuses"),
        ({"run_name_pattern": ""}, "run_name_pattern"),
    ],
    ids=str,
)
def test_a_mistake_is_found_when_the_dag_is_parsed(arguments: dict[str, Any], named: str) -> None:
    """The triggerer would report it where nobody looks."""
    with pytest.raises(ValueError, match=named):
        HealthOmicsRunEventTrigger(**arguments)
