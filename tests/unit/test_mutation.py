# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""`make mutation` accepts exactly the surviving mutants that are listed with a reason."""

from __future__ import annotations

import importlib.util

import pytest

from dev import mutation
from dev.mutation import Mutant, function_of, listed, report

NAME = "airflow_healthomics.starting.decision.x_decide__mutmut_7"
MUTANT = Mutant(function_of(NAME), "if record is None:", "if record is not None:")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        (NAME, "airflow_healthomics.starting.decision.decide"),
        ("a.b.xǁKillGuardǁ_run__mutmut_12", "a.b.KillGuard._run"),
        ("a.b.x__may_pass__mutmut_1", "a.b._may_pass"),
    ],
)
def test_a_mutant_belongs_to_a_function(name: str, function: str) -> None:
    """The name from mutmut has it in a mangled form."""
    assert function_of(name) == function


@pytest.mark.parametrize(
    ("survivors", "reasons", "problems"),
    [
        pytest.param([], {}, 0, id="killed"),
        pytest.param([NAME], {}, 1, id="survived"),
        pytest.param([NAME], {MUTANT: "It behaves alike."}, 0, id="listed"),
        pytest.param([NAME], {MUTANT: ""}, 1, id="listed without a reason"),
        pytest.param([], {MUTANT: "It behaves alike."}, 1, id="listed and killed"),
    ],
)
def test_survivors_and_the_list_must_agree(
    monkeypatch: pytest.MonkeyPatch, survivors: list[str], reasons: dict[Mutant, str], problems: int
) -> None:
    """A survivor needs a reason, and a reason needs a survivor."""
    monkeypatch.setattr(mutation, "mutant_of", lambda name: MUTANT)
    monkeypatch.setattr(mutation, "listed", lambda: reasons)
    assert len(list(report(survivors, is_whole=True))) == problems


def test_a_run_of_a_part_does_not_judge_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of mutants that were not tested remain valid."""
    monkeypatch.setattr(mutation, "listed", lambda: {MUTANT: "It behaves alike."})
    assert list(report([], is_whole=False)) == []


def test_each_listed_mutant_has_a_reason_and_a_module() -> None:
    """The list stays readable between two runs of mutmut."""
    for mutant, reason in listed().items():
        assert reason.strip()
        assert importlib.util.find_spec(".".join(mutant.function.split(".")[:3]))
