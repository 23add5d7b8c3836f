# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A workflow's parameter template, and what a run's parameters must have to fit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any


def workflow_parameter_problems(
    names: Iterable[str], template: Mapping[str, Any], *, may_inherit: bool = False
) -> list[str]:
    """
    Say which parameters are missing and which are unknown, by name.

    :param names: names of the parameters that a run would get
    :param template: the workflow's ``parameterTemplate``: ``{name: {"description": ..., "optional": bool}}``,
        where ``optional`` omitted means required. Empty means that HealthOmics knows none, and nothing is
        compared.
    :param may_inherit: whether missing parameters come from elsewhere, as for a duplicate run
    """
    return list(_problems(set(names), template, may_inherit)) if template else []


def _problems(names: set[str], template: Mapping[str, Any], may_inherit: bool) -> Iterator[str]:
    required = {name for name, entry in template.items() if not (entry or {}).get("optional", False)}
    missing = sorted(required - names)
    if missing and not may_inherit:
        yield f"parameters lacks what the workflow requires: {', '.join(missing)}"
    if unknown := sorted(names - template.keys()):
        known = sorted(template)
        yield f"parameters has what the workflow does not know: {', '.join(_hinted(unknown, known))}"


def _hinted(unknown: list[str], known: list[str]) -> Iterator[str]:
    for name in unknown:
        nearest = get_close_matches(name, known, n=1)
        yield f"{name} (did you mean {nearest[0]}?)" if nearest else name
