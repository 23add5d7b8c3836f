# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a local HealthOmics, a clock moved by hand, a stand-in for the triggerer."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import airflow
import boto3
import pytest
from airflow.models import crypto
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders

from airflow_healthomics.compat import Context
from airflow_healthomics.triggers import base as triggers_base
from tests.healthomics import Control, mock_healthomics, omics_client
from tests.sdk import TaskDeferred
from tests.speed import _work_once_per_process  # noqa: F401 - a fixture is found by its name
from tests.unit import virtual_time
from tests.unit.statsd import statsd  # noqa: F401 - a fixture is found by its name

ROLE = "arn:aws:iam::123456789012:role/omics"
OUTPUT = "s3://outputs/results"
WORKFLOW = "1234567"
START_DATE = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
DAG_RUN_ID = "manual__2026-11-22T03:04:05+00:00"

#: Client settings that let a failing call fail at once, so no test waits for botocore's retries.
ONE_ATTEMPT = {"retries": {"total_max_attempts": 1}}


IS_AIRFLOW_2: Final = airflow.__version__.startswith("2.")

#: The scheduler's message to a task whose deferral has timed out.
TRIGGER_TIMEOUT = "Trigger/execution timeout" if airflow.__version__.startswith("2.") else "Trigger timeout"


class DeadlineError(BaseException):
    """The clock passed the deadline of a deferral, or of a task that waits on a worker."""


class Clock:
    """
    Time that passes only when somebody sleeps, or when an event loop of :mod:`virtual_time` waits.

    :ivar elapsed: seconds since the beginning
    :ivar sleeps: what ``time.sleep`` was called with
    """

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.sleeps: list[float] = []
        self.deadline: float | None = None
        self.control: Control | None = None
        # A whole number, so sums of whole seconds are exact.
        self._start = float(int(time.monotonic()))
        self._wall_start = float(int(time.time()))
        self._plans: list[tuple[float, Callable[[], Any]]] = []

    def monotonic(self) -> float:
        """Stand in for time.monotonic, which asyncio's event loop reads too."""
        return self._start + self.elapsed

    def time(self) -> float:
        """Stand in for time.time."""
        return self._wall_start + self.elapsed

    def at(self, seconds: float, action: Callable[[], Any]) -> None:
        """Schedule a callback in N seconds."""
        self._plans.append((seconds, action))

    def sleep(self, seconds: float) -> None:
        """Stand in for time.sleep."""
        self.sleeps.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, for the local HealthOmics too."""
        seconds = max(seconds, 0.0)
        self.elapsed += seconds
        if self.elapsed > 30 * 24 * 3600:
            pytest.fail("the code under test waits for ever")
        if self.control is not None:
            self.control.advance_clock(seconds)
        for plan in [plan for plan in self._plans if plan[0] <= self.elapsed]:
            self._plans.remove(plan)
            plan[1]()
        if self.deadline is not None and self.elapsed > self.deadline:
            self.deadline = None
            raise DeadlineError


#: The latest instance of each key: Airflow has their states in its database.
TASK_INSTANCES: dict[tuple[str, str, str, int | None], FakeTaskInstance] = {}


class FakeTaskInstance:
    """A task instance that records its XComs."""

    task: Any

    def __init__(self, **attributes: Any) -> None:
        self.dag_id = "a_dag"
        self.task_id = "a_task"
        self.run_id = DAG_RUN_ID
        self.map_index: int | None = -1
        self.max_tries = 0
        self.try_number = 1
        self.start_date = datetime.fromtimestamp(time.time(), UTC)
        self.xcoms: dict[str, Any] = {}
        self.upstream: dict[tuple[str, str], Any] = {}
        self.first_reschedule: datetime | None = None
        self.state = "running"
        self.__dict__.update(attributes)
        TASK_INSTANCES[self.dag_id, self.run_id, self.task_id, self.map_index] = self

    def current_state(self) -> str:
        """Return the state, as Airflow 2 has it."""
        return self.state

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        """Record a value, which must be JSON."""
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(
        self, task_ids: Any = None, key: str = "return_value", default: Any = None, **_: Any
    ) -> Any:
        """Return what a test put into ``upstream``."""
        task_id = task_ids[0] if isinstance(task_ids, list) else task_ids
        value = self.upstream.get((task_id, key), default)
        return [value] if isinstance(task_ids, list) else value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Return the beginning of a rescheduled sensor."""
        return self.first_reschedule


@pytest.fixture(autouse=True)
def _fresh_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the clients of another test's triggers."""
    monkeypatch.setattr(triggers_base, "_connections", {})


