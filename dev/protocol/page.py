# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the page "The protocol, checked" that the model writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from dev.protocol.checks import PROPERTIES, Counterexample, Report, check
from dev.protocol.scenarios import GUARANTEES, SABOTAGES, SETTINGS, SHOWN

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "protocol.md"


def properties() -> Iterator[str]:
    """Return the properties in words."""
    for number, (name, text) in enumerate(PROPERTIES.items(), 1):
        yield f"{number}. **{name[0].upper()}{name[1:]}.** {text}"


def settings() -> Iterator[str]:
    """Return the states of each setting, and the smallest combinations of events that break a property."""
    for title, rules in SETTINGS.items():
        report = check(rules)
        yield f"### {title[0].upper()}{title[1:]}"
        yield ""
        yield f"{report.states:,} states. Every history ends: {_yes(report)}."
        yield ""
        rows = [(example.broken, " + ".join(example.events)) for example in report.counterexamples]
        yield from _table(("Broken property", "Events"), rows)
        yield ""


def guarantees() -> Iterator[str]:
    """Return the larger combinations of events, which break nothing."""
    rows = []
    for title, rules in GUARANTEES.items():
        report = check(rules)
        broken = ", ".join(example.broken for example in report.counterexamples) or "none"
        row = title, ", ".join(sorted(rules.events)), str(rules.max_events), f"{report.states:,}", broken
        rows.append(row)
    yield from _table(("Scenario", "Possible events", "At once", "States", "Broken properties"), rows)


def traces() -> Iterator[str]:
    """Return the counterexamples step by step."""
    for title, setting, events in SHOWN:
        example = find_example(check(SETTINGS[setting]), events)
        yield f"### {title}"
        yield ""
        yield f"Setting: {setting}. Events: {', '.join(example.events)}. Broken: {example.broken}."
        yield ""
        yield from (f"{number}. {step}." for number, step in enumerate(example.steps, 1))
        yield ""


def sabotages() -> Iterator[str]:
    """Return what breaks without each part of the protocol."""
    rows = (
        (part, example.broken, " + ".join(example.events), str(len(example.steps)))
        for part, rules in SABOTAGES.items()
        for example in check(rules).counterexamples
    )
    yield from _table(("Left out", "Broken property", "Events", "Steps"), rows)


def find_example(report: Report, events: Sequence[str]) -> Counterexample:
    """Return the counterexample with exactly these events."""
    return next(each for each in report.counterexamples if each.events == tuple(sorted(events)))


PARTS: Final = {
    "properties": properties,
    "guarantees": guarantees,
    "settings": settings,
    "traces": traces,
    "sabotages": sabotages,
}


def written(text: str) -> str:
    """
    Return the page with the parts written anew.

    :param text: the page; a part is between ``<!-- model: name -->`` and ``<!-- end -->``
    """
    for name, lines in PARTS.items():
        head, begin, rest = text.partition(f"<!-- model: {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        text = "".join((head, begin, "\n", "\n".join(lines()).strip(), "\n\n", end, tail))
    return text


def _yes(report: Report) -> str:
    return "yes" if report.always_ends else "no"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"
