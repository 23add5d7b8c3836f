# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Files that HealthOmics reads from S3: run settings of a batch, and parameters of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .exceptions import ValidationException
from .run import Run
from .run_rules import check_parameters
from .s3_objects import exists, region_of_bucket, stored_object, uris_in


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


def parameters_of(run: Run) -> Mapping[str, Any]:
    """Return the parameters of a run without a problem, from its request or its parameters file."""
    parameters: Mapping[str, Any] | None = run.request.get("parameters")
    if parameters is None and "parametersUri" in run.request:
        parameters = json.loads(stored_object(run.request["parametersUri"], run.account, run.partition).value)
    return parameters or {}


def missing_input(run: Run) -> str | None:
    """
    Return the name of a parameter with an S3 URI of no object, or None.

    A URI that ends with a slash is a prefix; globs of Nextflow are not resolved (user guide, page
    "workflows-run-inputs"). Every S3 URI counts as an input, also one that the workflow only writes to.
    """
    for name, value in parameters_of(run).items():
        for uri in uris_in(value):
            if "*" not in uri and not exists(uri, run.account, run.partition):
                return str(name)
    return None


def unusable_input(run: Run, failure: Callable[[str], str | None]) -> tuple[str, str] | None:
    """
    Return the failureReason and statusMessage of a run with an unusable reference or read set, or None.

    :param failure: Returns the failureReason of a run with a URI, or None if it can be used.
    """
    for name, value in parameters_of(run).items():
        for uri in uris_in(value, ("omics://", "s3://")):
            if reason := failure(uri):
                return reason, f"A reference or read set in the parameter {name} cannot be used"
    return None


def check_output_region(request: Mapping[str, Any], region: str, account: str, partition: str) -> None:
    """
    Refuse an output bucket of another region.

    "The S3 bucket must be in the same region as the workflow" (API reference of StartRun). In networking mode
    VPC, runs can write to other regions (user guide, page "workflows-vpc-networking").
    """
    if request.get("networkingMode") == "VPC":
        return
    home = region_of_bucket(request["outputUri"], account, partition)
    if home not in (None, region):
        raise ValidationException(f"the bucket of outputUri is in {home}, not in {region}")
