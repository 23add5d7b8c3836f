# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Each state of the run page in a browser: the questions that it answers, and its accessibility.

``SCREENSHOTS=docs/images`` takes the pictures of the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from airflow_healthomics.testing import HealthOmicsServer
from airflow_healthomics.testing.local import LOCAL
from dev.browser import SCREENSHOTS, Browser, browser
from dev.local_airflow import LocalAirflow

from . import page_runs
from .accessibility import violations

pytestmark = pytest.mark.slow

#: Seconds; the machine may be slow.
LIMIT = 600

DESKTOP: Final = (1440, 900)
PHONE: Final = (390, 844)
WIDTHS: Final = (320, 375, 640, 820, 1024, 1440, 1920)

#: Clicks and scrolls that the answer to a question may take.
MOST_STEPS: Final = 2


@dataclass(frozen=True)
class State:
    """
    A state of the page.

    :param task_id: task of the DAG ``cohort``; None for the DAG run
    :param ready: selector and text of an element that shows the state
    :param size: of the viewport
    :param is_outage: whether HealthOmics does not answer
    :param act: what a reader does first
    """

    task_id: str | None
    ready: tuple[str, str]
    size: tuple[int, int] = DESKTOP
    is_outage: bool = False
    act: Callable[[Browser], None] = lambda window: None


STATES: Final = {
    "failed": State("call_variants", ("[data-testid=reason]", page_runs.REASON)),
    "running": State("germline", ("[data-testid=status]", "Running")),
    "completed": State("quantify", ("[data-testid=use]", "requested")),
    "dag-run": State(None, ("[data-testid=runs]", "call_variants")),
    "batch": State("germline_batch", ("[data-testid=all-runs]", "sample-50")),
    "outage": State("germline", ("#notice", "last known state"), is_outage=True),
    "phone": State("call_variants", ("[data-testid=reason]", page_runs.REASON), PHONE),
    "log": State(
        "call_variants",
        ("dialog[open] .log", page_runs.CAUSE),
        act=lambda window: window.click("[data-testid=open-log]"),
    ),
    "outputs": State(
        "quantify",
        ("[data-testid=outputs] .scroll", "logs"),
        act=lambda window: window.click("[data-testid=open-outputs]"),
    ),
    "cancelling": State(
        "germline",
        ("dialog[open]", "Its tasks stop"),
        act=lambda window: window.click("[data-testid=cancel]"),
    ),
}


