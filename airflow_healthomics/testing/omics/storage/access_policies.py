# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""S3 access policies of sequence stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import ResourceNotFoundException, ValidationException

from . import events
from .sequence_store import SequenceStore
from .sequence_stores import SequenceStores

#: User guide, page "fixed-quotas". The model allows 100,000 characters.
MAX_POLICY_BYTES: Final = 15_360
#: User guide, page "s3-sharing": "the system rejects the request" with other elements and conditions.
ELEMENTS: Final = frozenset({"Version", "Id", "Statement"})
STATEMENT_ELEMENTS: Final = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})
CONDITION_KEYS: Final = frozenset({"s3:prefix", "s3:signatureversion", "s3:tlsversion", "aws:principalarn"})
TAG_CONDITION: Final = "s3:existingobjecttag/"
PRINCIPAL_OPERATORS: Final = ("ArnEquals", "ArnLike")


class AccessPolicies:
    """The S3 access policies. They have no effect on the local S3."""

    def __init__(self, backend: Backend, stores: SequenceStores) -> None:
        self._backend = backend
        self._stores = stores

    # --- operations ---

    def put_s3_access_policy(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Set the policy of a sequence store, which has only elements and conditions that are supported."""
        store = self._store(params)
        _check_policy(params["s3AccessPolicy"])
        store.policy = (params["s3AccessPolicy"], LOCAL.clock.now())
        self._announce(store, "UPDATED")
        return _view(store)

    def get_s3_access_policy(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the policy of a sequence store. A new store has one for the root user of its account."""
        store = self._store(params)
        if store.policy is None:
            raise ResourceNotFoundException(f"Sequence store {store.id} has no S3 access policy")
        policy, updated = store.policy
        return {**_view(store), "s3AccessPolicy": policy, "updateTime": to_datetime(updated)}

    def delete_s3_access_policy(self, params: Mapping[str, Any]) -> None:
        """Delete the policy of a sequence store."""
        store = self._store(params)
        if store.policy is None:
            raise ResourceNotFoundException(f"Sequence store {store.id} has no S3 access policy")
        store.policy = None
        self._announce(store, "DELETED")

    def _store(self, params: Mapping[str, Any]) -> SequenceStore:
        for store in self._stores:
            if store.access_point_arn == params["s3AccessPointArn"]:
                return store
        raise ResourceNotFoundException(f"Access point {params['s3AccessPointArn']} not found")

    def _announce(self, store: SequenceStore, status: str) -> None:
        """AWS does not document the statuses of these events."""
        place = (self._backend.account_id, self._backend.region_name)
        events.announce(
            "S3 Access Policy", place, LOCAL.clock.now(), resource=store.arn, **_view(store), status=status
        )


def _view(store: SequenceStore) -> dict[str, Any]:
    return {
        "s3AccessPointArn": store.access_point_arn,
        "storeId": store.id,
        "storeType": "SEQUENCE_STORE",
    }


def _check_policy(text: str) -> None:
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise ValidationException(f"s3AccessPolicy must have at most {MAX_POLICY_BYTES} bytes")
    try:
        policy = json.loads(text)
    except ValueError:
        raise ValidationException("s3AccessPolicy must be JSON") from None
    if not isinstance(policy, dict):
        raise ValidationException("s3AccessPolicy must be a JSON object")
    statements = policy.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not all(isinstance(each, dict) for each in statements):
        raise ValidationException("Statement of s3AccessPolicy must be a list of objects")
    unsupported = policy.keys() - ELEMENTS
    for statement in statements:
        unsupported |= statement.keys() - STATEMENT_ELEMENTS
        unsupported |= _unsupported_conditions(statement.get("Condition"))
    if unsupported:
        raise ValidationException(f"s3AccessPolicy does not support {', '.join(sorted(unsupported))}")


def _unsupported_conditions(condition: Any) -> set[str]:
    if condition is None:
        return set()
    if not isinstance(condition, dict) or not all(isinstance(each, dict) for each in condition.values()):
        raise ValidationException("Condition of s3AccessPolicy must be an object of objects")
    return {
        f"{key} with {operator}" if key.lower() == "aws:principalarn" else key
        for operator, keys in condition.items()
        for key in keys
        if not _supports(operator, key.lower())
    }


def _supports(operator: str, key: str) -> bool:
    if key == "aws:principalarn":
        return operator in PRINCIPAL_OPERATORS
    return key in CONDITION_KEYS or key.startswith(TAG_CONDITION)
