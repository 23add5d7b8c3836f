# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The inputs of a CWL workflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import copy_of

FILES = ("File", "Directory")


def inputs_of(tool: Any, parameters: Mapping[str, Any], objects: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the inputs of a workflow, with local copies of files and directories.

    :param objects: Local copies of the parameters' S3 objects, by URI.
    :raises RunError: if an object does not exist. The text has no value.
    """
    types = {each["name"]: each["type"] for each in tool.inputs_record_schema["fields"]}
    return {name: _local(name, value, types.get(name), objects) for name, value in parameters.items()}


def _local(name: str, value: Any, type_: Any, objects: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping) and value.get("class") in FILES:
        return _located(name, value, objects)
    if isinstance(value, str) and value.startswith("s3://") and (kind := _kind(type_)):
        return _located(name, {"class": kind, "location": value}, objects)
    if isinstance(value, Mapping):
        return {key: _local(name, each, None, objects) for key, each in value.items()}
    if isinstance(value, list):
        return [_local(name, each, type_, objects) for each in value]
    return value


def _located(name: str, value: Mapping[str, Any], objects: Mapping[str, str]) -> dict[str, Any]:
    """Return a file or directory with the location of its copy."""
    uri = str(value.get("location") or value.get("path") or "")
    located = {key: each for key, each in value.items() if key != "path"}
    located["location"] = Path(copy_of(uri, name, objects)).as_uri()
    for each in ("secondaryFiles", "listing"):
        if each in located:
            located[each] = [_located(name, file, objects) for file in located[each]]
    return located


def _kind(type_: Any) -> str | None:
    """Return whether an input is a file or a directory, or an array of them."""
    if isinstance(type_, str):
        found = [kind for kind in FILES if type_.endswith(kind)]
        return found[0] if found else None
    if isinstance(type_, Mapping):
        return _kind(type_.get("items"))
    if isinstance(type_, list):
        return next((kind for each in type_ if (kind := _kind(each))), None)
    return None
