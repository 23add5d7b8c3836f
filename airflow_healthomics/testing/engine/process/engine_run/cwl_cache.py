# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The outputs of CWL tasks in the run cache of HealthOmics.

cwltool has a cache, too (``RuntimeContext.cachedir``). It does not fit: its keys contain the paths of inputs,
which differ between runs if another task has made them; and expressions without their values, so that the
tasks of two samples share an entry if the sample is only in the name of ``stdout``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .cwl_inputs import FILES

#: Of the definition of a task. Others are the identifier, and what cwltool has already collected elsewhere.
NOT_IN_KEYS = ("id", "requirements", "hints")
CHUNK_BYTES = 2**20


class RunCache:
    """
    Finds the outputs of tasks in a run cache, and stores those of this run elsewhere.

    Whether they get into the run cache is decided at the end of the run. An entry has the paths of outputs,
    which stay in the directories of their tasks.

    :param found: Directory of the run cache.
    :param stored: Directory for the outputs of this run.
    :param definition: That of the workflow, which differs between runs.
    :param scratch: A directory beside that for the outputs.
    """

    def __init__(self, *, found: str, stored: str, definition: str, scratch: Path) -> None:
        self._found, self._stored, self._scratch = Path(found), Path(stored), scratch
        self._prefixes = (f"{Path(definition).as_uri()}/", f"{definition}/")

    def key(self, name: str, tool: Any, inputs: Mapping[str, Any]) -> str:
        """
        Return the key of a task.

        "HealthOmics considers a task to match the cache entry if the following are all identical": the task
        definition, its inputs "determined based on S3 ETags", and the ECR container. It "includes task name
        in the task hash calculation" (user guide, page "how-run-cache"). Here the content of files counts,
        and the container is one of the requirements.

        :param name: Of the step.
        :param inputs: With defaults and secondary files.
        """
        definition = {part: each for part, each in tool.tool.items() if part not in NOT_IN_KEYS}
        parts = [name, definition, tool.original_requirements, tool.original_hints, inputs]
        text = json.dumps(self._portable(parts), sort_keys=True)
        for stream in ("stdout", "stderr"):
            # Without a name in the definition, cwltool derives one from it, including its path.
            if re.fullmatch("[0-9a-f]{40}", name := str(tool.tool.get(stream))):
                text = text.replace(name, stream)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the outputs of a task, or None."""
        try:
            outputs: dict[str, Any] = json.loads((self._found / key).read_text())
        except FileNotFoundError:
            return None
        return outputs

    def put(self, key: str, outputs: Mapping[str, Any]) -> None:
        """Store the outputs of a task. The run cache may be saved meanwhile, without half an entry."""
        written = self._scratch / key
        written.write_text(json.dumps(outputs))
        os.replace(written, self._stored / key)

    def _portable(self, value: Any) -> Any:
        """Return a part of a key without what differs between runs, and with the content of files."""
        if isinstance(value, str):
            # Identifiers have the names of the files and steps around the task.
            return value.rpartition("/")[2] if value.startswith(self._prefixes) else value
        if isinstance(value, Mapping) and value.get("class") in FILES:
            return self._file(value)
        if isinstance(value, Mapping):
            return {name: self._portable(each) for name, each in value.items()}
        if isinstance(value, Sequence):
            return [self._portable(each) for each in value]
        return value

    def _file(self, value: Mapping[str, Any]) -> dict[str, Any]:
        location = str(value.get("location") or value.get("path") or "")
        path = Path(unquote(location.removeprefix("file://")))
        exists = path.is_absolute() and path.exists()
        return {
            "class": value["class"],
            "name": value.get("basename") or path.name,
            "content": dict(_digests(path)) if exists else value.get("contents"),
            **{name: self._portable(value.get(name) or []) for name in ("listing", "secondaryFiles")},
        }


def _digests(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the digest of a file, or those of all files of a directory by their relative paths."""
    if path.is_file():
        yield "", _digest(path)
    for parent, _, names in os.walk(path, followlinks=True):
        for name in names:
            file = Path(parent, name)
            yield str(file.relative_to(path)), _digest(file)


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
