# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A small reader of WDL: it finds gross mistakes, imports and workflow inputs, without a grammar.

It refuses a missing or unsupported version, unbalanced brackets and unterminated commands. It does not check
types, calls or expressions, so it accepts documents that the service refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: User guide, page "workflows-lang-versions".
VERSIONS = ("1.0", "1.1", "development")

_SKIPPED = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<command>\bcommand\s*(?:<<<|\{))
      | (?P<string>"(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*')""",
    re.VERBOSE,
)
_IMPORT = re.compile(r'^\s*import\s+(["\'])(?P<path>.+?)\1', re.MULTILINE)
_TYPE = r"[A-Z]\w*(?:\[(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*\])?[?+]*"
_DECLARATION = re.compile(rf"(?P<type>{_TYPE})\s+(?P<name>(?!then\b|else\b)[A-Za-z]\w*)\s*(?P<default>=)?")
_CLOSES = {")": "(", "]": "[", "}": "{"}


class WdlError(Exception):
    """The document is not WDL."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """
    An input of a workflow.

    It is optional if its type is nullable or if it has a default (user guide, page "parameter-templates").
    """

    name: str
    optional: bool
    description: str


def check_document(text: str) -> None:
    """
    Refuse a document with gross mistakes.

    :raises WdlError: with the mistake.
    """
    code = masked(text)
    # "Every WDL document must include a version statement" (user guide, page "workflows-lang-versions").
    statement = re.match(r"\s*version\s+(\S+)", code)
    if statement is None:
        raise WdlError("no version statement")
    if statement[1] not in VERSIONS:
        raise WdlError(f"version {statement[1]} is not one of {', '.join(VERSIONS)}")
    _check_brackets(code)


def imports_of(text: str) -> list[str]:
    """Return the imported paths, without those of the web."""
    found = (match["path"] for match in _IMPORT.finditer(text))
    return [path for path in found if "://" not in path]


def inputs_of(text: str) -> list[Input] | None:
    """Return the inputs of the document's workflow, or None if it has no workflow."""
    code = masked(text)
    workflow = re.search(r"\bworkflow\s+\w+\s*\{", code)
    if workflow is None:
        return None
    body = _block(code, workflow.end())
    inputs = _section(code, body, r"\binput\s*\{")
    meta = _section(code, body, r"\bparameter_meta\s*\{")
    return [
        Input(
            name=match["name"],
            optional=match["type"].endswith("?") or match["default"] is not None,
            description=_description(text, meta, match["name"]),
        )
        for match in _declarations(code, inputs)
    ]


def masked(text: str) -> str:
    """
    Replace comments, strings and commands by blanks of the same length.

    :raises WdlError: if a command does not end.
    """
    kept: list[str] = []
    position = 0
    while (match := _SKIPPED.search(text, position)) is not None:
        end = match.end()
        if match["command"]:
            end = _end_of_command(text, match.end(), heredoc=match["command"].endswith("<<<"))
        kept += text[position : match.start()], re.sub(r"\S", " ", text[match.start() : end])
        position = end
    return "".join([*kept, text[position:]])


def _end_of_command(text: str, start: int, *, heredoc: bool) -> int:
    if heredoc:
        end = text.find(">>>", start)
        if end < 0:
            raise WdlError("a command has no end")
        return end + 3
    depth = 1
    for bracket in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if bracket[0] == "{" else -1
        if depth == 0:
            return bracket.end()
    raise WdlError("a command has no end")


def _check_brackets(code: str) -> None:
    opened: list[str] = []
    for line, content in enumerate(code.splitlines(), 1):
        for bracket in re.findall(r"[\[\](){}]", content):
            if bracket not in _CLOSES:
                opened.append(bracket)
            elif not opened or opened.pop() != _CLOSES[bracket]:
                raise WdlError(f"line {line}: unexpected {bracket}")
    if opened:
        raise WdlError(f"{opened[-1]} is not closed")


def _block(code: str, start: int) -> range:
    """Return the positions of a block after its opening brace."""
    depth = 1
    for bracket in re.compile(r"[{}]").finditer(code, start):
        depth += 1 if bracket[0] == "{" else -1
        if depth == 0:
            return range(start, bracket.start())
    return range(start, len(code))


def _section(code: str, body: range, opening: str) -> range:
    """Return the positions of a section directly in a block; empty if there is none."""
    for match in re.compile(opening).finditer(code, body.start, body.stop):
        before = code[body.start : match.start()]
        if before.count("{") == before.count("}"):
            return _block(code, match.end())
    return range(0)


def _declarations(code: str, section: range) -> Iterator[re.Match[str]]:
    """Yield the declarations of a section, without what is in the brackets of a default."""
    for match in _DECLARATION.finditer(code, section.start, section.stop):
        before = code[section.start : match.start()]
        if all(before.count(opening) == before.count(closing) for closing, opening in _CLOSES.items()):
            yield match


def _description(text: str, meta: range, name: str) -> str:
    """Return the description of an input in parameter_meta: its text, or that of its key description."""
    section = text[meta.start : meta.stop]
    entry = rf'\b{name}\s*:\s*(?:\{{[^}}]*?\bdescription\s*:\s*)?"((?:\\.|[^"\\])*)"'
    match = re.search(entry, section)
    return match[1] if match else ""
