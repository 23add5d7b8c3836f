# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The WDL document of a run, and the run's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import WDL

from .errors import RunError, copy_of


def load(main: str, *, strict: bool) -> Any:
    """
    Return the document of a main file.

    :param strict: Check the quantifiers of types, too.
    :raises RunError: if it is no valid WDL, or imports from the web.
    """
    try:
        document = WDL.load(main, read_source=_read_source, check_quant=strict)
    except WDL.Error.MultipleValidationErrors as error:
        raise RunError("WORKFLOW_RUN_FAILED", "; ".join(map(str, error.exceptions))) from None
    except (WDL.Error.ValidationError, WDL.Error.SyntaxError, WDL.Error.ImportError) as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise RunError("WORKFLOW_RUN_FAILED", f"{error}{cause}") from None
    if document.workflow is None:
        raise RunError("WORKFLOW_RUN_FAILED", "The main file has no workflow")
    return document


async def _read_source(uri: str, path: list[str], importer: Any) -> Any:
    if "://" in uri:
        raise FileNotFoundError("imports from the web are not supported here")
    return await WDL.read_source_default(uri, path, importer)


def tasks_of(document: Any) -> Iterator[tuple[str, str]]:
    """Yield the first part of the cache key, and the name, of each task."""
    for task in document.tasks:
        yield f"{task.name}/{task.digest}", task.name
    for imported in document.imports:
        yield from tasks_of(imported.doc)


def inputs_of(workflow: Any, parameters: Mapping[str, Any], objects: Mapping[str, str]) -> Any:
    """
    Return the inputs of a workflow.

    :param objects: Local copies of the parameters' S3 objects, by URI.
    :raises RunError: if a parameter does not fit, or its object does not exist. The text has no value.
    """
    inputs: WDL.Env.Bindings[Any] = WDL.Env.Bindings()
    for name, value in parameters.items():
        try:
            parsed = WDL.values_from_json({name: value}, workflow.available_inputs)
        except WDL.Error.InputError:
            message = f"The parameter {name} is no input of the workflow, or does not fit its type"
            raise RunError("WORKFLOW_RUN_FAILED", message) from None
        for binding in parsed:
            inputs = inputs.bind(binding.name, _local(name, binding.value, objects))
    for binding in workflow.available_inputs:
        if not inputs.has_binding(binding.name) and (default := _default(binding.value)) is not None:
            inputs = inputs.bind(binding.name, _local(binding.name, default, objects))
    if missing := sorted(binding.name for binding in workflow.required_inputs.subtract(inputs)):
        raise RunError("WORKFLOW_RUN_FAILED", f"The parameters lack {', '.join(missing)}")
    return inputs


def _default(declaration: Any) -> Any:
    """Return the default of an input if it has files in S3, which miniwdl itself would download."""
    literal = declaration.expr.literal if declaration.expr else None
    if literal is None or "s3://" not in str(literal):
        return None
    try:
        return literal.coerce(declaration.type)
    except WDL.Error.RuntimeError:
        return None


def _local(name: str, value: Any, objects: Mapping[str, str]) -> Any:
    """Return a value with local copies of its files and directories."""
    return WDL.Value.rewrite_paths(value, lambda file: copy_of(file.value, name, objects))
