# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Results of ``benchmarks/``: ``{measured} waiting`` and so on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmarks import local, overhead, quotas, report, starting

RESULTS: Final = Path(__file__).resolve().parents[2] / "benchmarks" / "results"

#: Each part: the file of the results, and what makes Markdown of them.
PARTS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "waiting": ("waiting.json", report.markdown_table),
    "further-run": ("waiting.json", report.further_run_line),
    "outcomes": ("outcomes.json", report.outcomes_table),
    "quotas": ("quotas.json", quotas.quota_table),
    "overhead": ("overhead.json", overhead.overhead_table),
    "starting": ("starting.json", starting.starting_table),
    "run-page": ("run_page.json", report.run_page_table),
    "large-run": ("run_page.json", report.large_run_table),
    "local": ("local.json", local.local_table),
}


class Measured(SphinxDirective):
    """A part of :data:`PARTS`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parsed part. The page is built anew when the results change."""
        name, shown = PARTS[self.arguments[0]]
        path = RESULTS / name
        self.env.note_dependency(str(path))
        lines = shown(json.loads(path.read_text())).splitlines()
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(path)), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
