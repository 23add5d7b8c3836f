# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Log streams and S3 objects of runs, made when they are first read.

Few tests read them, and moto needs a multiple of a run's memory and time for them. moto keeps them in
dictionaries, whose subclasses here make the artefacts of a run on the first access to one of them, and those
of all runs on the first access to all entries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from moto.logs.models import LogStream
from moto.s3.utils import _VersionedKeyStore

from airflow_healthomics.testing.local import LOCAL

T = TypeVar("T")

_RUN_STREAM = re.compile(r"(?:manifest/)?run/(\d+)(?:/.*)?")


class Deferred(Generic[T]):
    """
    Artefacts that are not made yet.

    :param make: Makes one of them.
    """

    def __init__(self, make: Callable[[T], None]) -> None:
        self._make = make
        self._waiting: dict[str, list[T]] = {}

    def add(self, place: str, artefact: T) -> None:
        """Defer an artefact at a place, which may have several. The caller holds the lock of ``LOCAL``."""
        waiting = self._waiting.setdefault(place, [])
        if artefact not in waiting:
            waiting.append(artefact)

    def make(self, place: str) -> None:
        """Make the artefacts of a place."""
        if place not in self._waiting:
            return
        with LOCAL.lock:
            for artefact in self._waiting.pop(place, ()):
                self._make(artefact)

    def make_all(self) -> None:
        """Make all artefacts."""
        for place in list(self._waiting):
            self.make(place)

    def clear(self) -> None:
        """Forget all artefacts, since nobody can read them any more."""
        self._waiting.clear()


class RunStreams(dict[str, LogStream]):
    """The streams of a log group. Those of a run are at the place of its id."""

    def __init__(self, streams: dict[str, LogStream], make: Callable[[Any], None]) -> None:
        super().__init__(streams)
        self.deferred = Deferred(make)

    def _make(self, name: object) -> None:
        if isinstance(name, str) and (found := _RUN_STREAM.fullmatch(name)):
            self.deferred.make(found[1])

    def __contains__(self, name: object) -> bool:
        self._make(name)
        return super().__contains__(name)

    def __getitem__(self, name: str) -> LogStream:
        self._make(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self.deferred.make_all()
        return super().__iter__()

    def keys(self) -> Any:
        """Return the names of all streams."""
        self.deferred.make_all()
        return super().keys()

    def values(self) -> Any:
        """Return all streams."""
        self.deferred.make_all()
        return super().values()

    def items(self) -> Any:
        """Return all streams by their names."""
        self.deferred.make_all()
        return super().items()


class RunObjects(_VersionedKeyStore):
    """The objects of a bucket. Those of a run are at the place of its key prefix."""

    def __init__(self, objects: dict[str, Any], make: Callable[[Any], None]) -> None:
        super().__init__(objects)
        self.deferred = Deferred(make)

    def _make(self, key: object) -> None:
        folder = str(key)
        while folder:
            folder = folder.rpartition("/")[0]
            self.deferred.make(folder)

    def __contains__(self, key: object) -> bool:
        self._make(key)
        return super().__contains__(key)

    def __sgetitem__(self, key: str) -> list[Any]:
        # Every look-up of a key, and of its versions, goes through this method.
        self._make(key)
        found: list[Any] = dict.__getitem__(self, key)
        return found

    def _self_iterable(self) -> dict[str, Any]:
        # So does every look-up of all keys.
        self.deferred.make_all()
        return super()._self_iterable()

    def __len__(self) -> int:
        self.deferred.make_all()
        return super().__len__()
