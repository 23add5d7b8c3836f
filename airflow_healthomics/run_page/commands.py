# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The command of the AWS CLI that starts a run like another one, without its parameters. Pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

#: Options of ``aws omics start-run`` by their field of GetRun. The others may have users' data.
_OPTIONS: Final = {
    "workflowId": "workflow-id",
    "workflowType": "workflow-type",
    "workflowOwnerId": "workflow-owner-id",
    "workflowVersionName": "workflow-version-name",
    "name": "name",
    "outputUri": "output-uri",
    "runGroupId": "run-group-id",
    "priority": "priority",
    "cacheId": "cache-id",
    "cacheBehavior": "cache-behavior",
    "storageType": "storage-type",
    "retentionMode": "retention-mode",
    "logLevel": "log-level",
}


def start_run_command(run: Mapping[str, Any], region: str) -> str:
    """
    Return the command that starts a run with the settings of another one.

    The role and the parameters are placeholders.

    :param run: answer of GetRun
    :param region: region of the run
    """
    options = {option: run[field] for field, option in _OPTIONS.items() if run.get(field) is not None}
    if run.get("storageType") == "STATIC" and "storageCapacity" in run:
        # With DYNAMIC, GetRun has the storage that the run used.
        options["storage-capacity"] = run["storageCapacity"]
    arguments = [f"--{option} {shlex.quote(str(value))}" for option, value in options.items()]
    if "parametersUri" in run:
        arguments.append('--parameters-uri "$PARAMETERS_URI"')
    else:
        arguments.append("--parameters file://parameters.json")
    arguments += ['--role-arn "$ROLE_ARN"', f"--region {shlex.quote(region)}"]
    return " \\\n  ".join(["aws omics start-run", *arguments])
