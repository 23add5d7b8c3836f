# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The findings of axe-core on a page."""

from __future__ import annotations

from typing import Any, Final

from axe_core_python.selenium import Axe

from dev.browser import Browser

CONTRAST: Final = "color-contrast"

#: axe-core before 4.8 does not know oklch(), and then reports nothing about contrast.
_COLOURS_AS_RGB: Final = """
const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
const context = canvas.getContext('2d', { willReadFrequently: true });
const known = new Map();
function rgb(colour) {
    if (!known.has(colour)) {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
        known.set(colour, `rgba(${red}, ${green}, ${blue}, ${alpha / 255})`);
    }
    return known.get(colour);
}
const plain = (value) => (typeof value === 'string' ? value.replace(/oklch\\([^)]*\\)/g, rgb) : value);
const computed = window.axe ? null : window.getComputedStyle;
if (computed) window.getComputedStyle = (...node) => new Proxy(computed.apply(window, node), {
    get(style, name) {
        const value = style[name];
        return typeof value === 'function' ? (...given) => plain(value.apply(style, given)) : plain(value);
    },
});
"""


def violations(window: Browser) -> dict[str, list[str]]:
    """Return the violated rules of axe-core, by theme; in the dark one, only contrast can differ."""
    window.driver.execute_script(_COLOURS_AS_RGB)
    window.set_theme("light")
    light = _results(window)
    window.set_theme("dark")
    dark = _results(window, runOnly=[CONTRAST])
    window.set_theme("light")
    return {"light": light, "dark": dark}


def _results(window: Browser, **options: Any) -> list[str]:
    # Only the first elements of each passed rule, since selectors take time.
    results = Axe().run(window.driver, options={"resultTypes": ["violations"], **options})
    if CONTRAST not in {rule["id"] for rule in results["passes"]}:
        raise AssertionError("axe-core has not compared any colours")
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}"
        for rule in results["violations"]
        for node in rule["nodes"]
    ]
