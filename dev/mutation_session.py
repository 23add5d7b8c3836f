# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Pytest plugin of the mutation tests: which tests reach which function, and which mutants they kill.

Tests are collected once. Each mutant is then tested in a fork of this process, so that it costs the time of
its tests and no start of Airflow.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

_FUNCTIONS: Final = "mutated functions"

#: Seconds of tests for each mutant. One that outlives them counts as a survivor.
_BUDGET: Final = 20.0

#: Limits in seconds of a mutant's process, as a multiple of the tests' usual seconds, and in addition.
_PATIENCE: Final = 3
_GRACE: Final = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two tasks of this plugin."""
    parser.addoption("--reach", help="write the tests that reach each mutated function to this file")
    parser.addoption("--mutants", help="file with the mutants to test, beside reach.json")
    parser.addoption("--killed", help="append the killed mutants to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Begin one of the tasks."""
    if config.getoption("--reach") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reach(Path(config.getoption("--reach"))))
    if config.getoption("--mutants"):
        config.pluginmanager.register(
            Judge(Path(config.getoption("--mutants")), Path(config.getoption("--killed")))
        )
    elif "MUTANT_UNDER_TEST" not in os.environ:
        set_mutant_under_test("stats")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Add the functions that a test has called to its report, which reaches the main process."""
    item.user_properties.append((_FUNCTIONS, sorted(state()._stats)))
    state()._stats.clear()


class Reach:
    """
    Records which tests reach which mutated function, and their seconds.

    :param path: result, a JSON file; an earlier one is updated
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        known = json.loads(path.read_text()) if path.exists() else {"tests": {}, "seconds": {}}
        self._tests: defaultdict[str, list[str]] = defaultdict(list, known["tests"])
        self._seconds: defaultdict[str, float] = defaultdict(float, known["seconds"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Account for a phase of a test."""
        earlier = self._seconds.get(report.nodeid, 0.0) if report.when != "setup" else 0.0
        self._seconds[report.nodeid] = earlier + report.duration
        if report.when == "teardown":
            functions: Any = dict(report.user_properties)[_FUNCTIONS]
            for function in functions:
                if report.nodeid not in self._tests[function]:
                    self._tests[function].append(report.nodeid)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the result, unless a test failed: then it may not have reached all of its functions."""
        if exitstatus != 0:
            return
        self._path.write_text(json.dumps({"tests": self._tests, "seconds": self._seconds}, indent=0))


class Judge:
    """
    Tests mutants, each in a fork.

    :param mutants: file with the name of a mutant, ``@`` and a hash in each line
    :param killed: result, lines of this file
    """

    def __init__(self, mutants: Path, killed: Path) -> None:
        self._mutants = mutants.read_text().split()
        self._killed = killed
        reach = json.loads((mutants.parent / "reach.json").read_text())
        self._tests: dict[str, list[str]] = reach["tests"]
        self._seconds: dict[str, float] = reach["seconds"]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Test mutants instead of running the tests."""
        items = {item.nodeid: item for item in session.items}
        with self._killed.open("a", buffering=1) as killed:
            for mutant in self._mutants:
                name = mutant.partition("@")[0]
                tests = [items[test] for test in self._selection(name) if test in items]
                if tests and self._is_killed(session, name, tests):
                    killed.write(f"{mutant}\n")
        return True

    def _selection(self, mutant: str) -> list[str]:
        """Return a mutant's tests within the budget: those of its folder first, and of these the quickest."""
        function = mutant.rpartition("__mutmut_")[0]
        folder = f"tests/unit/{function.split('.')[1]}/"
        tests = sorted(
            self._tests.get(function, ()), key=lambda test: (not test.startswith(folder), self._seconds[test])
        )
        selection: list[str] = []
        seconds = 0.0
        for test in tests:
            seconds += self._seconds[test]
            if selection and seconds > _BUDGET:
                break
            selection.append(test)
        return selection

    def _is_killed(self, session: pytest.Session, mutant: str, tests: list[Any]) -> bool:
        limit = _GRACE + _PATIENCE * sum(self._seconds[test.nodeid] for test in tests)
        if not (child := os.fork()):
            _test(session, mutant, tests, limit)
        descriptor = os.pidfd_open(child)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(2 * limit * 1000):
                os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
        finally:
            os.close(descriptor)


def _test(session: pytest.Session, mutant: str, tests: list[Any], limit: float) -> None:
    """Run tests until one fails, and end this process: 0 if none did."""
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 1))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        set_mutant_under_test(mutant)
        for test, following in pairwise([*tests, None]):
            test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
            if session.testsfailed:
                break
        else:
            code = 0
    finally:
        os._exit(code)
