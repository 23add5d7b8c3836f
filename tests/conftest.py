# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A separate Airflow for the tests, and no way to reach AWS.

The variables stand before any import of Airflow, which reads them once.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import shutil
import tempfile

for _name in list(os.environ):
    if _name.startswith(("AIRFLOW_", "AWS_")):
        del os.environ[_name]
_HOME = tempfile.mkdtemp(prefix="airflow-healthomics-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(b"a key for nothing but the tests.").decode(),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": os.path.join(_HOME, "logs"),
    "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws"}),
}

import pytest  # noqa: E402 - only after the variables


@pytest.fixture(autouse=True)
def _false_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every AWS variable and file by false credentials and a region."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.path.join(_HOME, "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.path.join(_HOME, "no-aws-credentials"))
