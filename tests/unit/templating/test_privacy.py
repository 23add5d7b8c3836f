# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Values of parameters identify patients: they are sent to HealthOmics and appear nowhere else."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from tests.healthomics import Control, omics_client
from tests.unit.conftest import (
    HAS_STORE,
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    Clock,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    try_of,
)
from tests.unit.histories import WAYS

CANARY = "canary-patient-7"
SECRET: dict[str, Any] = {
    "parameters": {"sample": CANARY, "list": [{"deep": CANARY}]},
    "engine_settings": {"engineVersion": CANARY},
    "session_policy": json.dumps({"Version": "2012-10-17", "Statement": CANARY}),
}


class Scene:
    """A task that has the canary in its parameters, and everything that it emits."""

    def __init__(self, omics: Control, tasks: Tasks, logged: Callable[[], str]) -> None:
        self.omics, self.tasks, self.logged = omics, tasks, logged
        self.ti = FakeTaskInstance(max_tries=3)
        self.store = Store() if HAS_STORE else None
        self.errors: list[BaseException] = []

    def run(self, **fields: Any) -> Any:
        """Render and execute as Airflow does, through all deferrals."""
        defaults = {
            "role_arn": ROLE,
            "output_uri": OUTPUT,
            "botocore_config": ONE_ATTEMPT,
            "workflow_id": WORKFLOW,
        }

        def make() -> HealthOmicsStartRunOperator:
            operator = HealthOmicsStartRunOperator(task_id="a_task", **{**defaults, **SECRET, **fields})
            operator.render_template_fields(context)
            return operator

        context = try_of(self.ti, self.store)
        try:
            return self.tasks.run(make, context)
        except (Exception, Crash) as error:  # noqa: BLE001 - no error may show a value
            self.errors.append(error)
        return None

    def check(self, secret: str = CANARY) -> None:
        """Search everything that is stored or shown for a secret."""
        assert secret not in self.logged()
        for error in self.errors:
            for each in chain_of(error):
                told = f"{each} {each!r} {each.args!r} {vars(each)!r}"
                assert secret not in told, type(each)
            assert secret.encode() not in pickle.dumps(error)
        assert secret not in repr(self.ti.xcoms)
        assert secret not in repr(self.tasks.events)
        for deferral in self.tasks.deferrals:
            assert secret not in repr(deferral.trigger.serialize())
            assert secret not in repr(deferral.kwargs)
        assert secret not in repr(self.store and self.store.values)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the causes that a traceback shows."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.fixture
