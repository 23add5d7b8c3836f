# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The model of the protocol: its page, its parts, and the modelled code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dev.protocol.checks import PROPERTIES, check
from dev.protocol.page import PAGE, PARTS, written
from dev.protocol.scenarios import SABOTAGES
from dev.protocol.search import Step, explore
from dev.protocol.worker import STEPS
from dev.protocol.world import EVENTS, Event, Part, Rules
from tests.unit.test_documentation import ROOT

REFERENCE = re.compile(r":(?:class|data|func|meth):`(airflow_healthomics\.[\w.]+)`")


# --- the page ---


def test_the_page_is_that_of_the_model() -> None:
    """All numbers, properties and counterexamples; ``python -m dev.protocol`` updates them."""
    assert written(PAGE.read_text()) == PAGE.read_text()


def test_the_guarantees_on_the_page_hold() -> None:
    """No scenario under "What holds" breaks a property, and every history ends."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| with.*\|$", part_of(text, "guarantees"), flags=re.MULTILINE)
    assert rows
    assert all(row.endswith("| none |") for row in rows)
    assert text.count("Every history ends: yes.") == 4
    assert "Every history ends: no." not in text


def test_the_page_explains_every_event() -> None:
    """The table has each event of the model, and no other."""
    table = PAGE.read_text().partition("| Event | Meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    names = [name for row in table.splitlines() for name in row.split("|")[1].strip().split(", ")]
    assert sorted(names) == sorted(EVENTS)


def part_of(text: str, name: str) -> str:
    assert name in PARTS
    return text.partition(f"<!-- model: {name} -->")[2].partition("<!-- end -->")[0]


# --- the parts of the protocol ---


@pytest.mark.parametrize("part", SABOTAGES)
def test_every_part_is_needed(part: str) -> None:
    """Without it the same events break a property, and with it they do not."""
    rules = SABOTAGES[part]
    assert rules.without == {part}
    assert check(rules).counterexamples
    assert not check(replace(rules, without=frozenset())).counterexamples


def test_every_part_can_be_left_out() -> None:
    """Each part has a counterexample."""
    assert set(SABOTAGES) == {value for name, value in vars(Part).items() if name.isupper()}


def test_a_history_without_events_is_short() -> None:
    """One attempt, one run, one success."""
    report = check(Rules(events=frozenset()))
    assert report.counterexamples == ()
    assert report.always_ends
    assert report.states < 20


@pytest.mark.parametrize("broken", sorted(PROPERTIES.keys() - {"always ends", "own cancellation"}))
def test_every_property_can_break(broken: str) -> None:
    """A property that no scenario breaks might be unable to fail."""
    examples = [example.broken for rules in SABOTAGES.values() for example in check(rules).counterexamples]
    assert broken in examples


def test_a_cancellation_of_another_task_breaks_a_property() -> None:
    """The guard of a killed task would cancel another run that got the id of its run."""
    events = frozenset({Event.REMOVAL, Event.REUSE, Event.KILL})
    report = check(Rules(events=events, without=frozenset({Part.UUID})))
    assert "own cancellation" in [example.broken for example in report.counterexamples]


# --- the search ---


@pytest.mark.parametrize(
    ("graph", "ends"),
    [
        ({0: [1, 2], 1: [2], 2: []}, True),
        ({0: [1, 2], 1: [0], 2: []}, False),
        ({0: [0, 2], 2: []}, False),
        ({0: [1, 2], 1: [], 2: []}, False),
        ({0: [3, 2], 2: []}, True),
    ],
    ids=["finite", "cycle", "loop", "dead-end", "violation"],
)
def test_the_search_sees_histories_that_never_end(graph: dict[int, list[int]], ends: bool) -> None:
    """State 2 is the only end, and state 3 breaks a property."""

    def steps(state: int) -> Iterator[Step[int]]:
        return (Step(f"to {after}", after) for after in graph[state])

    result = explore(0, steps, lambda state: "three" if state == 3 else None)
    assert result.always_ends(lambda state: state == 2) is ends


def test_the_search_finds_a_shortest_trace() -> None:
    """It is not the first one in depth-first order."""

    def steps(state: int) -> Iterator[Step[int]]:
        return (Step(f"+{more}", state + more) for more in (1, 2, 3) if state + more <= 6)

    result = explore(0, steps, lambda state: "six" if state == 6 else None)
    assert result.trace(result.states.index(6)) == ["+3", "+3"]


# --- the code ---


def test_every_step_names_the_function_that_it_models() -> None:
    """The docstring of a step refers to the real code."""
    assert all(REFERENCE.search(step.__doc__ or "") for step in STEPS.values())


def references() -> set[str]:
    return {
        name
        for path in (ROOT / "dev" / "protocol").glob("*.py")
        for name in REFERENCE.findall(path.read_text())
    }


@pytest.mark.parametrize("name", sorted(references()))
def test_the_modelled_code_exists(name: str) -> None:
    """By the name in the model, in the source: some modules import only on newer versions of Airflow."""
    parts = name.split(".")
    path, depth = next(
        (path, depth)
        for depth in range(len(parts) - 1, 0, -1)
        if (path := Path(ROOT, *parts[:depth]).with_suffix(".py")).exists()
    )
    node: ast.AST = ast.parse(path.read_text())
    for part in parts[depth:]:
        node = next(each for each in ast.iter_child_nodes(node) if part in names_of(each))


def names_of(node: ast.AST) -> list[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
