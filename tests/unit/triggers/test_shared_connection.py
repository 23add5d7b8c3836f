# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The client and the poller that the triggers of a connection share, and their cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.sensors import HealthOmicsRunSensor
from airflow_healthomics.triggers import HealthOmicsRunTrigger, base
from airflow_healthomics.waiting.events import summary_from_event
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import (
    ONE_ATTEMPT,
    Clock,
    FakeTaskInstance,
    Tasks,
    calls_of,
    context_of,
)
from tests.unit.histories import start_of
from tests.unit.resources.conftest import Records


async def end_of(trigger: HealthOmicsRunTrigger) -> dict[str, Any]:
    """Return the summary of the run of a trigger."""
    async for event in trigger.run():
        return summary_from_event(event.payload)
    raise AssertionError("the trigger ended without an event")


def wait_for(clock: Clock, *triggers: HealthOmicsRunTrigger) -> list[dict[str, Any]]:
    """Run triggers together, and return the summaries of their runs."""

    async def main() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(end_of, triggers)))

    summaries: list[dict[str, Any]] = virtual_time.run(clock, main())
    return summaries


@pytest.fixture
def runs(omics: Control, started: Callable[..., Any], client: Any) -> list[dict[str, Any]]:
    """More runs than a page holds, which stay RUNNING for an hour."""
    omics.plan_run(times=None, seconds={"RUNNING": 3600})
    return [client.get_run(id=started()["id"]) for _ in range(110)]


def trigger_of(run: dict[str, Any], **arguments: Any) -> HealthOmicsRunTrigger:
    """Return the trigger of an operator that has read the run."""
    watch = RunWatch(run["id"], uuid=run["uuid"], log=Records())
    watch.update(run)
    assert watch.creation_time is not None
    return HealthOmicsRunTrigger(
        run_id=run["id"],
        uuid=watch.uuid,
        creation_time=watch.creation_time.isoformat(),
        list_filter=watch.list_filter,
        **arguments,
    )


def waiting_start(**fields: Any) -> HealthOmicsStartRunOperator:
    """Return a task that starts a run and waits for it in the triggerer."""
    defaults = {"task_id": "start", "wait_for_completion": True, "deferrable": True, "botocore_config": None}
    return start_of(**{**defaults, **fields})


def test_a_poll_of_many_runs_costs_a_call_for_each_page(
    omics: Control, clock: Clock, runs: list[dict[str, Any]]
) -> None:
    """Each run's end adds the GetRun call that confirms it."""
    before = omics.call_counts()
    assert [each["id"] for each in wait_for(clock, *map(trigger_of, runs))] == [run["id"] for run in runs]
    asked = {name: calls_of(omics, name) - before.get(name, 0) for name in ("GetRun", "ListRuns")}
    intervals = clock.elapsed / 60
    assert asked["GetRun"] <= len(runs) + 5
    assert asked["ListRuns"] <= (intervals + 1) * (2 + 4)


def test_a_poll_of_a_run_group_costs_its_own_pages(
    omics: Control, clock: Clock, started: Callable[..., Any], client: Any
) -> None:
    """However many other runs the account has."""
    omics.plan_run(times=None, seconds={"RUNNING": 3600})
    group = client.create_run_group(requestId="group")["id"]
    ours = [client.get_run(id=started(runGroupId=group)["id"]) for _ in range(20)]
    for _ in range(400):
        started()
    before = calls_of(omics, "ListRuns")
    wait_for(clock, *map(trigger_of, ours))
    assert calls_of(omics, "ListRuns") - before <= 1.5 * clock.elapsed / 60
    assert calls_of(omics, "GetRun") <= 20 + 20 + 5


@pytest.mark.parametrize(
    ("fields", "list_filter"),
    [
        ({"runGroupId": "7", "name": "a-run"}, ["runGroupId", "7"]),
        ({"name": "a-run"}, ["name", "a-run"]),
        ({}, None),
    ],
)
def test_the_trigger_has_a_filter_of_the_run(
    omics: Control,
    context: Context,
    tasks: Tasks,
    started: Callable[..., Any],
    fields: dict[str, str],
    list_filter: list[str] | None,
) -> None:
    """The narrowest one, from the sensor's poll."""
    omics.plan_run(times=None, seconds={"RUNNING": 3600})
    run_id = started(**fields)["id"]
    tasks.run(lambda: HealthOmicsRunSensor(task_id="wait", run_id=run_id, deferrable=True), context)
    assert tasks.deferrals[0].trigger.serialize()[1]["list_filter"] == list_filter


def test_the_sensor_and_the_operator_pass_on_the_known_fields_of_the_run(
    omics: Control, context: Context, tasks: Tasks, started: Callable[..., Any]
) -> None:
    """After the sensor's poll, the trigger's first poll can be a list."""
    omics.plan_run(times=None, seconds={"RUNNING": 3600})
    run_id = started()["id"]
    tasks.run(lambda: HealthOmicsRunSensor(task_id="wait", run_id=run_id, deferrable=True), context)
    tasks.run(waiting_start, context)
    sensing, starting = (deferral.trigger.serialize()[1] for deferral in tasks.deferrals)
    assert sensing["uuid"]
    assert sensing["creation_time"]
    assert starting["uuid"]


