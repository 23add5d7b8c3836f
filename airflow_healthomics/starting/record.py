# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task remembers of its run, from one attempt to the next."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_healthomics.resources.base import Resource
from airflow_healthomics.starting.identity import RequestIds

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Key of the record in the task state store.
KEY: Final = "healthomics_start"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """
    An attempt at a task instance, as Airflow counts.

    :param number: ``try_number``, from 1
    :param max_tries: of the task instance; a Clear sets it to the attempts so far plus ``retries``
    :param clear_number: how many times a task of the DAG run was cleared, this or another one
    """

    number: int
    max_tries: int
    clear_number: int = 0


@dataclass(frozen=True, kw_only=True)
class StartRecord:
    """
    The run or run batch of a task instance, or the intention to start it.

    :param request_id: request ID of the start
    :param kind: run or batch
    :param name: name that was sent, if it is unique to this start and so finds it; None otherwise
    :param epoch: number of Clears before; without a task state store, ``max_tries``
    :param generation: number of those of this epoch that were seen to have failed before
    :param resource_id: its id; None until the start has been answered
    :param uuid: its uuid
    :param arn: its ARN, which has its account and region
    :param started: Unix time of the first StartRun
    :param output_uri: where its outputs are
    :param fingerprint: keyed digest of the request, ``{key}:{digest}``, which tells whether it has changed
        and nothing else of it
    :param earlier: ids of the generations before, as far as they were started
    :param attempt: number of the attempt that started or last reattached to it
    :param max_tries: ``max_tries`` of the task instance then
    :param clear_number: ``clear_number`` of the DAG run then
    :param settled: Unix time at which that attempt came to an end by itself, and not by a kill or a crash
    :param is_outcome_unknown: whether it failed without knowing how the run ends
    :param connection: ``aws_conn_id``, ``region_name`` and ``verify`` of the task
    :param cancel_on_kill: whether it is cancelled if a person ends the task
    """

    request_id: str
    epoch: int
    kind: str = "run"
    name: str | None = None
    generation: int = 0
    resource_id: str | None = None
    uuid: str | None = None
    arn: str | None = None
    started: float | None = None
    output_uri: str | None = None
    fingerprint: str | None = None
    earlier: tuple[str, ...] = ()
    attempt: int = 0
    max_tries: int = 0
    clear_number: int = 0
    settled: float | None = None
    is_outcome_unknown: bool = False
    connection: Mapping[str, Any] = field(default_factory=dict)
    cancel_on_kill: bool = True

    def is_from_before_a_clear(self, attempt: Attempt, retries: int) -> bool:
        """
        Whether a person has cleared the task since.

        A Clear changes ``max_tries``, unless ``retries`` was edited so that it comes to the same number.
        Then the number is that of a Clear, and some task of the DAG run was cleared. For a running task the
        scheduler can lose the change, if it meets several at once; where no retry is left, the attempt shows
        the Clear.

        :param attempt: the present one
        :param retries: of the task, as the DAG has it now
        """
        if attempt.max_tries != self.max_tries:
            return True
        if attempt.number <= self.attempt:
            return False
        is_beyond_retries = attempt.number > attempt.max_tries + 1
        is_number_of_a_clear = attempt.max_tries == attempt.number - 1 + retries
        is_cleared = attempt.clear_number != self.clear_number
        return is_beyond_retries or (is_number_of_a_clear and is_cleared)


class StartStore(Protocol):
    """Where the record of a task instance is kept."""

    @property
    def counts_clears(self) -> bool:
        """Whether the record outlives a Clear, and so counts them; else ``max_tries`` is the epoch."""

    @property
    def is_complete(self) -> bool:
        """Whether :meth:`load` finds every start that an earlier attempt can have made."""

    def load(self) -> StartRecord | None:
        """Return the record of the earlier attempts."""

    def save(self, record: StartRecord) -> None:
        """Keep the record; when this returns, no crash loses it."""


