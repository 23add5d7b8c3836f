# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The static files of the run page follow a strict content security policy and call only their own API."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import airflow_healthomics
from airflow_healthomics.exceptions import FailedTask
from airflow_healthomics.reports.cost import Amount, estimate
from airflow_healthomics.reports.utilization import METRICS
from airflow_healthomics.run_page import payload
from airflow_healthomics.service.price_list import PriceList

STATIC = Path(airflow_healthomics.__file__).parent / "run_page" / "static"
FILES = sorted(STATIC.iterdir())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]

NODE = shutil.which("node")

#: The only URL in the files: a name, not a location.
SVG_NAMESPACE = "http://www.w3.org/2000/svg"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and data.strip():
            self.texts.append((self.elements[-1][0], data))


@pytest.fixture(scope="module")
def page() -> _Page:
    parser = _Page()
    parser.feed((STATIC / "index.html").read_text())
    return parser


def test_files_have_known_types() -> None:
    """There are only pages, styles and scripts, small enough to be read at once."""
    assert {path.suffix for path in FILES} == {".html", ".css", ".js"}
    assert sum(path.stat().st_size for path in FILES) < 180_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_external_address(path: Path) -> None:
    """No file names another site, or data that a policy of 'self' forbids."""
    text = path.read_text().replace(SVG_NAMESPACE, "")
    assert not re.findall(r"https?://|[\"'(]//|data:|@import", text)
    assert "SPDX-License-Identifier: Apache-2.0" in text


def test_nothing_inline(page: _Page) -> None:
    """There is no inline script, style or handler, and file names are relative to the page."""
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for address in (attributes.get("src"), attributes.get("href")):
            assert address is None or (address.startswith("static/") and (STATIC / address[7:]).is_file())
        assert tag != "style"
    assert not [text for tag, text in page.texts if tag == "script"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_text_remains_text_and_nothing_is_stored(path: Path) -> None:
    """No script parses markup, evaluates text or stores anything; one sends, and only JSON."""
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser"
        r"|setItem|sessionStorage|indexedDB|document\.cookie|sendBeacon|WebSocket|XMLHttpRequest"
    )
    assert not re.findall(forbidden, path.read_text())
    assert ("method:" in path.read_text()) == (path.name == "api.js")
    assert ("fetch(" in path.read_text()) == (path.name == "api.js")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_imports_are_files_of_the_folder(path: Path) -> None:
    """Every import is a file of this folder, which exports the imported names."""
    for names, source in re.findall(r"import (.+?) from \"(.+?)\";", path.read_text()):
        assert source.startswith("./")
        exported = re.findall(
            r"export (?:async )?(?:function|class|const) (\w+)", (STATIC / source).read_text()
        )
        wanted = [] if names.startswith("*") else names.strip("{} ").split(", ")
        assert set(wanted) <= set(exported)


def _values_of(answer: dict[str, Any]) -> Iterator[str]:
    for key, value in answer.items():
        yield key
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and key != "counts":
                yield from _values_of(item)


@pytest.mark.parametrize("kind", ["run", "batch"])
def test_all_sent_fields_are_shown(kind: str) -> None:
    """A field that no script uses costs AWS calls and is of no use."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    more: dict[str, Any] = {"notices": ["one"], "as_of": now, "poll_seconds": 10}
    if kind == "run":
        rows = payload.task_rows([dict.fromkeys(payload.TASK_FIELDS, "x") | {"status": "FAILED", "gpus": 1}])
        told = FailedTask(
            task_id="x", name="x", failure_reason="x", status_message="x", log_lines=("a line",)
        )
        answer = payload.run_answer(
            dict.fromkeys(payload.RUN_FIELDS, "x"),
            workflow_name="x",
            rows=[row | dict.fromkeys([*METRICS, "cpusInUse", "memoryInUseGiB"], 1.0) for row in rows],
            label="x",
            truncated=True,
            usage=["x"],
            failed=[{**item, "logUrl": "x"} for item in payload.failed_task_rows(rows, [told])],
            tasks_known=False,
            settling=True,
            engine_log=["x"],
            next_step="x",
            may_show_logs=True,
            links={name: "x" for name in ("console", "runLog", "engineLog", "outputs")},
            **more,
        )
        answer["cost"] = estimate([Amount("x", 1.0, 1)], PriceList({"x": 1.0}, "x"))
    else:
        described = {"runSettingId": "x", "failureReason": "x", "statusMessage": "x"}
        answer = payload.batch_answer(
            dict.fromkeys(payload.BATCH_FIELDS, "x")
            | {"totalRuns": 1, "defaultRunSetting": {"workflowId": "x", "workflowVersionName": "x"}},
            workflow_name="x",
            label="x",
            failed=[payload.failed_run({"id": "x", "name": "x", "status": "FAILED"}, described)],
            links={name: "x" for name in ("console", "outputs")},
            **more,
        )
    scripts = {"run": ("run.js", "failure.js", "tasks.js", "cost.js"), "batch": ("batch.js",)}[kind]
    text = "".join((STATIC / name).read_text() for name in (*scripts, "names.js", "page.js"))
    unused = {name for name in _values_of(answer) if not re.search(rf"[.{{ ]{name}\b", text)}
    assert not unused


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_pure_parts() -> None:
    """Words, order, groups and waits are correct (see run_page/pure.test.mjs)."""
    tests = Path(__file__).parent / "pure.test.mjs"
    done = subprocess.run(
        [str(NODE), "--test", str(tests)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
