# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The sequence stores of one account in one region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import (
    ResourceNotFoundException,
    ValidationException,
    error_of,
)
from airflow_healthomics.testing.omics.listing import page

from . import events
from .changes import PlannedChange
from .filters import matches
from .read_set import ReadSet
from .s3_access import forget
from .sequence_store import SequenceStore

#: User guide, page "create-sequence-store": "up to five read set tag keys". The model allows 50.
MAX_PROPAGATED_TAGS: Final = 5
#: API reference of UpdateSequenceStore.
UPDATABLE: Final = ("name", "description", "fallbackLocation", "propagatedSetLevelTags", "s3AccessConfig")


class SequenceStores:
    """The sequence stores."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stores: dict[str, SequenceStore] = {}

    def __iter__(self) -> Iterator[SequenceStore]:
        return iter(list(self._stores.values()))

    def tagged(self) -> Iterator[SequenceStore | ReadSet]:
        """Yield everything that can have tags."""
        for store in self:
            yield store
            yield from store.read_sets.values()

    # --- operations ---

    def create_sequence_store(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a sequence store."""
        store: SequenceStore | None = self._backend.client_tokens.result("CreateSequenceStore", params)
        if store is None:
            _check_tags(params)
            store_id, now = self._backend.new_storage_id(), LOCAL.clock.now()
            store = self._stores[store_id] = SequenceStore(
                id=store_id,
                arn=self._backend.arn("sequenceStore", store_id),
                account=self._backend.account_id,
                region=self._backend.region_name,
                partition=self._backend.partition,
                request=params,
                created=now,
                changed=now,
            )
            store.policy = (store.default_policy(), now)
            self._backend.client_tokens.remember("CreateSequenceStore", params, store)
            self._await_change(store, "CREATED")
        return store.created_view()

    def get_sequence_store(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a sequence store."""
        return self.find(params["id"]).view()

    def list_sequence_stores(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of sequence stores."""
        return page(
            self._stores.values(),
            params,
            key=lambda store: int(store.id),
            item=SequenceStore.item,
            wanted=lambda store: matches(
                params, store.item(), ("status",), updated=to_datetime(store.changed)
            ),
            result_member="sequenceStores",
            token_member="nextToken",
        )

    def update_sequence_store(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Update a sequence store."""
        store: SequenceStore | None = self._backend.client_tokens.result("UpdateSequenceStore", params)
        if store is None:
            store = self.find(params["id"])
            _check_tags(params)
            changes = {name: params[name] for name in UPDATABLE if name in params}
            store.request = {**store.request, **changes}
            store.changed, store.changing = LOCAL.clock.now(), "UPDATING"
            self._backend.client_tokens.remember("UpdateSequenceStore", params, store)
            self._await_change(store, "UPDATED")
        return store.view()

    def delete_sequence_store(self, params: Mapping[str, Any]) -> None:
        """Delete a sequence store that has no read sets (API reference)."""
        store = self.find(params["id"])
        if store.read_sets:
            raise error_of(LOCAL.options.delete_error, f"Sequence store {store.id} has read sets")
        del self._stores[store.id]
        forget(store, self._backend)
        self._announce(store, "DELETED", LOCAL.clock.now())

    # --- for read sets, jobs and uploads ---

    def find(self, store_id: str) -> SequenceStore:
        """Return a store."""
        if store_id not in self._stores:
            raise ResourceNotFoundException(f"Sequence store {store_id} not found")
        return self._stores[store_id]

    def _await_change(self, store: SequenceStore, event: str) -> None:
        """Announce a change, and later that the store is ACTIVE."""
        self._announce(store, event, store.changed)
        changed = store.changed

        def become_active(at: float) -> None:
            if store.changed == changed and store.id in self._stores:
                self._announce(store, "ACTIVE", at)

        change = PlannedChange(changed, lambda options: options.store_changing_seconds, become_active)
        self._backend.schedule.add(change)

    def _announce(self, store: SequenceStore, status: str, at: float) -> None:
        place = (self._backend.account_id, self._backend.region_name)
        events.announce("Sequence Store", place, at, resource=store.arn, arn=store.arn, status=status)


def _check_tags(params: Mapping[str, Any]) -> None:
    if len(params.get("propagatedSetLevelTags") or ()) > MAX_PROPAGATED_TAGS:
        raise ValidationException(f"propagatedSetLevelTags must have at most {MAX_PROPAGATED_TAGS} entries")