@pytest.fixture(autouse=True)
def _task_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer Airflow 3's request for the states of task instances; an unknown one has none."""
    TASK_INSTANCES.clear()
    if IS_AIRFLOW_2:
        return
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def get_task_states(
        dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int | None = None
    ) -> dict[str, Any]:
        found = TASK_INSTANCES.get((dag_id, run_ids[0], task_ids[0], map_index))
        return {run_ids[0]: {task_ids[0]: found.state}} if found else {}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the extra of aws_default, or only its ``service_config.omics``."""

    def set_extra(*, omics: dict[str, Any] | None = None, **extra: Any) -> None:
        if omics is not None:
            extra["service_config"] = {"omics": omics}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))

    return set_extra


@pytest.fixture
def set_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the key with which Airflow encrypts; an empty one disables encryption."""

    def forget() -> None:
        if hasattr(crypto.get_fernet, "cache_clear"):
            crypto.get_fernet.cache_clear()
        else:  # before Airflow 3.2
            vars(crypto)["_fernet"] = None

    def set_it(key: str) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", key)
        forget()

    yield set_it
    forget()


@pytest.fixture
def without_key(set_key: Callable[[str], None]) -> None:
    """Remove Airflow's key, so the task makes its delayed start itself."""
    set_key("")


@pytest.fixture
def with_defaults(connection: Callable[..., None]) -> None:
    """Give the connection a role and an output URI."""
    connection(omics={"role_arn": ROLE, "output_uri": OUTPUT})


@pytest.fixture(scope="session", autouse=True)
def _quick_hooks() -> Iterator[None]:
    """Spare each hook its search for the caller through the whole stack, which is deep in pytest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AwsGenericHook, "_get_caller", lambda *_, **__: "Unknown", raising=False)
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that sleeping advances."""
    fake = Clock()
    monkeypatch.setattr(time, "monotonic", fake.monotonic)
    monkeypatch.setattr(time, "time", fake.time)
    monkeypatch.setattr(time, "sleep", fake.sleep)
    return fake


@pytest.fixture
def healthomics_options() -> dict[str, Any]:
    """Options of the local HealthOmics; override it by parametrization."""
    return {}


@pytest.fixture
def omics(healthomics_options: dict[str, Any], clock: Clock) -> Iterator[Control]:
    """The local HealthOmics, whose time is the test's clock."""
    settings = {"any_workflow": True, "create_buckets": True, "seed": 1, **healthomics_options}
    with mock_healthomics(**settings) as control:
        control.stop_clock()
        clock.control = control
        yield control
        clock.control = None


#: How many times :func:`logged` has each log line: Airflow up to 3.0 hands it on, and prints it too.
SHOWN: Final = 2 if airflow.__version__ < "3.1" else 1


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return the log lines since the last call, on each version of Airflow."""
    caplog.set_level("INFO")

    def look() -> str:
        text = caplog.text + "".join(capfd.readouterr())
        caplog.clear()
        return text

    return look


@pytest.fixture
def client(omics: Control) -> Any:
    """A client for the test."""
    return omics_client()


@pytest.fixture
def started(client: Any) -> Callable[..., dict[str, Any]]:
    """Start a run without the code under test."""

    def start(**fields: Any) -> dict[str, Any]:
        request = {"roleArn": ROLE, "outputUri": OUTPUT, "workflowId": WORKFLOW, **fields}
        run: dict[str, Any] = client.start_run(**request)
        return run

    return start


@pytest.fixture
def bucket(omics: Control) -> Any:
    """An empty bucket for run settings and manifests, and a separate client."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="settings-bucket")
    return s3


@pytest.fixture
def ti(clock: Clock) -> FakeTaskInstance:
    """The task instance of ``context``."""
    return FakeTaskInstance()


@pytest.fixture
def context(ti: FakeTaskInstance) -> Context:
    """A context with everything that the package reads."""
    return context_of(ti)


def context_of(ti: FakeTaskInstance, **more: Any) -> Context:
    """Return the context of a task instance."""
    dag_run = SimpleNamespace(run_id=ti.run_id, dag_id=ti.dag_id, start_date=START_DATE, conf={})
    fields = {"ti": ti, "task_instance": ti, "run_id": ti.run_id, "dag_run": dag_run, "params": {}, **more}
    return cast("Context", fields)


