# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Check the distributions before a release: ``python -m dev.release``.

Builds wheel and source distribution, checks them with twine, compares their contents with the expected files,
and installs the wheel into an empty environment. There, each module must import with only the requirements of
the package.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = "airflow_healthomics"
DISTRIBUTIONS: Final = ROOT / "build" / "release"
BARE: Final = ROOT / "build" / "bare"
CONSTRAINTS: Final = ROOT / "constraints" / "airflow-3.3.2.txt"

#: Required files besides modules.
DATA: Final = ("py.typed", "lineage/facets.json", "run_page/static/index.html", "run_page/static/page.js")

#: Forbidden files.
UNWANTED: Final = re.compile(r"(^|/)(tests|benchmarks|\.ci|__pycache__|\.venv[^/]*)(/|$)|\.pyc$")

#: Modules that require an extra, or pytest, which loads its plugin itself.
OPTIONAL: Final = {
    f"{PACKAGE}.testing": "testing",
    f"{PACKAGE}.pytest_plugin": "pytest",
    f"{PACKAGE}.lineage.facets": "openlineage",
}

#: Imports each module, and prints the failed ones with their errors.
IMPORT_ALL: Final = """
import importlib, pkgutil, sys
import airflow_healthomics as package
for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=lambda name: None):
    if info.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(info.name)
    except ImportError as error:
        print("failed:", info.name, str(error).splitlines()[0])
"""


def run(*command: object) -> str:
    """Run a command, and return its standard output."""
    done = subprocess.run(list(map(str, command)), check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout


def build() -> tuple[Path, Path]:
    """Build both distributions, and return the paths of wheel and source distribution."""
    shutil.rmtree(DISTRIBUTIONS, ignore_errors=True)
    binaries = Path(sys.executable).parent
    run(binaries / "uv", "build", "--quiet", "--out-dir", DISTRIBUTIONS)
    (wheel,), (source,) = DISTRIBUTIONS.glob("*.whl"), DISTRIBUTIONS.glob("*.tar.gz")
    print(run(binaries / "twine", "check", "--strict", wheel, source).strip())
    return wheel, source


def problems_of_contents(names: Iterable[str], package: str) -> Iterator[str]:
    """
    Yield missing and unexpected files of a distribution.

    :param names: its files
    :param package: its folder with the package, with a trailing slash
    """
    names = set(names)
    tracked = run("git", "ls-files", PACKAGE).split()
    for path in tracked:
        if package + path.removeprefix(f"{PACKAGE}/") not in names:
            yield f"{path} is missing"
    for path in DATA:
        if package + path not in names:
            yield f"{path} is missing"
    if not any(name.endswith("LICENSE") for name in names):
        yield "the licence is missing"
    for name in names:
        if UNWANTED.search(name):
            yield f"{name} does not belong in"


def problems_of_bare_environment(wheel: Path) -> Iterator[str]:
    """Yield modules that fail to import with only the wheel and its requirements installed."""
    uv = Path(sys.executable).parent / "uv"
    run(uv, "venv", "--quiet", "--clear", BARE)
    python = BARE / "bin" / "python"
    run(
        uv,
        "pip",
        "install",
        "--system-certs",
        "--quiet",
        "--python",
        python,
        "--constraint",
        CONSTRAINTS,
        wheel,
    )
    run(uv, "pip", "check", "--quiet", "--python", python)
    for line in run(python, "-P", "-c", IMPORT_ALL).splitlines():
        if line.startswith("failed: "):
            name, reason = line.removeprefix("failed: ").split(" ", 1)
            extra = next((extra for module, extra in OPTIONAL.items() if name.startswith(module)), None)
            if extra is None:
                yield f"{name} does not import: {reason}"
            elif name == f"{PACKAGE}.testing" and f"[{extra}]" not in reason:
                yield f"{name} does not name the extra {extra}: {reason}"


def main() -> int:
    """Check the distributions, and return 1 if there is a problem."""
    wheel, source = build()
    with zipfile.ZipFile(wheel) as archive:
        problems = [
            f"{wheel.name}: {each}" for each in problems_of_contents(archive.namelist(), f"{PACKAGE}/")
        ]
    with tarfile.open(source) as archive:
        folder = source.name.removesuffix(".tar.gz")
        found = problems_of_contents(archive.getnames(), f"{folder}/{PACKAGE}/")
        problems += [f"{source.name}: {each}" for each in found]
    problems += problems_of_bare_environment(wheel)
    for problem in problems:
        print(problem)
    print(f"{wheel.name} and {source.name}: {'not ' * bool(problems)}ready for release")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
