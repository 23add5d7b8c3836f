# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task remembers of its run, from one try to the next."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_healthomics.resources import Resource

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Key of the record in the task state store.
KEY: Final = "healthomics_run"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """
    The run or run batch of a task instance, or the intention to start it.

    :param request_id: request ID of the start
    :param epoch: ``max_tries`` of the task instance when it was started, which a Clear raises
    :param generation: number of those of this epoch that were seen to have failed before
    :param run_id: its id; None until its start has answered
    :param uuid: its uuid
    :param fingerprint: keyed digest of the request, ``{key}:{digest}``, which tells whether it has changed
        and nothing else of it
    :param earlier: ids of the generations before, as far as they were started
    """

    request_id: str
    epoch: int
    generation: int = 0
    run_id: str | None = None
    uuid: str | None = None
    fingerprint: str | None = None
    earlier: tuple[str, ...] = ()


class RunRecords(Protocol):
    """Where the record of a task instance is kept."""

    @property
    def is_complete(self) -> bool:
        """Whether :meth:`load` tells of every start that an earlier try can have made."""

    def load(self) -> RunRecord | None:
        """Return what an earlier try has left."""

    def save(self, record: RunRecord) -> None:
        """Keep the record; when this returns, no crash loses it."""


class StoredRecords:
    """
    The record in Airflow's task state store (3.3 and later), which survives retries and clears.

    :param store: ``context["task_state_store"]``
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def is_complete(self) -> bool:
        """Yes: the record is written before the start."""
        return True

    def load(self) -> RunRecord | None:
        """Return the stored record."""
        value = self._store.get(KEY)
        # A field of a later version of this package is left out, for the day of a downgrade.
        known = {field.name for field in fields(RunRecord)}
        if not value:
            return None
        record = RunRecord(**{name: value[name] for name in known & value.keys()})
        return replace(record, earlier=tuple(record.earlier))

    def save(self, record: RunRecord) -> None:
        """Store the record for as long as the DAG run exists."""
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # a lazy import of 3.3

        # A tuple is no JSON to the store.
        value = {**asdict(record), "earlier": list(record.earlier)}
        self._store.set(KEY, value, retention=NEVER_EXPIRE)


class NamedRecords:
    """
    The record read off the runs themselves, for Airflow before 3.3, which remembers nothing from try to try.

    A run's name is its request ID, which can be derived again.

    :param resource: what the task starts
    :param request_id: request ID of a generation
    :param epoch: ``max_tries`` of the task instance
    :param tries: how many tries can have started one, and so how many generations there can be
    """

    def __init__(self, resource: Resource, request_id: Callable[[int], str], epoch: int, tries: int) -> None:
        self._resource = resource
        self._request_id = request_id
        self._epoch = epoch
        self._tries = tries

    @property
    def is_complete(self) -> bool:
        """Not after a first try: a run may have a name of the user's own, or have been removed."""
        return self._tries == 0

    def load(self) -> RunRecord | None:
        """Return the record of the newest generation that has a run; an older one may have been removed."""
        newest = None
        earlier: list[str] = []
        request_ids = dict.fromkeys(map(self._request_id, range(self._tries)))
        for generation, request_id in enumerate(request_ids):
            if found := self._resource.find(request_id):
                if newest and newest.run_id:
                    earlier.append(newest.run_id)
                newest = RunRecord(
                    request_id=request_id,
                    epoch=self._epoch,
                    generation=generation,
                    run_id=found["id"],
                    uuid=found.get("uuid"),
                    earlier=tuple(earlier),
                )
        return newest

    def save(self, record: RunRecord) -> None:
        """Keep nothing: the run's name says it all."""


def run_records(
    context: Context,
    resource: Resource,
    request_id: Callable[[int], str],
    epoch: int,
    *,
    tries: int,
) -> RunRecords:
    """
    Return where the record of this task instance is kept.

    :param context: the task's context
    :param resource: what the task starts
    :param request_id: request ID of a generation
    :param epoch: ``max_tries`` of the task instance
    :param tries: how many tries can have started one
    """
    store = context.get("task_state_store")
    if store is not None:
        return StoredRecords(store)
    return NamedRecords(resource, request_id, epoch, tries)


def fingerprint(request: Mapping[str, Any], key: str | None = None) -> str:
    """
    Return ``{key}:{digest}`` of a request, with a fresh key unless one is given.

    :param request: a StartRun request
    :param key: key of the fingerprint to compare with
    """
    key = key or secrets.token_hex(16)
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return f"{key}:{hmac.digest(key.encode(), text.encode(), hashlib.sha256).hex()}"


def has_changed(record: RunRecord, request: Mapping[str, Any]) -> bool:
    """
    Whether a request is another one than that of the record.

    :param record: record of the start
    :param request: a StartRun request
    """
    if record.fingerprint is None:
        return False
    key, _, _ = record.fingerprint.partition(":")
    return not hmac.compare_digest(fingerprint(request, key), record.fingerprint)
