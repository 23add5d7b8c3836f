# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAG of the storm test: many mapped starts at once, each launch of which leaves a line in a file."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

STARTS = int(os.environ["STORM_STARTS"])


class Task(HealthOmicsStartRunOperator):
    """Notes each of its launches on a worker."""

    def execute(self, context: Any) -> Any:
        """Note the first launch of a try."""
        self._note(context, "execute")
        return super().execute(context)

    def resume_start(self, context: Any, event: dict[str, Any]) -> Any:
        """Note a launch for a turn."""
        self._note(context, "turn")
        return super().resume_start(context, event)

    def _note(self, context: Any, launch: str) -> None:
        ti = context["ti"]
        with (Path(os.environ["AIRFLOW_HOME"]) / "launches").open("a") as file:
            file.write(f"{ti.map_index} {ti.try_number} {launch}\n")


with DAG("storm", schedule=None, max_active_tasks=STARTS):
    Task.partial(
        task_id="start",
        workflow_id="1",
        pool="storm",
        retries=3,
        retry_delay=timedelta(seconds=1),
    ).expand(tags=[{"sample": str(number)} for number in range(STARTS)])
