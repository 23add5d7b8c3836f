# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Runs that are computed on this machine, beside those that follow a plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from airflow_healthomics.testing.engine.workspace import Workspace
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.plans import RunPlan

from .backend import Backend
from .computation import Computation
from .run import Run
from .workflow import Definition

#: Engines that can be computed. For Nextflow, a Java virtual machine and Nextflow itself would be necessary.
COMPUTED = ("CWL", "WDL", "WDL_LENIENT")


def simulation(definition: Definition) -> RunPlan | None:
    """Return the plan of a run without one, or None if the run is computed."""
    if not LOCAL.options.compute:
        return RunPlan()
    if definition.engine not in COMPUTED:
        reason = f"{definition.engine} workflows are not computed here"
    elif definition.inspection.archive is None or definition.main is None:
        reason = "the definition of the workflow is unknown"
    else:
        return None
    return RunPlan(engine_log=[f"This run is simulated: {reason}"])


class Computations:
    """The computations of this process. Except for :meth:`end`, the caller holds the lock of ``LOCAL``."""

    def __init__(self) -> None:
        self._workspace = Workspace()
        self._active: dict[Computation, Future[None]] = {}

    def begin(
        self,
        run: Run,
        cache_id: str | None,
        backend: Backend,
        tasks_changed: Callable[[Run, float], None],
    ) -> None:
        """Begin to compute a run once a CPU is free. The parameters are those of :class:`Computation`."""
        run.tasks = {}
        computation = Computation(run, cache_id, self._workspace, backend, tasks_changed)
        run.computation = computation
        future = _threads().submit(computation.compute)
        self._active[computation] = future
        future.add_done_callback(lambda _: self._active.pop(computation, None))

    def forget(self) -> None:
        """End all processes, and remove their files. The runs are forgotten by the caller."""
        for computation in list(self._active):
            computation.forget()
        self._workspace.remove()
        self._workspace = Workspace()

    def end(self) -> None:
        """Forget all computations, and wait for their threads. The caller must not hold the lock."""
        with LOCAL.lock:
            futures = list(self._active.values())
            self.forget()
        for future in futures:
            future.result()


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that compute runs, as many as CPUs. The tasks of a run are parallel, too."""
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="healthomics-run")


#: Those of this process.
COMPUTATIONS = Computations()
