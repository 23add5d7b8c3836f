# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Files that HealthOmics reads from S3: run settings of a batch, and parameters of a run."""

from __future__ import annotations

import json

from .exceptions import ValidationException
from .run import Run
from .run_rules import check_parameters
from .s3_objects import stored_object


def parameters_problem(run: Run, *, check_names: bool) -> str | None:
    """
    Return the problem with the parameters file of a run, or None. The text has no parameter value.

    AWS documents the failure reason INVALID_RUN_PARAMETERS, but not its messages.
    """
    uri = run.request.get("parametersUri")
    if uri is None:
        return None
    stored = stored_object(uri, run.account, run.partition)
    if stored is None:
        return "The parameters file cannot be read"
    try:
        parameters = json.loads(stored.value)
    except ValueError:
        return "The parameters file is not JSON"
    if not isinstance(parameters, dict):
        return "The parameters file must have a JSON object"
    try:
        if check_names:
            check_parameters(parameters, run.definition)
    except ValidationException as error:
        return str(error)
    return None
