# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""No test makes assertions where a failure would be lost: in a thread or task whose result is not awaited."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

#: Calls that run a callable elsewhere: name, and position or keyword of the callable.
THREADS = {"Thread": (None, "target"), "Timer": (1, "function")}
TASKS = ("create_task", "ensure_future")


def lost_checks(source: str) -> list[int]:
    """
    Return the lines of assertions and ``pytest.fail`` whose failure no test would see.

    :param source: of a test module
    """
    tree = ast.parse(source)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)}
    return sorted({line for root in _background(tree, functions) for line in _checks(root)})


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _background(tree: ast.AST, functions: Mapping[str, ast.AST]) -> Iterator[ast.AST]:
    """Yield what runs in a thread, in a task that is dropped, or in place of a method after a kill."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in THREADS:
            position, keyword = THREADS[_name(node.func)]
            values = [each.value for each in node.keywords if each.arg == keyword]
            if position is not None:
                values += node.args[position : position + 1]
            yield from (_target(value, functions) for value in values)
        # A task with a name can be awaited; one that is only an expression cannot.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if _name(call.func) in TASKS and call.args:
                yield _target(call.args[0], functions)
        if isinstance(node, _FUNCTIONS) and any(
            isinstance(each, ast.Call) and _name(each.func) in ("on_kill", "end_by_a_person")
            for each in ast.walk(node)
        ):
            # A kill works in a thread, so a fake that it calls cannot fail the test.
            yield from (each for each in ast.walk(node) if isinstance(each, ast.Lambda))


def _target(value: ast.expr, functions: Mapping[str, ast.AST]) -> ast.AST:
    name = _name(value.func) if isinstance(value, ast.Call) else _name(value)
    return functions.get(name, value)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _checks(root: ast.AST) -> Iterator[int]:
    for node in ast.walk(root):
        if isinstance(node, ast.Assert) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.fail"
        ):
            yield node.lineno


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_failure_is_lost(path: Path) -> None:
    """A fake records its call, and the test checks the record."""
    lines = lost_checks(path.read_text())
    assert not lines, f"{path}: nobody would see the failure of lines {lines}"


@pytest.mark.parametrize(
    "source",
    [
        "def work():\n    assert x\nThread(target=work).start()",
        "def work():\n    pytest.fail()\nthreading.Timer(1, work).start()",
        "async def work():\n    assert x\nasync def test():\n    asyncio.create_task(work())",
        "def test(task):\n    task.get = lambda: pytest.fail()\n    task.on_kill()",
    ],
)
def test_a_lost_check_is_found(source: str) -> None:
    """In a thread, a timer, a dropped task, and a fake that a kill calls."""
    assert lost_checks(source)


@pytest.mark.parametrize(
    "source",
    [
        "def work():\n    return 1\nThread(target=work).start()\nassert x",
        "async def work():\n    assert x\nasync def test():\n    await asyncio.create_task(work())",
    ],
)
def test_a_check_whose_failure_is_seen_is_allowed(source: str) -> None:
    """In the test itself, and in an awaited task."""
    assert not lost_checks(source)
