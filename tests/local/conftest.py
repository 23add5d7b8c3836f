# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The local HealthOmics in both of its modes, and minimal requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from airflow_healthomics.api_model import extend_session
from airflow_healthomics.pytest_plugin import (  # noqa: F401 - fixtures are found by their names
    aws_environment,
    healthomics,
    healthomics_airflow,
    healthomics_options,
    healthomics_server,
)
from airflow_healthomics.testing import Control, HealthOmicsServer, mock_healthomics
from tests.speed import _work_once_per_process  # noqa: F401 - a fixture is found by its name

ROLE = "arn:aws:iam::123456789012:role/omics"
BUCKET = "outputs"
#: Shared, because loading the models is most of the cost of a client.
SESSION = boto3.Session()
extend_session(SESSION)


@pytest.fixture(autouse=True)
def _aws_environment(request: pytest.FixtureRequest) -> None:
    """Replace the machine's AWS variables by false ones."""
    request.getfixturevalue("aws_environment")


def aws(service: str, **more: Any) -> Any:
    """Make a client without retries."""
    return SESSION.client(service, config=Config(retries={"total_max_attempts": 1}), **more)


@pytest.fixture
def options() -> dict[str, Any]:
    """Options of the fixtures below; override it by parametrization."""
    return {}


@pytest.fixture(params=["in-process", "server"])
def control(
    request: pytest.FixtureRequest, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Control]:
    """The local HealthOmics in each of its two modes; runs move only when a test advances them."""
    settings = {"manual": True, "any_workflow": True, **options}
    if request.param == "in-process":
        with mock_healthomics(**settings) as local:
            yield local
    else:
        with HealthOmicsServer(**settings) as server:
            for name, value in server.environ.items():
                monkeypatch.setenv(name, value)
            yield Control(server.endpoint_url)


@pytest.fixture
def omics(control: Control) -> Any:
    """A HealthOmics client, and the bucket for its runs' outputs."""
    aws("s3").create_bucket(Bucket=BUCKET)
    return aws("omics")


@pytest.fixture
def start(omics: Any) -> Callable[..., dict[str, Any]]:
    """Start a run with a minimal request."""

    def start_run(**fields: Any) -> dict[str, Any]:
        defaults = {"roleArn": ROLE, "outputUri": f"s3://{BUCKET}/results"}
        if "runId" not in fields:
            defaults["workflowId"] = "1234567"
        run: dict[str, Any] = omics.start_run(**{**defaults, **fields})
        return run

    return start_run


@pytest.fixture
def start_batch(omics: Any) -> Callable[..., str]:
    """Start a batch with a minimal request, and return its id."""

    def start_run_batch(*settings: str | dict[str, Any], defaults: Any = None, **fields: Any) -> str:
        inline = [{"runSettingId": each} if isinstance(each, str) else each for each in settings]
        common = {"workflowId": "1234567", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}/results"}
        request = {
            "defaultRunSetting": {**common, **(defaults or {})},
            "batchRunSettings": {"inlineSettings": inline},
            **fields,
        }
        batch_id: str = omics.start_run_batch(**request)["id"]
        return batch_id

    return start_run_batch


def error_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, int, str]:
    """Return the code, HTTP status and message of the error that a call raises."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]
