# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The reference stores of one account in one region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import ResourceNotFoundException, error_of
from airflow_healthomics.testing.omics.listing import page
from airflow_healthomics.testing.omics.quotas import check_quota

from . import events
from .files import StoredFile
from .filters import matches

#: Reference stores per account and region (user guide, page "create-reference-store").
MAX_STORES: Final = 1
#: Members of Create that Get returns under the same name.
ECHOED: Final = ("name", "description", "sseConfig")


@dataclass(eq=False, kw_only=True)
class Reference:
    """A reference genome."""

    id: str
    arn: str
    store_id: str
    request: Mapping[str, Any]
    created: float
    job_id: str
    files: Mapping[str, StoredFile]

    def item(self) -> dict[str, Any]:
        """Return the reference for ListReferences."""
        return {
            "id": self.id,
            "arn": self.arn,
            "referenceStoreId": self.store_id,
            "md5": self.files["source"].digest,
            "status": "ACTIVE",
            "name": self.request["name"],
            "description": self.request.get("description"),
            "creationTime": to_datetime(self.created),
            "updateTime": to_datetime(self.created),
        }

    def view(self) -> dict[str, Any]:
        """Return the reference for GetReferenceMetadata."""
        return {
            **self.item(),
            "files": {name: file.information() for name, file in self.files.items()},
            "creationType": "IMPORT",
            "creationJobId": self.job_id,
        }


@dataclass(eq=False, kw_only=True)
class ReferenceStore:
    """A reference store with its references."""

    id: str
    arn: str
    request: Mapping[str, Any]
    created: float
    references: dict[str, Reference] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """Return the store."""
        return {
            "id": self.id,
            "arn": self.arn,
            **{name: self.request.get(name) for name in ECHOED},
            "creationTime": to_datetime(self.created),
        }


class ReferenceStores:
    """The reference stores."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stores: dict[str, ReferenceStore] = {}

    def tagged(self) -> Iterator[ReferenceStore | Reference]:
        """Yield everything that can have tags."""
        for store in self._stores.values():
            yield store
            yield from store.references.values()

    # --- operations ---

    def create_reference_store(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a reference store, of which an account has one in each region."""
        store: ReferenceStore | None = self._backend.client_tokens.result("CreateReferenceStore", params)
        if store is None:
            check_quota("reference stores", len(self._stores), MAX_STORES)
            store_id, now = self._backend.new_storage_id(), LOCAL.clock.now()
            store = self._stores[store_id] = ReferenceStore(
                id=store_id,
                arn=self._backend.arn("referenceStore", store_id),
                request=params,
                created=now,
            )
            self._backend.client_tokens.remember("CreateReferenceStore", params, store)
            self._announce(store, "CREATED")
            self._announce(store, "ACTIVE")
        return store.view()

    def get_reference_store(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a reference store."""
        return self.find(params["id"]).view()

    def list_reference_stores(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of reference stores."""
        return page(
            self._stores.values(),
            params,
            key=lambda store: int(store.id),
            item=ReferenceStore.view,
            wanted=lambda store: matches(params, store.view()),
            result_member="referenceStores",
            token_member="nextToken",
        )

    def delete_reference_store(self, params: Mapping[str, Any]) -> None:
        """Delete a reference store that has no references (API reference)."""
        store = self.find(params["id"])
        if store.references:
            raise error_of(LOCAL.options.delete_error, f"Reference store {store.id} has references")
        del self._stores[store.id]
        self._announce(store, "DELETED")

    # --- for references and read sets ---

    def find(self, store_id: str) -> ReferenceStore:
        """Return a store."""
        if store_id not in self._stores:
            raise ResourceNotFoundException(f"Reference store {store_id} not found")
        return self._stores[store_id]

    def find_reference(self, store_id: str, reference_id: str) -> Reference:
        """Return a reference of a store."""
        references = self.find(store_id).references
        if reference_id not in references:
            raise ResourceNotFoundException(f"Reference {reference_id} of store {store_id} not found")
        return references[reference_id]

    def check_reference(self, arn: str | None) -> None:
        """Require that the reference of a read set exists, unless the option ``any_reference`` is on."""
        if arn is None or LOCAL.options.lenient("any_reference"):
            return
        if all(
            arn != reference.arn for store in self._stores.values() for reference in store.references.values()
        ):
            raise ResourceNotFoundException(f"Reference {arn} not found")

    def _announce(self, store: ReferenceStore, status: str) -> None:
        place = (self._backend.account_id, self._backend.region_name)
        events.announce(
            "Reference Store", place, LOCAL.clock.now(), resource=store.arn, arn=store.arn, status=status
        )
