# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The line of the log that describes a request."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.requests.description import describe_start


@pytest.mark.parametrize(
    ("request_fields", "text"),
    [
        (
            {
                "workflowId": "1234567",
                "workflowVersionName": "1.2",
                "storageType": "STATIC",
                "storageCapacity": 1200,
                "outputUri": "s3://outputs/results",
                "parameters": {"sample": "secret"},
                "name": "secret",
            },
            "a run of workflow 1234567, version 1.2, STATIC storage of 1,200 GiB, outputs below "
            "s3://outputs/results",
        ),
        ({"runId": "7654321", "name": "secret"}, "a duplicate of run 7654321"),
        (
            {
                "batchRunSettings": {"inlineSettings": [{"runSettingId": "secret"}]},
                "defaultRunSetting": {"workflowId": "1234567", "storageType": "DYNAMIC", "name": "secret"},
            },
            "a batch of runs of workflow 1234567, DYNAMIC storage",
        ),
    ],
)
def test_a_start_is_described(request_fields: dict[str, Any], text: str) -> None:
    """It omits parameters, names and run settings, which may identify patients."""
    assert describe_start(request_fields) == text
