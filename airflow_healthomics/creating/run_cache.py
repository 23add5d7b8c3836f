# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run caches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from airflow_healthomics.creating.named import NamedResource


class RunCacheResource(NamedResource):
    """Run caches, which keep the outputs of tasks in S3 for later runs."""

    noun = "run cache"
    id_argument = "cache_id"
    operation_suffix = "RunCache"
    updatable = ("description", "cacheBehavior")
    fixed: ClassVar[Mapping[str, str]] = {
        "cacheS3Location": "cacheS3Uri",
        "cacheBucketOwnerId": "cacheBucketOwnerId",
    }

    def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Call CreateRunCache."""
        return dict(self.hook.conn.create_run_cache(**fields))

    def get(self, resource_id: str) -> dict[str, Any]:
        """Call GetRunCache."""
        return self.hook.get_run_cache(resource_id)

    def named(self, name: str) -> Iterator[dict[str, Any]]:
        """Call ListRunCaches, which has no filter."""
        for cache in self.hook.list_run_caches():
            # AWS does not document how a run cache becomes FAILED.
            if cache.get("name") == name and cache.get("status") not in ("DELETED", "FAILED"):
                yield cache

    def update(self, resource_id: str, changes: Mapping[str, Any]) -> None:
        """Call UpdateRunCache."""
        self.hook.conn.update_run_cache(id=resource_id, **changes)

    def delete(self, resource_id: str) -> None:
        """Call DeleteRunCache."""
        self.hook.delete_run_cache(resource_id)

    def is_equal(self, name: str, found: Any, wanted: Any) -> bool:
        """Whether a value is equal. AWS does not document whether it keeps a slash at the end of a URI."""
        return super().is_equal(name, str(found).rstrip("/"), str(wanted).rstrip("/"))
