# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Mutation tests of the starts, the waits and the resources: ``python -m dev.mutation [pattern ...]``.

mutmut changes one expression at a time, and the tests that reach it run. A mutant that no test kills must be
in ``tests/mutants.toml``, with the reason. Verdicts stay in ``mutants/``: an interrupted run continues, and a
mutant is tested again if its function has changed or no test killed it. A pattern such as
``airflow_healthomics.starting.decision.*`` selects mutants.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import chdir
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "mutants"
LIST: Final = ROOT / "tests" / "mutants.toml"
REACH: Final = RESULTS / "reach.json"
KILLED: Final = RESULTS / "killed.txt"

#: Tests of the package's folders. The others compare texts of the repository.
_TESTS: Final = tuple(sorted(f"tests/unit/{path.name}" for path in (ROOT / "tests" / "unit").glob("[a-z]*/")))
_PYTEST: Final = (
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-p",
    "dev.mutation_session",
    "-p",
    "no:cacheprovider",
)
_PROCESSES: Final = os.cpu_count() or 1


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
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with chdir(ROOT):
        body = get_diff_for_mutant(name).partition("@@")[2].splitlines()[1:]

    def lines(sign: str) -> str:
        return " ".join(line[1:].strip() for line in body if line.startswith(sign))

    return Mutant(function_of(name), lines("-"), lines("+"))


def generate() -> list[str]:
    """Write the mutants of the present code, and return each one's name and hash of its function."""
    from mutmut import __main__ as mutmut
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.utils import file_utils

    with chdir(ROOT):
        for folder in ("airflow_healthomics", "tests"):
            # Otherwise, files that no longer exist remain.
            shutil.rmtree(RESULTS / folder, ignore_errors=True)
        file_utils.copy_src_dir()
        file_utils.copy_also_copy_files()
        mutmut.create_mutants(_PROCESSES)
        mutants = []
        for path in file_utils.walk_mutatable_files():
            data = SourceFileMutationData(path=path)
            data.load()
            for name in data.exit_code_by_key:
                function = name.rpartition(".")[2].rpartition("__mutmut_")[0]
                mutants.append(f"{name}@{data.hash_by_function_name[function]}")
    return mutants


def run_tests(*options: str) -> subprocess.Popen[bytes]:
    """
    Start pytest on the copy with the mutants.

    :param options: options and paths
    """
    environment = os.environ | {"PYTHONPATH": str(RESULTS)}
    return subprocess.Popen([*_PYTEST, *options], cwd=RESULTS, env=environment)


def measure_reach() -> None:
    """Record which tests reach which function: all tests, or those of the changed files if that suffices."""
    paths: Iterable[str] = _TESTS
    if REACH.exists():
        folders = ("airflow_healthomics", "tests/unit")
        files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
        changed = [file.relative_to(ROOT) for file in files if file.stat().st_mtime > REACH.stat().st_mtime]
        if not changed:
            return
        if all(file.name.startswith("test_") for file in changed):
            paths = map(str, changed)
        else:
            REACH.unlink()
    if run_tests("-n", str(_PROCESSES), "--reach", str(REACH), *paths).wait() != 0:
        raise SystemExit("The tests fail without a mutant")


def judge(mutants: Iterable[str]) -> None:
    """
    Test mutants in a process for each core.

    :param mutants: names and hashes, as :func:`generate` returns them
    """
    ordered = sorted(mutants)
    processes = []
    for number in range(_PROCESSES):
        part = RESULTS / f"mutants-{number}.txt"
        part.write_text("\n".join(ordered[number::_PROCESSES]))
        processes.append(run_tests("--mutants", str(part), "--killed", str(KILLED), *_TESTS))
    if any([process.wait() for process in processes]):
        raise SystemExit("The mutants were not tested to the end")


def killed() -> set[str]:
    """Return the killed mutants of this run and of earlier ones."""
    return set(KILLED.read_text().split()) if KILLED.exists() else set()


def listed() -> dict[Mutant, str]:
    """Return the reason of each listed mutant."""
    entries = tomllib.loads(LIST.read_text()).get("mutant", [])
    return {Mutant(each["function"], each["before"], each["after"]): each["reason"] for each in entries}


def report(survivors: Iterable[str], *, is_whole: bool) -> Iterator[str]:
    """
    Yield the survivors without a reason, and the entries of the list without a survivor.

    :param survivors: mutmut's names
    :param is_whole: whether all mutants were tested; otherwise entries may belong to the others
    """
    reasons = listed()
    names = {mutant_of(name): name for name in survivors}
    for mutant, name in names.items():
        if not reasons.get(mutant):
            yield f"No test kills {name}, and {LIST.name} has no reason for it:\n\n{mutant}"
    for mutant in reasons:
        if is_whole and mutant not in names:
            yield f"{LIST.name} has a mutant that no longer exists or that a test kills:\n\n{mutant}"


def counts(names: Iterable[str], survivors: Iterable[str]) -> str:
    """
    Return the numbers of mutants by module.

    :param names: mutmut's names of all that were tested
    :param survivors: those that no test killed
    """
    tried = Counter(name.rpartition(".")[0] for name in names)
    survived = Counter(name.rpartition(".")[0] for name in survivors)
    return "\n".join(
        f"{module}: {number} tried, {number - survived[module]} killed, {survived[module]} survived"
        for module, number in sorted(tried.items())
    )


def main(patterns: list[str]) -> int:
    """Test the mutants, and return the exit code of the process."""
    mutants = {mutant: mutant.partition("@")[0] for mutant in generate()}
    if patterns:
        mutants = {
            mutant: name
            for mutant, name in mutants.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        }
    measure_reach()
    judge(mutants.keys() - killed())
    survivors = [mutants[each] for each in sorted(mutants.keys() - killed())]
    print(counts(mutants.values(), survivors))
    problems = list(report(survivors, is_whole=not patterns))
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
