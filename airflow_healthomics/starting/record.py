# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The record of a task's run or batch, which later attempts read."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from airflow_healthomics.resources.base import Resource
from airflow_healthomics.starting.identity import RequestIds

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Key of the record in the task state store.
KEY: Final = "healthomics_start"


class Attempt(NamedTuple):
    """
    An attempt of a task instance, by Airflow's numbers.

    :param number: ``try_number``, starting at 1
    :param max_tries: ``max_tries`` of the task instance; a Clear sets it to the attempts so far plus
        ``retries``
    :param clear_number: number of Clears in the DAG run, of this or another task
    """

    number: int
    max_tries: int
    clear_number: int = 0

    @classmethod
    def of(cls, context: Context) -> Attempt:
        """Return the current attempt of a task."""
        ti = context["ti"]
        return cls(
            number=ti.try_number,
            max_tries=int(ti.max_tries),
            clear_number=getattr(context["dag_run"], "clear_number", None) or 0,
        )


class StartRecord(NamedTuple):
    """
    The run or run batch of a task instance, or the intention to start it.

    :param request_id: request ID of the start
    :param kind: run or batch
    :param name: name in the request if it is unique to this start and so can be searched for, else None
    :param epoch: number of Clears before the start; without a task state store, ``max_tries``
    :param generation: number of failed runs or batches in this epoch before the start
    :param resource_id: id of the run or batch; None until the start has succeeded
    :param uuid: its uuid
    :param arn: its ARN, which contains account and region
    :param started: Unix time of the first StartRun call
    :param output_uri: S3 URI of its outputs
    :param fingerprint: keyed digest of the request, ``{key}:{digest}``. It shows whether the request has
        changed, and reveals nothing else about it
    :param earlier: ids of the earlier generations that were started
    :param attempt: number of the attempt that started it or last reattached to it
    :param max_tries: ``max_tries`` of the task instance in that attempt
    :param clear_number: ``clear_number`` of the DAG run in that attempt
    :param settled: Unix time at which that attempt ended by itself; None after a kill or crash
    :param is_outcome_unknown: whether that attempt failed before the outcome was known
    :param connection: ``aws_conn_id``, ``region_name`` and ``verify`` of the task
    :param cancel_on_kill: whether to cancel it if a person ends the task
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
    connection: Mapping[str, Any] = {}
    cancel_on_kill: bool = True

    def is_from_before_a_clear(self, attempt: Attempt, retries: int) -> bool:
        """
        Whether a person has cleared the task since.

        A Clear changes ``max_tries``, with two exceptions. If ``retries`` was edited, the new value may equal
        the old one. Then a Clear is detected if ``max_tries`` is the value that a Clear would set, and
        ``clear_number`` of the DAG run has changed. For a running task, the scheduler can lose the change if
        there are several at once. Then an attempt beyond ``max_tries`` shows the Clear.

        :param attempt: the current attempt
        :param retries: ``retries`` in the current version of the DAG
        """
        if attempt.max_tries != self.max_tries:
            return True
        if attempt.number <= self.attempt:
            return False
        is_beyond_retries = attempt.number > attempt.max_tries + 1
        is_number_of_a_clear = attempt.max_tries == attempt.number - 1 + retries
        is_cleared = attempt.clear_number != self.clear_number
        return is_beyond_retries or (is_number_of_a_clear and is_cleared)

    def known_fields(self) -> dict[str, Any]:
        """Return what is recorded of the run or batch, by the names of GetRun."""
        fields = {
            "id": self.resource_id,
            "uuid": self.uuid,
            "arn": self.arn,
            "runOutputUri": self.output_uri,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def is_of_later_attempt(self, attempt: Attempt) -> bool:
        """
        Whether a later attempt has written it since: Airflow has lost this one, which must not change it.

        :param attempt: the current attempt
        """
        return self.attempt > attempt.number


class StartStore(Protocol):
    """Store of the record of a task instance."""

    @property
    def counts_clears(self) -> bool:
        """Whether the record survives a Clear, so that it can count them; else ``max_tries`` is the epoch."""

    @property
    def is_complete(self) -> bool:
        """Whether :meth:`load` finds every start of an earlier attempt."""

    def load(self) -> StartRecord | None:
        """Return the record of the earlier attempts."""

    def save(self, record: StartRecord) -> None:
        """Store the record; after this returns, no crash loses it."""


class TaskStateStore:
    """
    Airflow's task state store (3.3 and later), which survives retries and Clears.

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

        # The store rejects tuples as not JSON.
        value = {**record._asdict(), "earlier": list(record.earlier)}
        self._store.set(KEY, value, retention=NEVER_EXPIRE)


def parse_record(value: Any) -> StartRecord | None:
    """
    Return the record from the store's JSON value, or None if there is none.

    :param value: JSON value. Fields of a later version of this package are ignored, so that a downgrade works
    """
    if not isinstance(value, Mapping) or not _is_record(value):
        return None
    record = StartRecord(**{name: value[name] for name in StartRecord._fields if name in value})
    return record._replace(earlier=tuple(record.earlier))


def _is_record(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("request_id"), str) and isinstance(value.get("epoch"), int)


class NameLookupStore:
    """
    Record derived from a search for the runs by name, for Airflow before 3.3 without a task state store.

    The name of a run is its request ID, which can be derived again.

    :param resource: the task's runs or batches
    :param request_ids: request IDs of the task
    :param attempt: the current attempt
    :param starts: number of attempts that may have started a run or batch
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
        """Only in the first attempt. Later, a run may have a custom name or may have been removed."""
        return self._starts == 0

    def load(self) -> StartRecord | None:
        """Return the record of the newest generation with a run; older runs may have been removed."""
        newest = None
        earlier: list[str] = []
        request_ids = dict.fromkeys(
            self._request_ids.of(self._attempt.max_tries, generation) for generation in range(self._starts)
        )
        for generation, request_id in enumerate(request_ids):
            name = self._resource.unique_name(request_id)
            if found := self._resource.find(name):
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
                )
                earlier.append(found["id"])
        return newest

    def save(self, record: StartRecord) -> None:
        """Do nothing: the run's name is enough."""


def open_start_store(
    context: Context,
    resource: Resource,
    request_ids: RequestIds,
    attempt: Attempt,
    *,
    starts: int,
) -> StartStore:
    """
    Return the store for the record of this task instance.

    :param context: the task's context
    :param resource: the task's runs or batches
    :param request_ids: request IDs of the task, used if there is no task state store
    :param attempt: the current attempt
    :param starts: number of attempts that may have started a run or batch
    """
    store = context.get("task_state_store")
    if store is not None:
        return TaskStateStore(store)
    return NameLookupStore(resource, request_ids, attempt, starts=starts)


def fingerprint(request: Mapping[str, Any], key: str | None = None) -> str:
    """
    Return ``{key}:{digest}`` of a request, with a random key by default.

    :param request: a StartRun or StartRunBatch request
    :param key: key of the fingerprint to compare with
    """
    key = key or secrets.token_hex()
    text = json.dumps(request, sort_keys=True)
    return f"{key}:{hmac.digest(key.encode(), text.encode(), hashlib.sha256).hex()}"


def has_changed(record: StartRecord, request: Mapping[str, Any]) -> bool:
    """
    Whether a request differs from the recorded one.

    :param record: record of the start
    :param request: a StartRun or StartRunBatch request
    """
    if record.fingerprint is None:
        return False
    key, _, _ = record.fingerprint.partition(":")
    return not hmac.compare_digest(fingerprint(request, key), record.fingerprint)
