# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Test the built wheel under the pins of each supported Airflow: ``python -m dev.matrix [row ...]``.

A row is a file in ``constraints/``. Its environment has the wheel, Airflow and the pinned packages, like that
of a user, and additionally pytest and the like. It is reused until its constraints change.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parents[1]
DISTRIBUTIONS: Final = ROOT / "build" / "dist"

#: Unit tests that depend on the row's versions of Airflow, amazon provider, common-compat or botocore.
DIFFERING: Final = (
    "api_model",
    "events/test_dag_queue.py",
    "hooks",
    "lineage/test_collector.py",
    "operators/test_start_run.py",
    "run_page/api",
    "run_page/test_plugin.py",
    "sensors/test_run.py",
    "templating/test_typed.py",
    "test_compat.py",
    "test_provider_info.py",
    "triggers/test_run.py",
)

#: The oldest supported moto; see airflow_healthomics.testing.requirement.
OLDEST_MOTO: Final = (5, 2, 5)

#: Characters of a failed check's output to print. The whole output is in build/matrix.
MAX_OUTPUT: Final = 10_000

#: Arguments of pytest: failures at the end.
PYTEST: Final = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--disable-warnings", "-r", "fE")

#: Concurrent rows. An Airflow under test mostly waits, so other rows' unit tests can run beside it.
AT_ONCE: Final = 3


@dataclass
class Row:
    """
    One environment.

    :param pins: name of the constraints file, such as ``mwaa-3.0.6``
    :param python: minor version of Python; if it is not installed, the current Python is used
    :param all_units: whether to run all unit tests, or only version-dependent ones
    :ivar outcomes: seconds of each check; negative for a failure
    """

    pins: str
    python: str
    all_units: bool = False
    outcomes: dict[str, float] = field(default_factory=dict)

    @property
    def airflow(self) -> str:
        """Version of Airflow."""
        return self.pins.rpartition("-")[2]

    @property
    def constraints(self) -> Path:
        """The constraints file."""
        return ROOT / "constraints" / f"{self.pins}.txt"

    @property
    def environment(self) -> Path:
        """Folder of the environment."""
        return ROOT / f".venv-{self.pins}"

    @property
    def interpreter(self) -> Path:
        """Python interpreter of the environment."""
        return self.environment / "bin" / "python"

    @property
    def has_local_healthomics(self) -> bool:
        """Whether its moto is new enough. An unpinned moto is."""
        pinned = pins_of(self.constraints).get("moto")
        return pinned is None or tuple(map(int, pinned.split(".")[:3])) >= OLDEST_MOTO


ROWS: Final = (
    Row("mwaa-2.11.0", "3.12", all_units=True),
    Row("mwaa-2.11.2", "3.12"),
    Row("mwaa-3.0.6", "3.12"),
    Row("mwaa-3.2.1", "3.12"),
    Row("mwaa-3.3.1", "3.12"),
    Row("airflow-2.11.2", "3.11"),
    Row("airflow-3.1.8", "3.12"),
    Row("airflow-3.2.2", "3.12"),
    # All unit tests of the newest release run in `make test`, on Python 3.11.
    Row("airflow-3.3.2", "3.13"),
)

CHECKS: Final = ("install", "units", "installed", "example", "scheduler")


def pins_of(constraints: Path) -> dict[str, str]:
    """Return the pinned versions of a constraints file, by normalized package name."""
    lines = (line.partition("==") for line in constraints.read_text().splitlines() if "==" in line)
    return {normalized(name): version for name, _, version in lines}


