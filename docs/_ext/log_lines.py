# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The log lines of level WARNING and above that a user can meet: their text from the code, the rest from a file.

``docs/how-to/log-lines.toml`` has cause and next step of each, by module and function. Both sides must agree:
a line without an entry is a warning of the build, and so is an entry without a line.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_healthomics"
EXPLANATIONS = ROOT / "docs" / "how-to" / "log-lines.toml"

_LEVELS = frozenset({"warning", "error", "exception"})
#: What passes a line on to a log that the caller has chosen, such as ``log.warning``.
_PASSED_ON = frozenset({"_on_error", "_say"})


@dataclass(frozen=True)
class LogLine:
    """
    A line that the package may log.

    :param where: module and function, such as ``hooks.base.connection_defaults``
    :param text: with ``...`` for each value
    """

    where: str
    text: str


def find_log_lines() -> list[LogLine]:
    """Return the lines that the code may log, in its order."""
    lines = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if "testing" not in parts:
            lines += list(_lines_of(ast.parse(path.read_text()), ".".join(parts)))
    return lines


def read_explanations() -> list[dict[str, str]]:
    """Return cause and next step of each line."""
    entries: list[dict[str, str]] = tomllib.loads(EXPLANATIONS.read_text())["line"]
    return entries


def problems() -> Iterator[str]:
    """Yield what the code and the explanations disagree about."""
    lines, entries = find_log_lines(), read_explanations()
    for where in sorted({line.where for line in lines} | {entry["where"] for entry in entries}):
        logged = [line.text for line in lines if line.where == where]
        explained = sum(entry["where"] == where for entry in entries)
        if len(logged) != explained:
            yield f"{where} logs {logged}, and {EXPLANATIONS.name} has {explained} entries for it"


def _lines_of(tree: ast.Module, module: str) -> Iterator[LogLine]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
            for call in sorted(calls, key=lambda call: call.lineno):
                if text := _logged(call):
                    yield LogLine(f"{module}.{function.name}", re.sub(r"%[sdf]", "…", text))


def _logged(call: ast.Call) -> str | None:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else ""
    is_handed = any(isinstance(each, ast.Attribute) and each.attr in _LEVELS for each in call.args)
    if name not in _LEVELS | _PASSED_ON and not is_handed:
        return None
    texts = [
        each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return max(texts, key=len) if texts and max(texts, key=len) != "%s" else None


class LogLines(SphinxDirective):
    """The lines of a topic, as a list of definitions."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parsed list."""
        self.env.note_dependency(str(EXPLANATIONS))
        texts: dict[str, list[str]] = {}
        for line in find_log_lines():
            texts.setdefault(line.where, []).append(line.text)
        source: list[str] = []
        for entry in read_explanations():
            text = texts.get(entry["where"], [""]).pop(0) if texts.get(entry["where"]) else ""
            if entry["topic"] == self.arguments[0]:
                source += [f"`{text}`", f": {entry['cause']} {entry['next']}", ""]
        container = nodes.container()
        self.state.nested_parse(StringList(source, source=str(EXPLANATIONS)), self.content_offset, container)
        warnings = [self.state.document.reporter.warning(each, line=self.lineno) for each in problems()]
        return [*container.children, *warnings]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("log-lines", LogLines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
