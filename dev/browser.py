# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A headless browser (Debian's chromium) that is logged in to an Airflow."""

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

#: Optional folder for screenshots.
SCREENSHOTS = os.environ.get("SCREENSHOTS")

ARGUMENTS = (
    "--headless=new",
    # Tests may run as root, and in a container with little shared memory.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--lang=en-US",
    # All traffic stays on this machine.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


#: Errors of a probe while the page changes.
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
    A browser window of one Airflow.

    :param driver: of the browser
    :param airflow: the Airflow; paths are relative to its URL
    """

    def __init__(self, driver: Chrome, airflow: LocalAirflow) -> None:
        self.driver = driver
        self.airflow = airflow

    def open(self, path: str) -> None:
        """Open a page."""
        self.driver.get(f"{self.airflow.url}/{path}")

    def open_run_page(self, dag_id: str, dag_run_id: str, task_id: str | None = None) -> None:
        """Open the tab of a task or DAG run, and switch to its frame."""
        task = f"/tasks/{task_id}" if task_id else ""
        route = "healthomics" if task_id else "healthomics-runs"
        self.driver.switch_to.default_content()
        self.open(f"dags/{dag_id}/runs/{quote(dag_run_id)}{task}/plugin/{route}")
        self.until(self._enter_frame, "the page is in a frame")

    def _enter_frame(self) -> bool:
        self.driver.switch_to.default_content()
        self.driver.switch_to.frame(self.shown("iframe[src*='/healthomics/page']")[0])
        return bool(self.shown("main"))

    def open_page_alone(self, dag_id: str, dag_run_id: str, task_id: str | None = None) -> None:
        """Open the page of a task or DAG run outside of Airflow's frame."""
        task = f"&task_id={task_id}&map_index=-1" if task_id else ""
        self.driver.switch_to.default_content()
        self.open(f"healthomics/page?dag_id={dag_id}&run_id={quote(dag_run_id)}{task}")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the viewport in CSS pixels. A window cannot be as narrow as a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def set_theme(self, theme: str) -> None:
        """Choose the theme, like a user in another tab."""
        self.driver.execute_script(
            "localStorage.setItem('theme', arguments[0]);"
            "window.dispatchEvent(new StorageEvent('storage', {key: 'theme', newValue: arguments[0]}))",
            theme,
        )

    def find(self, css: str, text: str = "") -> WebElement:
        """Wait for a visible element that contains a text, and return it."""
        return self.until(lambda: next(iter(self.shown(css, text)), None), f"{css} with {text!r}")

    def shown(self, css: str, text: str = "") -> list[WebElement]:
        """Return the visible elements."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [each for each in found if each.is_displayed() and text in each.text]

    def click(self, css: str, text: str = "") -> None:
        """Click an element as soon as it is clickable."""

        def clicked() -> bool:
            for element in self.shown(css, text):
                if element.is_enabled():
                    element.click()
                    return True
            return False

        self.until(clicked, f"{css} with {text!r} is clicked")

    def fill(self, css: str, text: str) -> None:
        """Replace the text of a field. The page may recreate the field meanwhile."""

        def filled() -> bool:
            field = self.shown(css)[0]
            if field.get_attribute("value") != text:
                field.clear()
                field.send_keys(text)
            return self.shown(css)[0].get_attribute("value") == text

        self.until(filled, f"{css} has its text")

    def fetch(self, path: str) -> int:
        """Return the HTTP status of a path, requested by the page."""
        script = "fetch(arguments[0]).then((answer) => arguments[1](answer.status), () => arguments[1](0))"
        status: int = self.driver.execute_async_script(script, f"{self.airflow.url}/{path}")
        return status

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, and return its result."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def until(self, probe: Callable[[], T | None], what: str) -> T:
        """Wait until a probe returns true. Elements may be missing or replaced meanwhile."""
        waiting = WebDriverWait(self.driver, LIMIT, ignored_exceptions=PASSING)
        try:
            if found := waiting.until(lambda _: probe()):
                return found
        except TimeoutException:
            pass
        raise TimeoutError(f"{what}, at {self.driver.current_url}:\n{self._text()}")

    def screenshot(self, name: str) -> None:
        """Take a screenshot if a folder is set."""
        if SCREENSHOTS:
            self.driver.save_screenshot(str(Path(SCREENSHOTS) / f"{name}.png"))

    def _text(self) -> str:
        return str(self.run("document.body.innerText"))


@contextmanager
def browser(
    airflow: LocalAirflow, username: str | None = None, *, theme: str = "light", size: str = "1400,1000"
) -> Iterator[Browser]:
    """
    Open a browser, and close it at the end.

    :param username: user to log in, if any
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
        # Open a page first, since cookies and storage belong to its origin.
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
