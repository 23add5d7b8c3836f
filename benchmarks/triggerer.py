# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
``airflow triggerer`` with a probe in its runner.

``python -m benchmarks.triggerer triggerer ...``
"""

from __future__ import annotations

import asyncio

from airflow.__main__ import main
from airflow.jobs.triggerer_job_runner import TriggerRunner

from benchmarks.probe import Probe


def install() -> None:
    """Start a probe in each runner. Runners are forked from this process."""
    arun = TriggerRunner.arun

    async def arun_with_probe(self: TriggerRunner) -> None:
        probe = Probe(self)
        serving = asyncio.create_task(probe.serve())
        try:
            await arun(self)  # type: ignore[no-untyped-call]
        finally:
            serving.cancel()

    TriggerRunner.arun = arun_with_probe  # type: ignore[method-assign]


if __name__ == "__main__":
    install()
    main()
