# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""References that have no page here, and links to files of the repository."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

REPOSITORY = "https://github.com/airflow-healthomics/airflow-provider-healthomics/blob/main/"


class RepositoryFile(SphinxRole):
    """Link to a file of the repository: ``{repo}`tests```, or with a title."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, and a warning where there is no such file."""
        title, bracket, path = self.text.removesuffix(">").rpartition("<")
        path = path.strip()
        if not (Path(self.env.srcdir).parent / path).exists():
            message = self.inliner.reporter.warning(f"the repository has no {path}", line=self.lineno)
            return [], [message]
        shown = nodes.Text(title.strip()) if bracket else nodes.literal(text=path)
        return [nodes.reference("", "", shown, refuri=REPOSITORY + path)], []


def _plain_text(app: Sphinx, env: Any, node: Any, contnode: nodes.Node) -> nodes.Node | None:
    """Return the text of a reference to an object that exists but has no page; others remain warnings."""
    if node.get("refdomain") != "py":
        return None
    return contnode if any(map(_exists, _candidates(node))) else None


def _candidates(node: Any) -> Iterator[str]:
    target, module, cls = node["reftarget"], node.get("py:module"), node.get("py:class")
    yield target
    if module:
        yield f"{module}.{target}"
        if cls:
            yield f"{module}.{cls}.{target}"
            # Where a class is documented under its public name, its own module knows the name.
            yield f"{getattr(importlib.import_module(module), cls, None).__module__}.{target}"


def _exists(path: str) -> bool:
    parts = path.split(".")
    if hasattr(builtins, parts[0]):
        return True
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        try:
            for part in parts[count:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and the handler."""
    app.add_role("repo", RepositoryFile())
    # After intersphinx.
    app.connect("missing-reference", _plain_text, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
