# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Control the local HealthOmics: pace, clock, planned outcomes, faults, and recorded calls.

Each verb is a method of :class:`Control`. ``Control()`` acts on the local HealthOmics of its own process;
``Control(endpoint_url)`` sends the verb to a server in any process, as ``POST /_healthomics/<verb>`` with the
arguments as a JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moto.core.base_backend import BackendDict

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.computations import COMPUTATIONS
from airflow_healthomics.testing.omics.models import all_backends, apply_all_due_transitions
from airflow_healthomics.testing.omics.side_effects import forget_unread

from .batches import BatchVerbs
from .calls import CallVerbs
from .runs import RunVerbs
from .storage import StorageVerbs
from .verbs import ERRORS, PATH, VERBS, verb

__all__ = ["ERRORS", "PATH", "VERBS", "Control", "perform"]


class Control(RunVerbs, BatchVerbs, StorageVerbs, CallVerbs):
    """
    All verbs.

    :param endpoint_url: URL of the server; None for the local HealthOmics of this process.
    """

    @verb
    def reset(self) -> None:
        """Remove all resources, faults, plans and calls, and all other data of moto."""
        with LOCAL.lock:
            forget_unread()
            COMPUTATIONS.forget()
            BackendDict.reset()
            LOCAL.reset()

    @verb
    def set_options(self, /, **changes: Any) -> None:
        """
        Change fields of :class:`Options`. A new pace also applies to active runs and batches.

        Whether code runs on this machine cannot be changed.
        """
        if {"compute", "engine_python"} & changes.keys():
            raise ValueError("compute and engine_python can be set only at the start")
        with LOCAL.lock:
            LOCAL.options = replace(LOCAL.options, **changes)
            for backend in all_backends():
                backend.reschedule()

    @verb
    def advance_clock(self, seconds: float) -> None:
        """Move the local clock forward, and apply due transitions."""
        with LOCAL.lock:
            LOCAL.clock.advance(seconds)
            apply_all_due_transitions()

    @verb
    def stop_clock(self) -> None:
        """Stop the clock. From now on, only :meth:`advance_clock` moves it."""
        LOCAL.clock.stop()


def perform(name: str, arguments: Mapping[str, Any]) -> Any:
    """Perform a verb that :func:`verb` sent from another process."""
    if name not in VERBS:
        raise LookupError(f"{name} is not a verb; use one of {', '.join(sorted(VERBS))}")
    return VERBS[name](Control(), **arguments)
