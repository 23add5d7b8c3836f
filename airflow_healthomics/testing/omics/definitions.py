# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Inspect the archive of a workflow: its engine, its main file, its parameters, and what makes it unusable.

AWS documents which definitions are refused, but except for an invalid archive not with which message.
"""

from __future__ import annotations

import base64
import io
import json
import posixpath
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_healthomics.testing.local import LOCAL

from .exceptions import error_of
from .s3_objects import stored_object
from .wdl import WdlError, check_document, imports_of, inputs_of

#: Engines by the suffix of their definition files.
ENGINES: Mapping[str, str] = {".wdl": "WDL", ".nf": "NEXTFLOW", ".cwl": "CWL"}
SUFFIXES: Mapping[str, str] = {
    **{engine: suffix for suffix, engine in ENGINES.items()},
    "WDL_LENIENT": ".wdl",
}
#: User guide, page "parameter-templates": beside the main file.
NEXTFLOW_SCHEMA = "nextflow_schema.json"
#: The model's limit of a description.
MAX_DESCRIPTION = 256

#: As reported in https://github.com/awslabs/mcp/pull/4485.
INVALID_ARCHIVE = "Invalid zip file"


class DefinitionError(Exception):
    """The definition is unusable: the workflow becomes FAILED with this text as statusMessage."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What an archive contains. With a problem, the workflow becomes FAILED."""

    archive: bytes | None = None
    engine: str | None = None
    main: str | None = None
    template: Mapping[str, Any] | None = None
    readme: str | None = None
    problem: str | None = None


def inspect(request: Mapping[str, Any], account: str, partition: str) -> Inspection:
    """
    Inspect the definition of a CreateWorkflow or CreateWorkflowVersion request.

    The content of a repository is unknown here, so it is never refused.

    :raises HealthOmicsError: if the definition cannot be read, and the options say so.
    """
    if "definitionRepository" in request:
        return Inspection()
    archive = _archive(request, account, partition)
    if not LOCAL.options.check_definitions:
        return Inspection(archive=archive)
    if archive is None:
        return _unreadable()
    found = Inspection(archive=archive)
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return _inspect_files(found, Files(opened), request)
    except zipfile.BadZipFile:
        return replace(found, problem=INVALID_ARCHIVE)
    except DefinitionError as error:
        return replace(found, problem=str(error))


class Files:
    """The files of an archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = {info.filename for info in archive.infolist() if not info.is_dir()}

    def with_suffix(self, suffix: str) -> list[str]:
        """Return the names of the definition files with a suffix. macOS adds files that are none."""
        names = (name for name in self.names if name.endswith(suffix) and "__MACOSX" not in name)
        return sorted(names)

    def text(self, name: str) -> str:
        """
        Return the text of a file.

        :raises DefinitionError: if it is not UTF-8.
        """
        try:
            return self._archive.read(name).decode()
        except UnicodeDecodeError:
            raise DefinitionError(f"{name} is not UTF-8") from None


def uris_of(archive: bytes) -> set[str]:
    """Return the S3 URIs that are literals in the WDL files of a valid archive, such as defaults."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = Files(opened)
        texts = [files.text(name) for name in files.with_suffix(".wdl")]
    return {uri for text in texts for uri in re.findall(r"""["'](s3://[^\s"'~$]+)["']""", text)}


def _archive(request: Mapping[str, Any], account: str, partition: str) -> bytes | None:
    if "definitionZip" in request:
        return base64.b64decode(request["definitionZip"])
    stored = stored_object(request["definitionUri"], account, partition)
    return None if stored is None else bytes(stored.value)


def _unreadable() -> Inspection:
    problem = "definitionUri cannot be read"
    if LOCAL.options.unreadable_definition != "FAILED":
        raise error_of(LOCAL.options.unreadable_definition, problem)
    return Inspection(problem=problem)


def _inspect_files(found: Inspection, files: Files, request: Mapping[str, Any]) -> Inspection:
    engine = request.get("engine") or _engine(files)
    main = _main(files, request.get("main"), SUFFIXES[engine])
    template: Mapping[str, Any] | None = None
    if engine in ("WDL", "WDL_LENIENT"):
        template = _inspect_wdl(files, main)
    elif engine == "NEXTFLOW":
        template = _nextflow_template(files, main)
    # API reference of CreateWorkflow: the README.md of the root directory.
    readme = files.text("README.md") if "README.md" in files.names else None
    return replace(found, engine=engine, main=main, template=template or None, readme=readme)


def _engine(files: Files) -> str:
    """
    Detect the engine.

    "Provide a value if you have workflow definition files from more than one engine in your zip file" (API
    reference of CreateWorkflow).
    """
    engines = [engine for suffix, engine in ENGINES.items() if files.with_suffix(suffix)]
    if not engines:
        raise DefinitionError("The archive has no workflow definition file (.wdl, .nf or .cwl)")
    if len(engines) > 1:
        raise DefinitionError(f"engine is required: the archive has files of {' and '.join(engines)}")
    return engines[0]


def _main(files: Files, main: str | None, suffix: str) -> str:
    """
    Return the path of the main file.

    "This parameter is not required if the ZIP archive contains only one workflow definition file, or if the
    main definition file is named 'main'" (API reference of CreateWorkflow).
    """
    if main is not None:
        if main not in files.names:
            raise DefinitionError("The main file is not in the archive")
        return main
    candidates = files.with_suffix(suffix)
    named = [name for name in candidates if posixpath.basename(name) == f"main{suffix}"]
    for chosen in (candidates, named):
        if len(chosen) == 1:
            return chosen[0]
    if not candidates:
        raise DefinitionError(f"The archive has no {suffix} file")
    raise DefinitionError(f"main is required: the archive has {len(candidates)} {suffix} files")


def _inspect_wdl(files: Files, main: str) -> Mapping[str, Any]:
    """
    Check the main document and its imports, and return the parameters of its workflow.

    "WDL linting is blocking: if the linter detects errors, the workflow does not transition to ACTIVE" (user
    guide, page "workflows-linter").
    """
    waiting, checked = [main], set[str]()
    while waiting:
        name = waiting.pop()
        checked.add(name)
        text = files.text(name)
        try:
            check_document(text)
        except WdlError as error:
            raise DefinitionError(f"{name}: {error}") from None
        for target in imports_of(text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            if path not in files.names:
                raise DefinitionError(f"{name}: the import {target} is not in the archive")
            if path not in checked:
                waiting.append(path)
    inputs = inputs_of(files.text(main))
    if inputs is None:
        raise DefinitionError(f"{main}: no workflow")
    return {
        each.name: {"description": each.description[:MAX_DESCRIPTION], "optional": each.optional}
        for each in inputs
    }


def _nextflow_template(files: Files, main: str) -> Mapping[str, Any] | None:
    """
    Return the parameters of a schema file, or None without a usable one.

    Nextflow findings never block (user guide, page "workflows-linter"). The service also reads the params
    of a main file without a schema; that is not simulated.
    """
    path = posixpath.join(posixpath.dirname(main), NEXTFLOW_SCHEMA)
    if path not in files.names:
        return None
    try:
        schema = json.loads(files.text(path))
    except ValueError:
        return None
    if not isinstance(schema, dict):
        return None
    # nf-core schemas have groups of parameters, since draft 2020-12 below "$defs".
    groups = [schema, *schema.get("definitions", {}).values(), *schema.get("$defs", {}).values()]
    return {
        name: {
            "description": str(entry.get("description", ""))[:MAX_DESCRIPTION],
            "optional": name not in group.get("required", ()),
        }
        for group in groups
        for name, entry in group.get("properties", {}).items()
    }
