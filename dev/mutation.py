# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Mutation tests of the starts, the waits and the resources: ``python -m dev.mutation [pattern ...]``.

mutmut changes one expression at a time and runs the tests that reach it. A mutant that no test kills must be
in ``tests/mutants.toml``, with the reason. Results stay in ``mutants/``: an interrupted run continues, and
tests only changed functions again. A pattern such as ``airflow_healthomics.starting.decision.*`` selects
mutants, which are always tested again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "mutants"
LIST: Final = ROOT / "tests" / "mutants.toml"

#: Exit codes of mutmut's workers: no test failed, and no test reaches the function.
_SURVIVED: Final = frozenset({0, 5, 33})

_MUTMUT: Final = (sys.executable, "-m", "mutmut")


class Mutant(NamedTuple):
    """
    A mutant, identified by its change, since mutmut's numbers move with each edit of a function.

    :param function: path of the mutated function
    :param before: the changed lines
    :param after: the same lines in the mutant
    """

    function: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return the entry for the list."""
        fields = "\n".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in self._asdict().items()
        )
        return f'[[mutant]]\n{fields}\nreason = ""\n'


def results() -> dict[str, int]:
    """Return the exit code of each tested mutant by mutmut's name."""
    found: dict[str, int] = {}
    for path in sorted((RESULTS / "airflow_healthomics").rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        found |= {name: code for name, code in codes.items() if code is not None}
    return found


def function_of(name: str) -> str:
    """
    Return the path of a mutant's function.

    :param name: mutmut's name, such as ``package.module.xǁClassǁmethod__mutmut_7``
    """
    module, _, mangled = name.rpartition(".")
    function = re.sub(r"__mutmut_\d+$", "", mangled)
    function = (
        function.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in function else function.removeprefix("x_")
    )
    return f"{module}.{function}"


def mutant_of(name: str) -> Mutant:
    """
    Return a mutant with its change.

    :param name: mutmut's name
    """
    shown = subprocess.run(
        [*_MUTMUT, "show", name], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ).stdout
    body = shown.partition("@@")[2].splitlines()[1:]

    def lines(sign: str) -> str:
        return " ".join(line[1:].strip() for line in body if line.startswith(sign))

    return Mutant(function_of(name), lines("-"), lines("+"))


def listed() -> dict[Mutant, str]:
    """Return the reason of each listed mutant."""
    entries = tomllib.loads(LIST.read_text()).get("mutant", [])
    return {Mutant(each["function"], each["before"], each["after"]): each["reason"] for each in entries}


def report(codes: dict[str, int], *, is_whole: bool) -> Iterator[str]:
    """
    Yield the survivors without a reason, and the entries of the list without a survivor.

    :param codes: exit code of each mutant by mutmut's name
    :param is_whole: whether these are all mutants; otherwise entries may belong to the others
    """
    reasons = listed()
    survivors = {mutant_of(name): name for name, code in codes.items() if code in _SURVIVED}
    for mutant, name in survivors.items():
        if not reasons.get(mutant):
            yield f"No test kills {name}, and {LIST.name} has no reason for it:\n\n{mutant}"
    for mutant in reasons:
        if is_whole and mutant not in survivors:
            yield f"{LIST.name} has a mutant that no longer exists or that a test kills:\n\n{mutant}"


def counts(codes: dict[str, int]) -> str:
    """
    Return the numbers of mutants by module.

    :param codes: exit code of each mutant by mutmut's name
    """
    tried = Counter(name.rpartition(".")[0] for name in codes)
    survived = Counter(name.rpartition(".")[0] for name, code in codes.items() if code in _SURVIVED)
    return "\n".join(
        f"{module}: {number} tried, {number - survived[module]} killed, {survived[module]} survived"
        for module, number in sorted(tried.items())
    )


def main(patterns: list[str]) -> int:
    """Test the mutants, and return the exit code of the process."""
    subprocess.run([*_MUTMUT, "run", "--max-children", "2", *patterns], check=True, cwd=ROOT)
    codes = {
        name: code
        for name, code in results().items()
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    print(counts(codes))
    problems = list(report(codes, is_whole=not patterns))
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
