# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Members of a newer model are refused until the local HealthOmics implements them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.model import ServiceModel
from moto.core.utils import get_service_model

from airflow_healthomics.testing import Control
from airflow_healthomics.testing.omics import batch_rules, responses
from airflow_healthomics.testing.omics.members import IMPLEMENTED
from airflow_healthomics.testing.omics.models import OmicsBackend
from airflow_healthomics.testing.registration import register

from .conftest import BUCKET, aws, error_of


def operations() -> list[str]:
    """Return the implemented operations."""
    register()
    backend = OmicsBackend("us-east-1", "123456789012")
    return [name for name in get_service_model("omics").operation_names if backend.action(name)]


def structures(shape: Any, seen: set[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield each structure of a request once, with its members; free JSON has none."""
    if shape.name in seen or getattr(shape, "is_document_type", False):
        return
    seen.add(shape.name)
    if shape.type_name == "list":
        yield from structures(shape.member, seen)
    elif shape.type_name == "map":
        yield from structures(shape.value, seen)
    elif shape.type_name == "structure":
        yield shape.name, set(shape.members)
        for member in shape.members.values():
            yield from structures(member, seen)


@pytest.mark.parametrize("operation", operations())
def test_all_members_of_the_model_are_implemented(operation: str) -> None:
    """A newer botocore fails here, with the new members, until they are implemented."""
    shape = get_service_model("omics").operation_model(operation).input_shape
    for name, members in structures(shape, set()):
        assert members == IMPLEMENTED.get(name, set()), name


def test_the_table_has_no_other_structures() -> None:
    """The table lists only structures that an implemented operation accepts."""
    shapes = [get_service_model("omics").operation_model(name).input_shape for name in operations()]
    assert set(IMPLEMENTED) == {name for shape in shapes for name, _ in structures(shape, set())}


@pytest.fixture
def newer_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in which runs and the settings of a batch have one more member."""
    register()
    model: dict[str, Any] = copy.deepcopy(get_service_model("omics")._service_description)  # type: ignore[attr-defined]
    for structure in ("StartRunRequest", "InlineSetting"):
        model["shapes"][structure]["members"]["novelty"] = {"shape": "EngineSettings"}
    newer = ServiceModel(model, "omics")
    for module in (responses, batch_rules):
        monkeypatch.setattr(module, "get_service_model", lambda _: newer)


@pytest.fixture
def send(omics: Any) -> Callable[[str, Mapping[str, Any]], None]:
    """Add members to the body of each call of an operation, as a newer client would."""

    def add(operation: str, members: Mapping[str, Any]) -> None:
        def extend(params: dict[str, Any], **_: Any) -> None:
            params["body"] = json.dumps(json.loads(params["body"]) | members).encode()

        omics.meta.events.register(f"before-call.omics.{operation}", extend)

    return add


@pytest.mark.usefixtures("newer_botocore")
def test_an_unknown_member_is_refused_with_its_name(
    control: Control, start: Callable[..., Any], send: Callable[..., None]
) -> None:
    """A member that would have no effect gets an error that names it, and no run is started."""
    send("StartRun", {"novelty": {"a": 1}})
    code, status, message = error_of(start)
    assert (code, status) == ("NotSupportedOperationException", 501)
    assert message.startswith("novelty of StartRunRequest is not implemented")
    assert control.runs() == []


@pytest.mark.usefixtures("newer_botocore")
def test_an_unknown_member_of_inline_settings_is_refused(
    control: Control, start_batch: Callable[..., Any], send: Callable[..., None]
) -> None:
    """The error for settings in the request has the position of the setting."""
    setting = {"runSettingId": "a", "novelty": {}}
    send("StartRunBatch", {"batchRunSettings": {"inlineSettings": [setting]}})
    code, _, message = error_of(start_batch, "a")
    assert code == "NotSupportedOperationException"
    assert message.startswith("batchRunSettings.inlineSettings[0].novelty of StartRunBatchRequest")
    assert control.batches() == []


@pytest.mark.usefixtures("newer_botocore")
def test_an_unknown_member_of_settings_in_s3_fails_its_run(control: Control, omics: Any) -> None:
    """Settings in S3 are refused run by run, like other invalid settings."""
    settings = [{"runSettingId": "a", "novelty": {}}, {"runSettingId": "b"}]
    aws("s3").put_object(Bucket=BUCKET, Key="settings.json", Body=json.dumps(settings))
    batch_id = omics.start_run_batch(
        defaultRunSetting={
            "workflowId": "1234567",
            "roleArn": "arn:aws:iam::123456789012:role/omics",
            "outputUri": f"s3://{BUCKET}",
        },
        batchRunSettings={"s3UriSettings": f"s3://{BUCKET}/settings.json"},
    )["id"]
    control.advance_batch("INPROGRESS")
    runs = omics.list_runs_in_batch(batchId=batch_id)["runs"]
    assert [run["submissionStatus"] for run in runs] == ["FAILED", "SUCCESS"]
    assert runs[0]["submissionFailureMessage"].startswith("novelty of InlineSetting is not implemented")
