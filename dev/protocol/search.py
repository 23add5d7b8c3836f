# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Breadth-first search of all states of a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

#: A bound, in case that a model has infinitely many.
MAX_STATES: Final = 200_000

State = TypeVar("State", bound=Hashable)


class Step(NamedTuple, Generic[State]):
    """
    A transition to another state.

    :param text: what happens, for the trace
    :param state: the state after it
    """

    text: str
    state: State


@dataclass
class Result(Generic[State]):
    """
    All states that can be reached, numbered in the order of the search.

    :param origins: for each state, the previous state on a shortest path and the text of the step
    :param successors: for each state, the states after it; none for one that breaks a property
    :param violations: broken property of each state that breaks one
    """

    states: list[State]
    origins: list[tuple[int, str] | None] = field(default_factory=lambda: [None])
    successors: list[list[int]] = field(default_factory=list)
    violations: dict[int, str] = field(default_factory=dict)

    def trace(self, number: int) -> list[str]:
        """Return the steps of a shortest path to a state."""
        texts = []
        while (origin := self.origins[number]) is not None:
            number, text = origin
            texts.append(text)
        return texts[::-1]

    def always_ends(self, is_end: Callable[[State], bool]) -> bool:
        """Whether every path is finite and leads to an end, or to a state that breaks a property."""
        left = [len(after) for after in self.successors]
        before: list[list[int]] = [[] for _ in self.states]
        for number, after in enumerate(self.successors):
            for each in after:
                before[each].append(number)
        # Take away states from which nothing is left to go to; those on a cycle would remain.
        bare = [number for number, count in enumerate(left) if count == 0]
        if not all(number in self.violations or is_end(self.states[number]) for number in bare):
            return False
        while bare:
            for number in before[bare.pop()]:
                left[number] -= 1
                if left[number] == 0:
                    bare.append(number)
        return not any(left)


def explore(
    start: State,
    steps: Callable[[State], Iterable[Step[State]]],
    violation: Callable[[State], str | None],
) -> Result[State]:
    """
    Visit every state once, the nearest first. States that break a property are not continued.

    :param start: the initial state
    :param steps: the possible steps in a state
    :param violation: the property that a state breaks, if any
    :raises RuntimeError: if there are more than :data:`MAX_STATES`
    """
    result = Result([start])
    numbers = {start: 0}
    # The list grows while it is read, and so is the queue of the search.
    for number, state in enumerate(result.states):
        successors: list[int] = []
        result.successors.append(successors)
        if broken := violation(state):
            result.violations[number] = broken
            continue
        for text, after in steps(state):
            reached = numbers.setdefault(after, len(numbers))
            successors.append(reached)
            if reached == len(result.states):
                result.states.append(after)
                result.origins.append((number, text))
        if len(numbers) > MAX_STATES:
            raise RuntimeError(f"more than {MAX_STATES} states")
    return result