class TaskStateStore:
    """
    The record in Airflow's task state store (3.3 and later), which survives retries and clears.

    :param store: ``context["task_state_store"]``
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def counts_clears(self) -> bool:
        """Yes."""
        return True

    @property
    def is_complete(self) -> bool:
        """Yes: the record is written before the start."""
        return True

    def load(self) -> StartRecord | None:
        """Return the stored record."""
        return parse_record(self._store.get(KEY))

    def save(self, record: StartRecord) -> None:
        """Store the record for as long as the DAG run exists."""
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # a lazy import of 3.3

        # A tuple is no JSON to the store.
        value = {**asdict(record), "earlier": list(record.earlier)}
        self._store.set(KEY, value, retention=NEVER_EXPIRE)


def parse_record(value: Any) -> StartRecord | None:
    """
    Return a record as the store has it, or None if there is none.

    :param value: JSON value; fields of a later version of this package are left out, for the day of a
        downgrade
    """
    if not isinstance(value, Mapping) or not _is_record(value):
        return None
    known = {each.name for each in fields(StartRecord)}
    record = StartRecord(**{name: value[name] for name in known & value.keys()})
    return replace(record, earlier=tuple(record.earlier))


def _is_record(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("request_id"), str) and isinstance(value.get("epoch"), int)


class NameLookupStore:
    """
    The record read off the runs themselves, for Airflow before 3.3, which keeps nothing between attempts.

    A run's name is its request ID, which can be derived again.

    :param resource: the task's runs or batches
    :param request_ids: request IDs of the task
    :param attempt: the present attempt
    :param starts: number of attempts that can have started a run or batch
    """

    def __init__(self, resource: Resource, request_ids: RequestIds, attempt: Attempt, *, starts: int) -> None:
        self._resource = resource
        self._request_ids = request_ids
        self._attempt = attempt
        self._starts = starts

    @property
    def counts_clears(self) -> bool:
        """No: a Clear changes the names."""
        return False

    @property
    def is_complete(self) -> bool:
        """Not after a first attempt: a run may have a custom name, or have been removed."""
        return self._starts == 0

    def load(self) -> StartRecord | None:
        """Return the record of the newest generation that has a run; an older one may have been removed."""
        newest = None
        earlier: list[str] = []
        request_ids = dict.fromkeys(
            self._request_ids.of(self._attempt.max_tries, generation) for generation in range(self._starts)
        )
        for generation, request_id in enumerate(request_ids):
            name = self._resource.unique_name(request_id)
            if found := self._resource.find(name):
                if newest and newest.resource_id:
                    earlier.append(newest.resource_id)
                newest = StartRecord(
                    request_id=request_id,
                    kind=self._resource.noun,
                    name=name,
                    epoch=self._attempt.max_tries,
                    generation=generation,
                    resource_id=found["id"],
                    uuid=found.get("uuid"),
                    arn=found.get("arn"),
                    earlier=tuple(earlier),
                    attempt=self._attempt.number,
                    max_tries=self._attempt.max_tries,
                    clear_number=self._attempt.clear_number,
                )
        return newest

    def save(self, record: StartRecord) -> None:
        """Keep nothing: the run's name says it all."""


def open_start_store(
    context: Context,
    resource: Resource,
    request_ids: RequestIds,
    attempt: Attempt,
    *,
    starts: int,
) -> StartStore:
    """
    Return where the record of this task instance is kept.

    :param context: the task's context
    :param resource: the task's runs or batches
    :param request_ids: request IDs of the task, used where there is no task state store
    :param attempt: the present attempt
    :param starts: number of attempts that can have started a run or batch
    """
    store = context.get("task_state_store")
    if store is not None:
        return TaskStateStore(store)
    return NameLookupStore(resource, request_ids, attempt, starts=starts)


def fingerprint(request: Mapping[str, Any], key: str | None = None) -> str:
    """
    Return ``{key}:{digest}`` of a request, with a fresh key unless one is given.

    :param request: a StartRun request
    :param key: key of the fingerprint to compare with
    """
    key = key or secrets.token_hex(16)
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return f"{key}:{hmac.digest(key.encode(), text.encode(), hashlib.sha256).hex()}"


def has_changed(record: StartRecord, request: Mapping[str, Any]) -> bool:
    """
    Whether a request is another one than that of the record.

    :param record: record of the start
    :param request: a StartRun request
    """
    if record.fingerprint is None:
        return False
    key, _, _ = record.fingerprint.partition(":")
    return not hmac.compare_digest(fingerprint(request, key), record.fingerprint)
