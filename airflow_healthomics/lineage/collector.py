# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect the lineage of a task's run or batch, if Airflow's OpenLineage provider is installed and enabled.

The provider requests the lineage in a forked process after the end of the task. Such a process must not call
Airflow or AWS. So the task collects the lineage beforehand. An error in here never fails a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.waiting.deadlines import time_left

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_healthomics.compat import Context
    from airflow_healthomics.hooks.best_effort import BestEffortClient
    from airflow_healthomics.lineage.datasets import Lineage

#: No call starts later than this many seconds after the first; it may last LONGEST_CALL_SECONDS.
MAX_SECONDS: Final = 10.0


def is_openlineage_on(task: Any) -> bool:
    """
    Whether Airflow's OpenLineage provider is installed, configured and enabled for the task.

    :param task: operator or sensor
    """
    try:
        from airflow.providers.openlineage.conf import is_disabled

        if is_disabled():
            return False
        from airflow.providers.openlineage.utils.utils import (
            is_operator_disabled,
            is_selective_lineage_enabled,
        )

        return not is_operator_disabled(task) and bool(is_selective_lineage_enabled(task))
    except Exception:  # noqa: BLE001 - with unreadable settings, the provider emits nothing either
        return False


class LineageCollector:
    """
    Collects the lineage of a task's run or batch for OpenLineage.

    :param task: operator or sensor
    :ivar collected: the lineage, once it has been collected
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self.collected: Lineage | None = None

    @property
    def is_on(self) -> bool:
        """Whether OpenLineage receives events of this task."""
        return is_openlineage_on(self._task)

    def facets(self) -> OperatorLineage | None:
        """Return the collected lineage as facets, or None."""
        if self.collected is None:
            return None
        from airflow_healthomics.lineage.facets import operator_lineage

        return operator_lineage(self.collected)

    def collect_run(self, context: Context, run: Mapping[str, Any]) -> None:
        """
        Collect the lineage of a run, with GetRun for its parameters and GetWorkflow for its engine.

        :param context: the task's context
        :param run: answer of StartRun or GetRun, or a summary of it
        """
        if not self.is_on:
            return
        from airflow_healthomics.lineage.reading import read_run_lineage

        self._collect(context, f"run {run['id']}", lambda aws: read_run_lineage(aws, run))

    def collect_batch(
        self,
        context: Context,
        batch: Mapping[str, Any],
        *,
        settings: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
        has_own_outputs: bool = False,
        sheet: str | None = None,
        manifest: str | None = None,
    ) -> None:
        """
        Collect the lineage of a batch, with GetBatch for its parameters and GetWorkflow for its engine.

        :param context: the task's context
        :param batch: answer of StartRunBatch or GetBatch, or a summary of it
        :param settings: returns the run settings, by API names or argument names
        :param has_own_outputs: whether run settings may have output URIs
        :param sheet: S3 URI of the sample sheet
        :param manifest: S3 URI of the manifest
        """
        if not self.is_on:
            return
        from airflow_healthomics.lineage.reading import inputs_enabled, read_batch_lineage

        def settings_if_needed(is_any_complete: bool) -> Iterable[Mapping[str, Any]]:
            if not inputs_enabled() and not (is_any_complete and has_own_outputs):
                return ()
            try:
                return settings()
            except Exception as error:  # noqa: BLE001 - reading a sheet may raise anything
                self._task.log.info(
                    "The lineage of batch %s is incomplete: reading its run settings failed with %s",
                    batch["id"],
                    error_code(error),
                )
                return ()

        self._collect(
            context,
            f"batch {batch['id']}",
            lambda aws: read_batch_lineage(aws, batch, settings_if_needed, sheet, manifest),
        )

    def _collect(self, context: Context, subject: str, read: Callable[[BestEffortClient], Lineage]) -> None:
        from airflow_healthomics.hooks.best_effort import BestEffortClient

        subject = f"The lineage of {subject}"
        try:
            # Lineage must not delay the task beyond its timeout.
            seconds = max(0.0, BestEffortClient.seconds_within(MAX_SECONDS, time_left(self._task, context)))
            note = self._task.log.info
            self.collected = read(
                BestEffortClient(self._task.hook, subject, seconds=seconds, on_error=note, on_missing=note)
            )
        except AirflowTaskTimeout:
            self._task.log.info("%s is skipped: the task timed out", subject)
        except Exception as error:  # noqa: BLE001 - lineage must not fail a task whose run is known
            self._task.log.info("%s is skipped: %s", subject, error_code(error))