def test_the_summary_is_the_same_in_both_places(
    omics: Control, tasks: Tasks, client: Any, clock: Clock, started: Callable[..., Any]
) -> None:
    """Although the poller's client keeps times as text."""
    run = client.get_run(id=started()["id"])
    omics.advance("COMPLETED", run_id=run["id"])
    watch = RunWatch(run["id"], log=Records())
    assert summary_from_event(tasks.fire(trigger_of(run))) == watch.poll(HealthOmicsHook().conn)


def test_its_times_are_text(omics: Control, started: Callable[..., Any]) -> None:
    """Botocore would spend most of a page's time on them (by an internal setting, which may change)."""
    run_id = started()["id"]
    polling, ordinary = PollingHook().conn, HealthOmicsHook().conn
    assert isinstance(polling.list_runs()["items"][0]["creationTime"], str)
    assert not isinstance(ordinary.get_run(id=run_id)["creationTime"], str)


def test_its_timeouts_are_short() -> None:
    """One hanging call would delay every wait."""
    config: Any = PollingHook().conn.meta.config
    assert (config.connect_timeout, config.read_timeout) == (5, 15)
    assert config.retries["total_max_attempts"] == 1


def test_the_users_own_settings_take_precedence() -> None:
    """Longer timeouts may be necessary."""
    config: Any = PollingHook(config={"read_timeout": 99}).conn.meta.config
    assert (config.connect_timeout, config.read_timeout) == (5, 99)