def normalized(name: str) -> str:
    """Normalize the name of a package (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_python(minor: str) -> Path:
    """Return a Python of a minor version or, if none is installed, the current one."""
    # pyenv's commands require the version in a variable.
    for variables in ({}, {"PYENV_VERSION": minor}):
        command = [shutil.which(f"python{minor}") or "false", "-c", "import sys; print(sys.executable)"]
        found = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            return Path(found.stdout.strip())
    print(f"Python {minor} is not installed; using {sys.version_info[0]}.{sys.version_info[1]} instead")
    return Path(sys.executable)


def uv(*arguments: object) -> None:
    """Run uv of this environment."""
    command = [str(Path(sys.executable).parent / "uv"), *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT)


def build_wheel() -> Path:
    """Build the wheel, and return its path."""
    for old in DISTRIBUTIONS.glob("*.whl"):
        old.unlink()
    uv("build", "--quiet", "--wheel", "--out-dir", DISTRIBUTIONS)
    (wheel,) = DISTRIBUTIONS.glob("*.whl")
    return wheel


def install(row: Row, wheel: Path) -> None:
    """
    Install the wheel beside the pinned packages.

    :raises RuntimeError: if the version of a package differs from its pin
    """
    python = find_python(row.python)
    recipe = [row.constraints.read_text(), (ROOT / "pyproject.toml").read_text(), str(python)]
    digest = hashlib.sha256("".join(recipe).encode()).hexdigest()
    stamp = row.environment / ".installed"
    common = ("pip", "install", "--system-certs", "--quiet", "--python", row.interpreter)
    if stamp.exists() and stamp.read_text() == digest:
        uv(*common, "--no-deps", "--reinstall-package", "airflow-provider-healthomics", wheel)
        return
    subprocess.run([python, "-m", "venv", "--clear", "--without-pip", row.environment], check=True)
    extra = "[testing]" if row.has_local_healthomics else ""
    requirements = (f"{wheel}{extra}", f"apache-airflow=={row.airflow}", "--group", "test")
    uv(*common, "--constraint", row.constraints, *requirements)
    if wrong := list(_unlike_pins(row)):
        raise RuntimeError(f"{row.pins}: {', '.join(wrong)}")
    stamp.write_text(digest)


def _unlike_pins(row: Row) -> Iterator[str]:
    code = (
        "from importlib.metadata import distributions\n"
        "for each in distributions(): print(each.metadata['Name'], each.version)"
    )
    listed = subprocess.run([row.interpreter, "-c", code], check=True, capture_output=True, text=True).stdout
    pins = pins_of(row.constraints)
    for name, version in (line.split() for line in listed.splitlines()):
        pinned = pins.get(normalized(name), version)
        if pinned != version:
            yield f"{name} is {version}, and its pin is {pinned}"


def checkout_without_package(row: Row) -> Path:
    """Return a folder with this checkout except the package, so that tests import the installed one."""
    folder = ROOT / "build" / "matrix" / row.pins
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in ("airflow_healthomics", "build"):
            (folder / path.name).symlink_to(path)
    return folder


def run(
    row: Row, check: str, command: Sequence[object], folder: Path = ROOT, variables: Mapping[str, str] = {}
) -> None:
    """Run a check, and record its output and outcome."""
    log = ROOT / "build" / "matrix" / f"{row.pins}-{check}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    environment = {**os.environ, **variables}
    with log.open("wb") as output:
        done = subprocess.run(
            list(map(str, command)), cwd=folder, env=environment, stdout=output, stderr=output, check=False
        )
    record(row, check, began, done.returncode == 0)
    if done.returncode:
        print(log.read_text(errors="replace")[-MAX_OUTPUT:])


def record(row: Row, check: str, began: float, is_success: bool) -> None:
    """Record and print the outcome of a check."""
    seconds = time.monotonic() - began
    row.outcomes[check] = seconds if is_success else -seconds
    print(f"{row.pins}: {check} {'passed' if is_success else 'FAILED'} in {seconds:.0f} s", flush=True)


def run_units(row: Row) -> None:
    """Run unit tests in the row's environment. With an old moto, the current one serves HealthOmics."""
    tests = ["tests/unit"] if row.all_units else [f"tests/unit/{path}" for path in DIFFERING]
    command = [row.interpreter, *PYTEST, "-n", "auto", *tests]
    folder = checkout_without_package(row)
    variables = {
        "HEALTHOMICS_PYTHON": sys.executable,
        "PYTHONPATH": str(folder),
        # Import nothing else of the checkout.
        "PYTHONSAFEPATH": "1",
    }
    run(row, "units", command, folder, variables)


def run_airflow(row: Row) -> None:
    """Test the row's Airflow: discovery of the package, an example, and a scheduler with a triggerer."""
    compat = "tests/compat/test_"
    checks = {
        "installed": f"{compat}installed.py",
        "example": f"{compat}example_dags.py::test_germline_example_runs_to_its_end",
        "scheduler": f"{compat}real_airflow.py",
    }
    for check, test in checks.items():
        run(row, check, [sys.executable, *PYTEST, test, f"--airflow-python={row.interpreter}"])


def test(wheel: Path, row: Row) -> None:
    """Install the wheel in the row's environment, and run all checks there."""
    began = time.monotonic()
    try:
        install(row, wheel)
    except (subprocess.CalledProcessError, RuntimeError) as error:
        print(error)
        record(row, "install", began, is_success=False)
        return
    record(row, "install", began, is_success=True)
    run_units(row)
    run_airflow(row)


def report(rows: Sequence[Row]) -> None:
    """Print a table of the outcomes, in seconds."""
    table = Table("constraints", "Python", *CHECKS)
    for row in rows:
        cells = [
            f"{seconds:.0f}" if (seconds := row.outcomes.get(check, 0)) > 0 else f"FAILED ({-seconds:.0f})"
            for check in CHECKS
        ]
        table.add_row(row.pins, row.python, *cells)
    Console(width=110).print(table)


def main() -> int:
    """Test the rows, and return 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m dev.matrix", description=main.__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *(row.pins for row in ROWS)], help="all by default")
    chosen = parser.parse_args().rows
    rows = [row for row in ROWS if not chosen or row.pins in chosen]
    wheel = build_wheel()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(partial(test, wheel), rows))
    report(rows)
    return any(row.outcomes.get(check, -1.0) < 0 for row in rows for check in CHECKS)


if __name__ == "__main__":
    sys.exit(main())