def answering(client: Any, operation: str, *answers: dict[str, Any]) -> None:
    """
    Let a client receive responses that the local HealthOmics never sends.

    :param answers: one for each call; the last one for all later calls
    """
    left = list(answers)

    def answer(request: Any, **_: Any) -> Any:
        response: Any = AWSResponse(
            request.url, 200, HTTPHeaders.from_dict({"content-type": "application/json"}), None
        )
        response._content = json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode()
        return response

    client.meta.events.register_first(f"before-send.omics.{operation}", answer)


def write_links(task: Any, context: Context) -> None:
    """Write the links of a task, as Airflow 3 does whenever its process ends."""
    if not IS_AIRFLOW_2:
        for link in task.operator_extra_links:
            context["ti"].xcom_push(link.xcom_key, link.get_link(task, ti_key=cast("Any", context["ti"])))


@contextmanager
def intercepting(respond: Callable[[str, Callable[[], Any]], Any]) -> Iterator[None]:
    """
    Replace each AWS call, of any client, by a function.

    :param respond: receives the operation and a function that makes the call, and returns the response
    """
    real = BaseClient._make_api_call  # type: ignore[attr-defined] # private

    def call(client: Any, operation: str, request: Any) -> Any:
        return respond(operation, lambda: real(client, operation, request))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield


class Tasks:
    """Runs a task the way Airflow does, with a stand-in for the triggerer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.deferrals: list[TaskDeferred] = []
        self.events: list[Any] = []

    def run(self, make: Callable[[], Any], context: Context) -> Any:
        """
        Execute a task, and resume it after each deferral as a new process would: with a new instance.

        A deferral that times out resumes with ``__fail__``, as the scheduler does it.
        """
        method = "execute"
        kwargs: dict[str, Any] = {}
        for _ in range(40):
            task = make()
            try:
                try:
                    if method == "execute":
                        return task.execute(context)
                    return task.resume_execution(method, kwargs, context)
                finally:
                    write_links(task, context)
            except TaskDeferred as deferral:
                self.deferrals.append(deferral)
                method, kwargs = deferral.method_name, dict(deferral.kwargs or {})
                try:
                    kwargs["event"] = self.fire(deferral.trigger, deferral.timeout)
                    self.events.append(kwargs["event"])
                except DeadlineError:
                    method, kwargs = "__fail__", {"error": TRIGGER_TIMEOUT}
        return pytest.fail("the task defers for ever")

    def fire(self, trigger: Any, timeout: timedelta | None = None) -> Any:
        """Return the payload of a trigger's first event. The trigger is serialized as in the database."""
        path, kwargs = trigger.serialize()
        module, _, name = path.rpartition(".")
        revived = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))

        async def first() -> Any:
            async for event in revived.run():
                return event.payload
            raise AssertionError("the trigger ended without an event")

        self.clock.deadline = None if timeout is None else self.clock.elapsed + timeout.total_seconds()
        try:
            return json.loads(json.dumps(virtual_time.run(self.clock, first())))
        finally:
            self.clock.deadline = None


@pytest.fixture
def tasks(clock: Clock) -> Tasks:
    """Run tasks, and record how they deferred."""
    return Tasks(clock)


def calls_of(control: Control, operation: str) -> int:
    """Return the number of calls of an operation."""
    return control.call_counts().get(operation, 0)


class Crash(BaseException):
    """The process dies here, without a log line."""


def die(*_: Any, **__: Any) -> None:
    """End the try, as a handler of any event can."""
    raise Crash


class Store:
    """
    A task state store, which survives tries and holds JSON only.

    :ivar retentions: what each value was stored with
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.retentions: list[Any] = []
        self.before_set: Callable[[dict[str, Any]], Any] = lambda value: None
        self.after_set: Callable[[dict[str, Any]], Any] = lambda value: None

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or the default."""
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value; a test may crash the process before or after."""
        self.before_set(value)
        self.values[key] = json.dumps(value)
        # Airflow accepts JSON only, and refuses a tuple, though Python writes it as a list.
        assert json.loads(self.values[key]) == value
        self.retentions.append(retention)
        self.after_set(value)

    def delete(self, key: str) -> None:
        """Forget a value."""
        self.values.pop(key, None)


#: Airflow has a task state store since 3.3.
HAS_STORE = getattr(airflow, "__version__", "0") >= "3.3"

needs_store = pytest.mark.skipif(not HAS_STORE, reason="Airflow has no task state store before 3.3")


@pytest.fixture
def store() -> Store:
    """An empty task state store."""
    return Store()


def try_of(ti: FakeTaskInstance, store: Store | None = None) -> Context:
    """Return the context of an attempt, with the store of its task instance if there is one."""
    return context_of(ti, **({} if store is None else {"task_state_store": store}))
