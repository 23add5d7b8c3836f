# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The error of a run before its tasks, and the local copies of its inputs."""

from __future__ import annotations

from collections.abc import Mapping


class RunError(Exception):
    """
    The run fails before any task.

    :param reason: As in HealthOmics.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def copy_of(uri: str, parameter: str, objects: Mapping[str, str]) -> str:
    """
    Return the local copy of an object.

    :param parameter: That has its URI.
    :param objects: Local copies by URI.
    :raises RunError: if it is no URI in S3, or not that of an object. The text does not have it.
    """
    if not uri.startswith("s3://"):
        raise RunError("INVALID_URI_INPUT", f"The parameter {parameter} must be an S3 URI")
    if (found := objects.get(uri.rstrip("/"))) is None:
        raise RunError("INPUT_URI_NOT_FOUND", f"An object in the parameter {parameter} does not exist")
    return found
