# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Ends that no event reported, found in the lists of HealthOmics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.events.ends import Candidate, End, EndSource
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import is_retryable

#: Makes a call with the hook in a thread.
Call: TypeAlias = Callable[..., Awaitable[Any]]

#: Confirmed candidates to remember. Each would cost a GetRun in each reconciliation.
_MEMORY: Final = 100_000

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


class Reconciliation:
    """
    Finds ends in lists. A candidate costs a GetRun once, not in each pass.

    :param source: kind of resource
    :param search: criteria
    :param call: makes a call
    """

    def __init__(self, source: EndSource, search: EndSearch, call: Call) -> None:
        self.source = source
        self.search = search
        self._call = call
        self._confirmed: dict[tuple[Any, ...], None] = {}

    async def ends(self, horizon: datetime) -> AsyncIterator[End]:
        """
        Yield the matching ends since a time, in the order of their ends.

        :param horizon: the time
        :raises ClientError: if a list or a confirmation fails; what could be confirmed was yielded before
        :raises BotoCoreError: the same
        """
        candidates = await self._call(self._list, horizon)
        failure: ClientError | BotoCoreError | None = None
        for candidate in sorted(candidates, key=lambda each: each.ended or _EARLIEST):
            if candidate.key in self._confirmed:
                continue
            try:
                end = await self._call(self.source.confirm, candidate)
            except (ClientError, BotoCoreError) as error:
                if is_retryable(error):
                    raise
                # One run that may not be read holds up no other.
                failure = error
                continue
            if end is None:
                continue
            # A list of batches has no times of their ends.
            is_recent = end.at is None or end.at >= horizon
            if is_recent and self.search.matches(end.payload, end.described):
                yield end
            self._confirmed[candidate.key] = None
        while len(self._confirmed) > _MEMORY:
            del self._confirmed[next(iter(self._confirmed))]
        if failure is not None:
            raise failure

    def _list(self, hook: HealthOmicsHook, horizon: datetime) -> list[Candidate]:
        return list(self.source.candidates(hook, self.search, horizon))


def first_end(hook: HealthOmicsHook, source: EndSource, search: EndSearch, since: datetime) -> End | None:
    """
    Return the first matching end since a time, for a task on a worker.

    :param hook: hook with the client
    :param source: kind of resource
    :param search: criteria
    :param since: the time
    """
    candidates = list(source.candidates(hook, search, since))
    for candidate in sorted(candidates, key=lambda each: each.ended or _EARLIEST):
        end = source.confirm(hook, candidate)
        is_recent = end is not None and (end.at is None or end.at >= since)
        if end is not None and is_recent and search.matches(end.payload, end.described):
            return end
    return None