@pytest.fixture(scope="module")
def dag_run_id(server: HealthOmicsServer, airflow: LocalAirflow) -> Iterator[str]:
    """Start all runs some hours ago, and end those that have an end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LOCAL.clock, "_offset", -float(page_runs.ELAPSED))
        page_runs.plan_runs(server.control)
        dag_run_id = airflow.trigger_dag("cohort")
        # The single runs, and those of the batch.
        airflow.wait_until(lambda: len(server.control.runs()) == 5 + 60, "all runs are started", LIMIT)
        server.control.advance_clock(page_runs.ELAPSED)
        for task_id, state in {
            "call_variants": "failed",
            "quantify": "success",
            "germline": "deferred",
            "germline_batch": "deferred",
            "annotate": "success",
            "joint_call": "success",
        }.items():
            airflow.wait_for_task_state("cohort", dag_run_id, task_id, state, limit=LIMIT)
        yield dag_run_id


@pytest.fixture(scope="module")
def window(airflow: LocalAirflow) -> Iterator[Browser]:
    """A browser with the admin logged in."""
    with browser(airflow, airflow.username) as window:
        yield window


@contextmanager
def outage(server: HealthOmicsServer) -> Iterator[None]:
    """HealthOmics does not respond."""
    server.control.hold("GetRun", "outage", times=None)
    try:
        yield
    finally:
        server.control.release("outage")


@pytest.fixture(scope="module")
def page(
    request: pytest.FixtureRequest, server: HealthOmicsServer, window: Browser, dag_run_id: str
) -> Iterator[Browser]:
    """The page in its own tab, in the state that the test requires."""
    state = STATES[request.param]
    window.resize(*state.size)
    window.set_theme("light")
    window.open_page_alone("cohort", dag_run_id, state.task_id)
    window.find("main[aria-label]:not([aria-busy])")
    problem: AbstractContextManager[None] = outage(server) if state.is_outage else nullcontext()
    with problem:
        state.act(window)
        window.find(*state.ready)
        yield window


every_state = pytest.mark.parametrize("page", STATES, indirect=True)


@every_state
def test_axe_finds_nothing(page: Browser) -> None:
    """The page is accessible without good sight or a mouse, in both themes."""
    assert violations(page) == {"light": [], "dark": []}


#: Elements that are wider than their place, besides the parts that may scroll sideways.
WIDER: Final = """[document.documentElement, ...document.querySelectorAll('body *:not(.scroll, .log)')]
    .filter((node) => node.scrollWidth > node.clientWidth + 1)
    .filter((node) => node.matches('html') || /auto|scroll/.test(getComputedStyle(node).overflowX))
    .map((node) => `${node.tagName}.${node.className} ${node.scrollWidth} > ${node.clientWidth}`)"""

#: Elements that cover others, besides the rows of tables.
OVERLAPPING: Final = """(() => {
    const root = document.querySelector('dialog[open]') ?? document.body;
    const parts = 'h1, h2, button, a, input, select, .badge, #notice > span, .axis span';
    // The box of a heading is wider than its text.
    const boxOf = (node) => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return (node.matches('h1, h2') ? range : node).getBoundingClientRect();
    };
    const nodes = [...root.querySelectorAll(parts)]
        .filter((node) => node.checkVisibility({ visibilityProperty: true }))
        .filter((node) => node.matches('.axis *') || !node.closest('.scroll'))
        .map((node) => [node, boxOf(node)]);
    return nodes.flatMap(([one, a], index) => nodes.slice(index + 1)
        .filter(([other, b]) => !one.contains(other)
            && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
        .map(([other]) => `${one.textContent} on ${other.textContent}`));
})()"""


@every_state
def test_no_elements_overlap(page: Browser) -> None:
    """At every width, only tables and logs scroll sideways, and no element covers another."""
    found = {}
    for width in WIDTHS:
        page.resize(width, DESKTOP[1])
        found[width] = page.run(WIDER) + page.run(OVERLAPPING)
    page.resize(*DESKTOP)
    assert found == {width: [] for width in WIDTHS}


class Reader:
    """
    A user of the tab in Airflow, whose actions are counted until the answer is found.

    :param window: with the tab
    """

    def __init__(self, window: Browser) -> None:
        self._window = window
        self.steps = 0

    def click(self, css: str) -> None:
        """Click."""
        self.steps += 1
        self._window.click(css)

    def scroll(self) -> None:
        """Scroll by a screen."""
        self.steps += 1
        self._window.run("window.scrollBy(0, window.innerHeight)")

    def sees(self, css: str, text: str) -> None:
        """Wait for an element with a text that is in view, and that nothing covers."""
        self._window.until(lambda: self._window.run(IN_VIEW, css, text), f"{css} with {text!r} is in view")


IN_VIEW: Final = """[...document.querySelectorAll(arguments[0])].some((node) => {
    const { top, bottom, left, right } = node.getBoundingClientRect();
    const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return node.textContent.includes(arguments[1]) && top >= 0 && bottom <= window.innerHeight
        && there && (node.contains(there) || there.contains(node));
})"""


@dataclass(frozen=True)
class Question:
    """
    A question, and the place of its answer.

    :param task_id: task whose tab the reader has open
    :param answers: selectors and texts of elements
    :param clicks: selectors of what the reader clicks first
    :param scrolls: screens by which the reader scrolls then
    """

    task_id: str
    answers: dict[str, str]
    clicks: tuple[str, ...] = ()
    scrolls: int = 0


QUESTIONS: Final = {
    "why did it fail": Question(
        "call_variants",
        {"[data-testid=reason] .what": page_runs.REASON, "[data-testid=reason] code": page_runs.CAUSE},
    ),
    "which sample": Question("call_variants", {"[data-testid=reason] .what": "BWAMEM1_MEM (NA12878-L1)"}),
    "what do I do": Question("call_variants", {"[data-testid=next-step]": "Give the task more memory"}),
    "what did the engine say": Question(
        "call_variants",
        {"dialog[open] .log .line": "Execution aborted"},
        clicks=("[data-testid=open-engine-log]",),
    ),
    "is it still working": Question(
        "germline", {"[data-testid=status]": "Running", ".tiles > div": "Last activity", "#live": "Live"}
    ),
    "which process is slowest": Question("germline", {".tiles > div": "BwaMem"}),
    "what did it waste": Question("quantify", {".wastes > li": "STAR_ALIGN requested 128 GiB"}, scrolls=1),
    "where is the output": Question("quantify", {".links a[href*='prefix=outputs']": "S3 outputs"}),
    "which samples of the batch failed": Question(
        "germline_batch", {"[data-testid=failed-runs] tr th": "sample-07"}
    ),
    # This one is last, since it changes the state.
    "cancel it": Question(
        "germline",
        {"[data-testid=status][data-status=CANCELLED]": "Cancelled"},
        clicks=("[data-testid=cancel]", "[data-testid=confirm]"),
    ),
}


def test_the_frame_shows_state_failure_and_tasks(window: Browser, dag_run_id: str) -> None:
    """In Airflow, the state, the failure and eight tasks are visible without scrolling."""
    window.resize(*DESKTOP)
    window.open_run_page("cohort", dag_run_id, "call_variants")
    window.find("[data-testid=tasks] tbody tr")
    height = window.run("window.innerHeight")
    rows = window.driver.find_elements("css selector", "[data-testid=tasks] tbody tr")
    boxes = {
        "state": box(window.find("[data-testid=status]")),
        "failure": box(window.find("[data-testid=reason]")),
        **{f"row {number}": box(row) for number, row in enumerate(rows[:8])},
    }
    assert len(boxes) == 2 + 8
    hidden = {name: edges for name, edges in boxes.items() if edges[0] < 0 or edges[1] > height}
    assert hidden == {}, f"in a frame of {height} px"
    text = "\n".join(window.find(css).text for css in (".tiles", "[data-testid=tasks]"))
    lines = [line for line in text.splitlines() if re.search(rf"\b{page_runs.TASKS}\b", line)]
    assert len(lines) == 1, lines
    window.driver.switch_to.default_content()
    frame = box(window.find("iframe[src*='/healthomics/page']"))
    assert frame[1] <= DESKTOP[1]


def test_the_table_fits_into_the_frame(window: Browser, dag_run_id: str) -> None:
    """In Airflow, all columns of a run of nf-core are visible, and whole names of processes on focus."""
    window.resize(*DESKTOP)
    window.open_run_page("cohort", dag_run_id, "call_variants")
    row = window.find("[data-testid=tasks] tbody button", "NFCORE_SAREK:SAREK:PREPROCESSING:BWAMEM1_MEM")
    assert window.run(WIDTHS_OF_TABLE) == []
    row.send_keys(Keys.ARROW_DOWN)
    window.find(".whole", "NFCORE_SAREK:SAREK:")


#: The table of tasks, if it scrolls sideways, and its cells that are cut, besides those whose names may be.
WIDTHS_OF_TABLE: Final = """[...document.querySelectorAll(
    '[data-testid=tasks] :is(.scroll, th, td):not(.c-name, .c-tag, .c-timeline)'
)]
    .filter((node) => node.scrollWidth > node.clientWidth)
    .map((node) => `${node.className} ${node.textContent}: ${node.scrollWidth} > ${node.clientWidth}`)"""


def box(element: WebElement) -> tuple[float, float]:
    """Return the upper and lower edge of an element in its document, as it is scrolled."""
    edges = element.parent.execute_script(
        "const { top, bottom } = arguments[0].getBoundingClientRect(); return [top, bottom]", element
    )
    return edges[0], edges[1]


def test_a_batch_leads_to_its_runs(window: Browser, dag_run_id: str) -> None:
    """Each failed run has a page, and a way back."""
    window.resize(*DESKTOP)
    window.open_run_page("cohort", dag_run_id, "germline_batch")
    assert "sample-38" in window.find("[data-testid=failed-runs]", "INPUT_URI_NOT_FOUND").text
    window.find("[data-testid=counts] [data-status=FAILED]", "3")
    window.click("[data-testid=failed-runs] [data-run]")
    window.find("[data-testid=status][data-status=FAILED]")
    window.click("[data-testid=back]")
    window.find("[data-testid=batch]")


def test_a_dag_run_leads_to_its_runs(window: Browser, dag_run_id: str) -> None:
    """Failures come first, and each run has a page."""
    window.resize(*DESKTOP)
    window.open_run_page("cohort", dag_run_id)
    window.until(lambda: len(window.shown("[data-testid=runs] li button")) == 6, "six runs")
    assert "call_variants" in window.shown("[data-testid=runs] li button")[0].text
    window.click("[data-testid=runs] li button")
    window.find("[data-testid=run]")


def test_a_task_without_a_run(airflow: LocalAirflow, window: Browser) -> None:
    """The page says so."""
    dag_run_id = airflow.trigger_dag("no_run")
    assert airflow.wait_for_dag_run("no_run", dag_run_id, limit=LIMIT) == "success"
    window.open_run_page("no_run", dag_run_id, "nothing")
    window.find("[data-testid=none]", "no HealthOmics run")


@pytest.mark.parametrize(
    ("name", "theme"),
    [(name, "light") for name in ("failed", "running", "completed", "dag-run", "batch", "outage")]
    + [(name, "dark") for name in ("failed", "running")],
)
@pytest.mark.skipif(not SCREENSHOTS, reason="for `make screenshots`")
def test_pictures(server: HealthOmicsServer, window: Browser, dag_run_id: str, name: str, theme: str) -> None:
    """Each state as the tab in Airflow; the usage of a run is a screen below."""
    state = STATES[name]
    window.resize(*DESKTOP)
    window.driver.switch_to.default_content()
    window.set_theme(theme)
    window.open_run_page("cohort", dag_run_id, state.task_id)
    window.find("main:not([aria-busy])")
    problem: AbstractContextManager[None] = outage(server) if state.is_outage else nullcontext()
    with problem:
        window.find(*state.ready)
        if name == "completed":
            window.run("window.scrollBy(0, window.innerHeight)")
        window.screenshot(f"run-page-{name}{'-dark' if theme == 'dark' else ''}")


@pytest.mark.skipif(not SCREENSHOTS, reason="for `make screenshots`")
def test_picture_of_a_phone(window: Browser, dag_run_id: str) -> None:
    """The page has the phone's whole screen, since Airflow leaves it 55 px."""
    state = STATES["phone"]
    window.resize(*state.size)
    window.set_theme("light")
    window.open_page_alone("cohort", dag_run_id, state.task_id)
    window.find(*state.ready)
    window.screenshot("run-page-phone")


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_takes_two_clicks_at_most(window: Browser, dag_run_id: str, question: str) -> None:
    """The most important facts are in view, or two clicks or scrolls away."""
    asked = QUESTIONS[question]
    window.resize(*DESKTOP)
    window.open_run_page("cohort", dag_run_id, asked.task_id)
    window.find("[data-testid=status]")
    reader = Reader(window)
    for css in asked.clicks:
        reader.click(css)
    for _ in range(asked.scrolls):
        reader.scroll()
    for css, text in asked.answers.items():
        reader.sees(css, text)
    assert reader.steps <= MOST_STEPS
