# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a run with 5,000 tasks: its answers, and the frames a second while its table is scrolled."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

import requests

from dev.browser import Browser, browser
from dev.local_airflow import LocalAirflow

TASKS: Final = 5_000

#: Seconds until the page has read all tasks, on a slow machine.
LIMIT: Final = 300

#: Frames that are scrolled, and the pixels of each: about three rows.
FRAMES: Final = 600
STEP: Final = 100

#: Returns the milliseconds between frames. Each frame scrolls the table, first down and then back.
_SCROLL: Final = """
const [frames, step, done] = arguments;
const region = document.querySelector('[data-testid=tasks] .scroll');
const times = [];
function frame(time) {
    times.push(time);
    region.scrollTop += times.length <= frames / 2 ? step : -step;
    if (times.length <= frames) requestAnimationFrame(frame);
    else done(times.slice(1).map((each, index) => each - times[index]));
}
requestAnimationFrame(frame);
"""


def answers(token: str, url: str) -> dict[str, Any]:
    """Return the seconds and bytes of the first complete answer, and of one from the page's memory."""
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token}"
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        answer = session.get(url, timeout=LIMIT)
        first = time.monotonic() - asked
        if answer.ok and len(answer.json()["tasks"]) == TASKS:
            break
        if time.monotonic() - began > LIMIT:
            raise TimeoutError(f"the page has not read {TASKS} tasks after {LIMIT} s: {answer.status_code}")
        time.sleep(1)
    later = []
    for _ in range(5):
        asked = time.monotonic()
        session.get(url, timeout=LIMIT).raise_for_status()
        later.append(time.monotonic() - asked)
    return {
        "first_seconds": round(first, 3),
        "later_seconds": round(statistics.median(later), 3),
        "bytes": len(answer.content),
        "bytes_sent": len(session.get(url, timeout=LIMIT, stream=True).raw.read(decode_content=False)),
    }


def scrolling(airflow: LocalAirflow, dag_id: str, dag_run_id: str, task_id: str) -> dict[str, Any]:
    """Return the frames a second while the table is scrolled, and the longest time between two frames."""
    with browser(airflow, airflow.username, size="1440,900") as window:
        window.open_run_page(dag_id, dag_run_id, task_id)
        window.find("[data-testid=tasks] .scroll", f"{TASKS:,} tasks")
        # Each task has a row of its own then.
        window.click("[data-testid=tasks] button", "Group by process")
        window.find("[data-testid=tasks] button[aria-pressed=false]", "Group by process")
        gaps = _scroll(window)
    return {
        "frames_a_second": round(1000 * len(gaps) / sum(gaps), 1),
        "gap_p99_ms": round(statistics.quantiles(gaps, n=100)[98], 1),
        "gap_longest_ms": round(max(gaps), 1),
    }


def _scroll(window: Browser) -> list[float]:
    gaps: list[float] = window.driver.execute_async_script(_SCROLL, FRAMES, STEP)
    return gaps
