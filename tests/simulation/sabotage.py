# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Protections of exactly-once that can be disabled, to prove that the simulation notices each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.starting import exactly_once
from airflow_healthomics.starting.exactly_once import ExactlyOnceStart
from airflow_healthomics.starting.identity import RequestIds
from airflow_healthomics.starting.outcome import StartOutcome
from airflow_healthomics.starting.record import StartRecord, TaskStateStore


def without_write_ahead(patch: pytest.MonkeyPatch) -> None:
    """Write no record before the run is known."""
    save = TaskStateStore.save

    def late(store: TaskStateStore, record: StartRecord) -> None:
        if record.resource_id is not None:
            save(store, record)

    patch.setattr(TaskStateStore, "save", late)


def without_uuid(patch: pytest.MonkeyPatch) -> None:
    """Treat any run with the recorded id as the recorded run."""
    described = ExactlyOnceStart._described
    patch.setattr(
        ExactlyOnceStart, "_described", lambda start, record: described(start, record._replace(uuid=None))
    )
    for resource in (RunResource, BatchResource):
        cancel = resource.cancel
        patch.setattr(
            resource, "cancel", lambda self, resource_id, uuid, cancel=cancel: cancel(self, resource_id, None)
        )


def without_guard_after_start(patch: pytest.MonkeyPatch) -> None:
    """Do not cancel the run of a StartRun that was in flight when the task was killed."""
    watch = ExactlyOnceStart._watch_for_kill

    def before_start_only(start: ExactlyOnceStart, record: StartRecord | None) -> None:
        if record is None or record.resource_id is None:
            watch(start, record)

    patch.setattr(ExactlyOnceStart, "_watch_for_kill", before_start_only)


def without_grace(patch: pytest.MonkeyPatch) -> None:
    """Treat a run that GetRun does not find yet as deleted."""
    patch.setattr(exactly_once, "VISIBILITY_GRACE", 0)
    patch.setattr(StartOutcome, "is_new", False)


def without_epoch(patch: pytest.MonkeyPatch) -> None:
    """Use the request ID of the first epoch after each Clear."""
    of = RequestIds.of
    patch.setattr(RequestIds, "of", lambda ids, epoch, generation=0: of(ids, 0, generation))


SABOTAGES: Final[Mapping[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "write-ahead": without_write_ahead,
    "uuid": without_uuid,
    "guard after StartRun": without_guard_after_start,
    "grace": without_grace,
    "epoch": without_epoch,
}
