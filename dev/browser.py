# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A browser that is logged in to an Airflow: Debian's chromium, without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    InvalidElementStateException,
    JavascriptException,
    NoSuchElementException,
    NoSuchFrameException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dev.local_airflow import LocalAirflow

T = TypeVar("T")

#: Seconds; the machine may be slow.
LIMIT = 300

#: A folder for screenshots, if anybody wants them.
SCREENSHOTS = os.environ.get("SCREENSHOTS")

ARGUMENTS = (
    "--headless=new",
    # Tests may run as root, and in a container with little shared memory.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--lang=en-US",
    # Nothing leaves the machine.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


#: What may happen to a probe while the page changes.
PASSING: Final = (
    IndexError,
    ElementClickInterceptedException,
    ElementNotInteractableException,
    InvalidElementStateException,
    JavascriptException,
    NoSuchElementException,
    NoSuchFrameException,
    StaleElementReferenceException,
)


class Browser:
    """
    A window on one Airflow.

    :param driver: of the browser
    :param airflow: the Airflow, which is asked by paths below its address
    """

    def __init__(self, driver: Chrome, airflow: LocalAirflow) -> None:
        self.driver = driver
        self.airflow = airflow

    def open(self, path: str) -> None:
        """Go to a page."""
        self.driver.get(f"{self.airflow.url}/{path}")

    def open_run_page(self, dag_id: str, dag_run_id: str, task_id: str | None = None) -> None:
        """Go to a task's tab, or to that of a DAG run, and into its frame."""
        task = f"/tasks/{task_id}" if task_id else ""
        route = "healthomics" if task_id else "healthomics-runs"
        self.driver.switch_to.default_content()
        self.open(f"dags/{dag_id}/runs/{quote(dag_run_id)}{task}/plugin/{route}")
        self.until(self._enter_frame, "the page is in a frame")

    def _enter_frame(self) -> bool:
        self.driver.switch_to.default_content()
        self.driver.switch_to.frame(self.shown("iframe[src*='/healthomics/page']")[0])
        return bool(self.shown("main"))

    def find(self, css: str, text: str = "") -> WebElement:
        """Wait for an element that is shown and whose text has a part, and return it."""
        return self.until(lambda: next(iter(self.shown(css, text)), None), f"{css} with {text!r}")

    def shown(self, css: str, text: str = "") -> list[WebElement]:
        """Return the elements that are shown now."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [each for each in found if each.is_displayed() and text in each.text]

    def click(self, css: str, text: str = "") -> None:
        """Click on an element as soon as it can be clicked on."""

        def clicked() -> bool:
            for element in self.shown(css, text):
                if element.is_enabled():
                    element.click()
                    return True
            return False

        self.until(clicked, f"{css} with {text!r} is clicked")

    def fill(self, css: str, text: str) -> None:
        """Replace the text of a field, which may be made anew meanwhile."""

        def filled() -> bool:
            field = self.shown(css)[0]
            if field.get_attribute("value") != text:
                field.clear()
                field.send_keys(text)
            return self.shown(css)[0].get_attribute("value") == text

        self.until(filled, f"{css} has its text")

    def fetch(self, path: str) -> int:
        """Return the status of an answer, as the page itself would get it."""
        script = "fetch(arguments[0]).then((answer) => arguments[1](answer.status), () => arguments[1](0))"
        status: int = self.driver.execute_async_script(script, f"{self.airflow.url}/{path}")
        return status

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, and return its result."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def until(self, probe: Callable[[], T | None], what: str) -> T:
        """Wait until something is true; an element may be missing, or be replaced while it is looked at."""
        waiting = WebDriverWait(self.driver, LIMIT, ignored_exceptions=PASSING)
        try:
            if found := waiting.until(lambda _: probe()):
                return found
        except TimeoutException:
            pass
        raise TimeoutError(f"{what}, at {self.driver.current_url}:\n{self._text()}")

    def screenshot(self, name: str) -> None:
        """Take a picture, if anybody wants one."""
        if SCREENSHOTS:
            self.driver.save_screenshot(str(Path(SCREENSHOTS) / f"{name}.png"))

    def _text(self) -> str:
        return str(self.run("document.body.innerText"))


@contextmanager
def browser(
    airflow: LocalAirflow, username: str | None = None, *, theme: str = "light", size: str = "1400,1000"
) -> Iterator[Browser]:
    """
    Open a browser, and end it.

    :param username: who is logged in, if anybody
    :param theme: light or dark
    :param size: of the window
    """
    options = ChromeOptions()
    options.ignore_local_proxy_environment_variables()
    options.binary_location = _program("chromium")
    for argument in (*ARGUMENTS, f"--window-size={size}"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(_program("chromedriver")))
    try:
        driver.set_script_timeout(LIMIT)
        driver.set_page_load_timeout(LIMIT)
        window = Browser(driver, airflow)
        # A page of that address, since cookies and storage belong to one.
        window.open("api/v2/version")
        if username:
            driver.add_cookie({"name": "_token", "value": airflow.token(username), "path": "/"})
        driver.execute_script("localStorage.setItem('theme', arguments[0])", theme)
        yield window
    finally:
        driver.quit()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(f"{name} is missing: on Debian, apt-get install chromium chromium-driver")
    return path