def scene(
    omics: Control, tasks: Tasks, logged: Callable[[], str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> Scene:
    """With the package's own logs at DEBUG."""
    for name in ("airflow_healthomics", "airflow.task"):
        caplog.set_level(logging.DEBUG, logger=name)
    return Scene(omics, tasks, logged)


def times(omics: Control, code: str, count: int | None, when: Any = "before") -> None:
    omics.inject_error("StartRun", code, times=count, when=when)


PATHS: dict[str, Callable[[Control], Any]] = {
    "completed": lambda omics: None,
    "failed": lambda omics: omics.plan_run(status="FAILED", failure_reason="EXPORT_FAILED"),
    "failed-tasks": lambda omics: omics.plan_run(
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        tasks=[{"name": "t", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": ["a line"]}],
    ),
    "cancelled": lambda omics: omics.plan_run(status="CANCELLED"),
    "conflict": lambda omics: times(omics, "ConflictException", 3),
    "conflict-for-ever": lambda omics: times(omics, "ConflictException", None),
    "throttled": lambda omics: times(omics, "ThrottlingException", 5),
    "broken": lambda omics: times(omics, "InternalServerException", 5),
    "lost": lambda omics: omics.drop_connection("StartRun", when="after", times=3),
    "denied": lambda omics: times(omics, "AccessDeniedException", None),
    "invalid": lambda omics: times(omics, "ValidationException", None),
    "quota": lambda omics: times(omics, "ServiceQuotaExceededException", None),
    "poll-denied": lambda omics: omics.inject_error("GetRun", "AccessDeniedException", times=None),
    "poll-throttled": lambda omics: omics.inject_error("GetRun", "ThrottlingException", times=3),
    "gone": lambda omics: omics.inject_error("GetRun", "ResourceNotFoundException", times=None),
}


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("prepare", PATHS.values(), ids=PATHS)
def test_no_path_shows_a_value(scene: Scene, deferrable: bool, prepare: Callable[[Control], Any]) -> None:
    """No log, error, XCom, event or record has it, in this attempt or the next."""
    prepare(scene.omics)
    scene.run(wait_for_completion=True, deferrable=deferrable)
    assert scene.omics.calls("StartRun")
    scene.ti.try_number = 2
    scene.run(wait_for_completion=True, deferrable=deferrable, parameters={"sample": CANARY, "new": 1})
    scene.check()


SIGNATURE = "X-Amz-Signature"


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_presigned_url_is_not_shown(scene: Scene, bucket: Any, deferrable: bool, status: Any) -> None:
    """GetRun returns one for a parameters file, and it is a credential."""
    bucket.put_object(Bucket="settings-bucket", Key="x.json", Body=b"{}")
    scene.omics.plan_run(status=status, times=None)
    fields = {"parameters_uri": "s3://settings-bucket/x.json", "parameters": None}
    scene.run(wait_for_completion=True, deferrable=deferrable, **fields)
    assert SIGNATURE in omics_client().get_run(id=scene.omics.runs()[0]["id"])["parametersUri"]
    scene.check(SIGNATURE)


def test_a_clear_shows_no_value(scene: Scene) -> None:
    """Neither does the cancelled run."""
    scene.run()
    scene.ti.max_tries, scene.ti.try_number = 5, 2
    scene.run()
    assert len(scene.omics.runs()) == 2
    scene.check()


@pytest.mark.parametrize("validate", [True, False])
def test_a_parameter_that_the_workflow_does_not_know_is_named_without_its_value(
    scene: Scene, validate: bool
) -> None:
    """Both by the package and by the service."""
    scene.omics.add_workflow("77", parameter_template={"sampel": {}})
    scene.run(workflow_id="77", validate_parameters=validate)
    (error,) = scene.errors
    assert "sample" in str(error)
    scene.check()


DEEP: dict[str, Any] = {}
DEEP["self"] = DEEP
BAD: dict[str, dict[str, Any]] = {
    "text": {"parameters": json.dumps({"a": CANARY})},
    "list": {"parameters": [CANARY]},
    "number": {"parameters": 7},
    "nan": {"parameters": {"a": float("nan"), "b": CANARY}},
    "bytes": {"parameters": {"a": CANARY.encode()}},
    "tuple": {"parameters": {"a": (CANARY,)}},
    "set": {"parameters": {"a": {CANARY}}},
    "object": {"parameters": {"a": type("Sample", (), {"__repr__": lambda _: CANARY})()}},
    "key": {"parameters": {7: CANARY}},
    "huge": {"parameters": {"a": CANARY * 5000}},
    "digits": {"parameters": {"a": 10**400, "b": CANARY}},
    "cyclic": {"parameters": {"a": DEEP, "b": CANARY}},
    "engine-text": {"engine_settings": CANARY},
    "engine-list": {"engine_settings": [CANARY]},
    "engine-bytes": {"engine_settings": {"a": CANARY.encode()}},
    "policy-text": {"session_policy": CANARY},
    "policy-long": {"session_policy": json.dumps({"a": CANARY * 200})},
    "policy-list": {"session_policy": [CANARY]},
    "policy-number": {"session_policy": {"a": {CANARY}}},
    "policy-bytes": {"session_policy": CANARY.encode()},
    "tags-long": {"tags": {"a": CANARY * 20}},
    "tags-number": {"tags": {"a": [CANARY]}},
    "tags-text": {"tags": CANARY},
    "tags-bytes": {"tags": {"a": CANARY.encode()}},
    "undefined": {"parameters": {"a": "{{ nope }}", "b": CANARY}},
    "undefined-text": {"parameters": {"a": CANARY + "{{ nope.x }}"}},
    "syntax": {"parameters": {"a": CANARY + "{{ "}},
    "filter": {"parameters": {"a": "{{ '" + CANARY + "' | nope }}"}},
    "type": {"parameters": {"a": "{{ '" + CANARY + "' + 1 }}"}},
    "lookup": {"parameters": {"a": "{{ {}['" + CANARY + "'] }}"}},
    "number-of": {"parameters": {"a": "{{ '" + CANARY + "' | int(base='x') }}"}},
    "calls": {"parameters": {"a": "{{ ''.join(1, '" + CANARY + "') }}"}},
    "engine-template": {"engine_settings": {"a": CANARY + "{{ nope.x }}"}},
    "another": {"output_uri": "nonsense"},
    "role": {"role_arn": "nonsense"},
    "workflow": {"workflow_id": "nonsense"},
    "cache": {"cache_behavior": "CACHE_ALWAYS"},
    "storage": {"storage_type": "STATIC"},
    "priority": {"priority": "high"},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
def test_bad_input_is_not_shown(scene: Scene, fields: dict[str, Any]) -> None:
    """An error has the path of the value, never the value."""
    scene.run(**fields)
    if scene.omics.calls("StartRun"):
        scene.omics.reset()
    scene.check()


def test_the_canary_does_arrive(scene: Scene) -> None:
    """Otherwise this file would prove nothing."""
    bodies: list[str] = []
    operator = HealthOmicsStartRunOperator(
        task_id="a_task", workflow_id=WORKFLOW, role_arn=ROLE, output_uri=OUTPUT, **SECRET
    )
    operator.hook.conn_without_retries.meta.events.register(
        "before-send.omics.StartRun", lambda request, **_: bodies.append(request.body.decode())
    )
    operator.execute(try_of(scene.ti))
    assert bodies[0].count(CANARY) == 4


@pytest.mark.parametrize("where", ["log", "error", "xcom", "event", "record"])
def test_a_leak_would_be_found(scene: Scene, where: str) -> None:
    """The search is tested, too."""
    match where:
        case "log":
            logging.getLogger("airflow.task").warning("%s", CANARY)
        case "error":
            scene.errors.append(ValueError(CANARY))
        case "xcom":
            scene.ti.xcoms["a"] = CANARY
        case "event":
            scene.tasks.events.append({"a": CANARY})
        case "record":
            scene.store = Store()
            scene.store.values["a"] = CANARY
    with pytest.raises(AssertionError):
        scene.check()