def test_one_client_serves_all(
    omics: Control, clock: Clock, runs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made once, and never on the event loop."""
    made: list[int] = []
    make = AwsGenericHook.get_client_type

    def counting(*args: Any, **kwargs: Any) -> Any:
        made.append(threading.get_ident())
        return make(*args, **kwargs)

    monkeypatch.setattr(AwsGenericHook, "get_client_type", counting)
    wait_for(clock, *map(trigger_of, runs[:20]))
    assert 1 <= len(made) <= 2, "the second one leaves the host prefixes out"
    assert threading.get_ident() not in made


def test_a_changed_connection_has_a_new_client(
    omics: Control, clock: Clock, runs: list[dict[str, Any]], connection: Callable[..., None]
) -> None:
    """A run in another region is not found by the edited connection."""
    clock.at(1000, lambda: connection(region_name="eu-west-1"))
    summary = wait_for(clock, trigger_of(runs[0]))[0]
    assert summary["status"] == "DELETED"
    assert 1000 <= clock.elapsed <= 1000 + 300 + 60


def test_an_unchanged_connection_keeps_its_client(
    omics: Control, clock: Clock, runs: list[dict[str, Any]]
) -> None:
    """Making a client takes memory and time."""

    async def main() -> tuple[Any, Any]:
        trigger = trigger_of(runs[0])
        before = await trigger.connect()
        await end_of(trigger)
        first = await trigger.connect()
        await end_of(trigger_of(runs[1]))
        assert before is not None
        return first, await trigger.connect()

    first, last = virtual_time.run(clock, main())
    assert first is last


def test_expired_credentials_are_renewed(omics: Control, clock: Clock, runs: list[dict[str, Any]]) -> None:
    """A wait may take days."""
    clock.at(600, lambda: omics.inject_error("GetRun", "ExpiredTokenException", status=403))
    assert wait_for(clock, trigger_of(runs[0]))[0]["status"] == "COMPLETED"


def test_a_connection_that_cannot_be_used_ends_the_wait(
    omics: Control, clock: Clock, connection: Callable[..., None]
) -> None:
    """After an hour, with its error."""
    connection(profile_name="there_is_no_such_profile")
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="there_is_no_such_profile"):
        wait_for(clock, HealthOmicsRunTrigger(run_id="1", waiter_delay=30))
    assert 3600 <= clock.elapsed <= 3600 + 90


def test_a_connection_with_mistakes_ends_the_wait(
    omics: Control, clock: Clock, connection: Callable[..., None]
) -> None:
    """Whatever the amazon provider raises for it; the poller continues."""
    connection(config_kwargs={"there_is_no_such_setting": 1})
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="there_is_no_such_setting"):
        wait_for(clock, HealthOmicsRunTrigger(run_id="1", waiter_delay=30))


def test_a_mistake_in_a_connection_with_a_client_ends_no_wait(
    omics: Control, clock: Clock, runs: list[dict[str, Any]], connection: Callable[..., None]
) -> None:
    """The client exists already."""
    clock.at(1000, lambda: connection(config_kwargs={"there_is_no_such_setting": 1}))
    assert wait_for(clock, trigger_of(runs[0]))[0]["status"] == "COMPLETED"


def test_a_connection_that_is_temporarily_not_found_keeps_its_client(
    omics: Control,
    clock: Clock,
    runs: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Boto3's own credentials may be those of another account, without the run."""
    clock.at(1000, lambda: monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT"))
    clock.at(1000, lambda: monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1"))
    clock.at(2000, lambda: omics.inject_error("GetRun", "ExpiredTokenException", status=403))
    clock.at(2500, lambda: monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws"}'))
    clock.at(2500, lambda: monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1"))
    assert wait_for(clock, trigger_of(runs[0]))[0]["status"] == "COMPLETED"


def test_closed_event_loops_are_released(omics: Control, clock: Clock, runs: list[dict[str, Any]]) -> None:
    """Each trigger of dag.test() has one."""
    for run in runs[:4]:
        wait_for(clock, trigger_of(run))
    assert len(base._pollers) <= 1


def test_a_denied_role_names_its_permission(omics: Control, clock: Clock, runs: list[dict[str, Any]]) -> None:
    """It is not GetRun's permission."""
    omics.inject_error("GetRun", "AccessDenied", status=403, times=None)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetRun"):
        wait_for(clock, trigger_of(runs[0]))


@pytest.mark.parametrize(
    "other",
    [
        {"region_name": "eu-west-1"},
        {"aws_conn_id": "another"},
        {"verify": False},
        {"botocore_config": {"read_timeout": 5}},
    ],
    ids=str,
)
def test_two_connections_have_separate_pollers(
    omics: Control, clock: Clock, runs: list[dict[str, Any]], other: dict[str, Any]
) -> None:
    """The failure of one connection does not affect the other."""

    async def main() -> None:
        first, second = trigger_of(runs[0]), trigger_of(runs[1], **other)
        assert first.poller is trigger_of(runs[2]).poller
        assert first.poller is not second.poller

    virtual_time.run(clock, main())


@pytest.mark.parametrize("source", ["connection", "environment"])
def test_a_region_has_one_poller_wherever_it_is_set(
    omics: Control,
    context: Context,
    clock: Clock,
    tasks: Tasks,
    connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    """In the task, the connection or the environment, as the worker's client shows."""
    omics.plan_run(times=None, seconds={"RUNNING": 3600})
    if source == "connection":
        connection(region_name="eu-west-1")
    else:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    tasks.run(waiting_start, context)
    tasks.run(lambda: waiting_start(region_name="eu-west-1"), context_of(FakeTaskInstance(task_id="other")))
    first, second = (deferral.trigger for deferral in tasks.deferrals)
    assert isinstance(first, HealthOmicsRunTrigger)
    assert isinstance(second, HealthOmicsRunTrigger)

    async def main() -> None:
        assert first.poller is second.poller

    virtual_time.run(clock, main())


def test_a_deferred_task_stays_in_the_region_of_its_run(
    omics: Control, context: Context, clock: Clock, tasks: Tasks, connection: Callable[..., None]
) -> None:
    """Even if the connection is edited to use another region."""
    omics.plan_run(seconds={"RUNNING": 3600})
    clock.at(1000, lambda: connection(region_name="eu-west-1"))
    tasks.run(waiting_start, context)
    assert clock.elapsed > 3600


def test_the_rate_of_polls_is_a_setting(
    omics: Control, clock: Clock, runs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account may have a higher quota, or several triggerers."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__POLL_RATE", "0.1")
    for run in runs[:4]:
        omics.advance("COMPLETED", run_id=run["id"])
    wait_for(clock, *map(trigger_of, runs[:4]))
    assert 25 <= clock.elapsed <= 35


def test_an_event_loop_leaves_nothing_behind(
    omics: Control, clock: Clock, runs: list[dict[str, Any]]
) -> None:
    """As in dag.test(), which has a loop for each trigger."""
    for run in runs[:3]:
        assert wait_for(clock, trigger_of(run))[0]["id"] == run["id"]
    for thread in threading.enumerate():
        if thread.name.startswith("healthomics-poller"):
            thread.join(timeout=30)
            assert not thread.is_alive()
    assert len(base._connections) == 1


@pytest.mark.parametrize("waits", [0, 600, 1790])
def test_an_execution_timeout_counts_from_the_start_of_the_try(
    omics: Control, clock: Clock, tasks: Tasks, waits: int
) -> None:
    """The time of a throttled start at the turnstile is included."""
    ti = FakeTaskInstance()
    clock.advance(waits)
    omics.plan_run(seconds={"RUNNING": 3600})
    with pytest.raises(Exception, match=r"[Tt]imeout"):
        tasks.run(
            lambda: waiting_start(execution_timeout=timedelta(seconds=1800), botocore_config=ONE_ATTEMPT),
            context_of(ti),
        )
    assert tasks.deferrals[0].timeout == timedelta(seconds=1800 - waits)
