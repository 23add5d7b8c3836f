# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Control the local HealthOmics: pace, clock, planned outcomes, faults, and what was called.

Each verb is a method of :class:`Control`. ``Control()`` acts on the local HealthOmics of its own process;
``Control(endpoint_url)`` sends the same verb to a server in any process, as ``POST /_healthomics/<verb>``
with the arguments as a JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moto.core.base_backend import BackendDict

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.models import all_backends, apply_due_transitions

from .batches import BatchVerbs
from .calls import CallVerbs
from .runs import RunVerbs
from .verbs import ERRORS, PATH, VERBS, verb

__all__ = ["ERRORS", "PATH", "VERBS", "Control", "perform"]


class Control(RunVerbs, BatchVerbs, CallVerbs):
    """
    The verbs.

    :param endpoint_url: Where the server listens; None for the local HealthOmics of this process.
    """

    @verb
    def reset(self) -> None:
        """Forget every run, batch, workflow, fault, plan and call, and all else in moto: buckets, ..."""
        with LOCAL.lock:
            BackendDict.reset()
            LOCAL.reset()

    @verb
    def set_options(self, /, **changes: Any) -> None:
        """Change fields of :class:`Options`; the pace applies to running runs and batches at once."""
        with LOCAL.lock:
            LOCAL.options = replace(LOCAL.options, **changes)
            for backend in all_backends():
                backend.reschedule()

    @verb
    def advance_clock(self, seconds: float) -> None:
        """Move the local clock forward, and every run and batch whose time has come."""
        with LOCAL.lock:
            LOCAL.clock.advance(seconds)
            apply_due_transitions()

    @verb
    def stop_clock(self) -> None:
        """Let time pass only by :meth:`advance_clock`."""
        LOCAL.clock.stop()


def perform(name: str, arguments: Mapping[str, Any]) -> Any:
    """Do a verb in this process; the other end of :func:`verb`."""
    if name not in VERBS:
        raise LookupError(f"{name} is no verb; there are {', '.join(sorted(VERBS))}")
    return VERBS[name](Control(), **arguments)
