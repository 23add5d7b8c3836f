# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run caches of one account in one region, and the outputs of tasks that they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.plans import TaskPlan

from .backend import Backend
from .exceptions import ResourceNotFoundException, error_of
from .listing import page
from .quotas import check_quota
from .run import Run
from .s3_objects import etags_in

#: User guide, page "fixed-quotas".
MAX_CACHES = 1000
#: API reference of UpdateRunCache.
UPDATABLE = ("name", "description", "cacheBehavior")
#: User guide, page "workflow-cache-startrun", "Error cases for run caches": in these cases nothing is saved,
#: whatever the behavior.
SAVES_NOTHING = ("RUN_TIMED_OUT", "EXPORT_FAILED", "FILE_SYSTEM_OUT_OF_SPACE")


@dataclass(kw_only=True)
class RunCache:
    """A run cache, with the keys of the tasks whose outputs it holds."""

    id: str
    arn: str
    account: str
    request: Mapping[str, Any]
    created: float
    keys: set[str] = field(default_factory=set)

    @property
    def behavior(self) -> str:
        """The default behavior (user guide, page "workflow-cache-create")."""
        return str(self.request.get("cacheBehavior") or "CACHE_ON_FAILURE")

    def item(self) -> dict[str, Any]:
        """Return the cache for ListRunCaches."""
        return {
            "arn": self.arn,
            "id": self.id,
            "name": self.request.get("name"),
            "status": "ACTIVE",
            "cacheBehavior": self.behavior,
            "cacheS3Uri": self.request["cacheS3Location"],
            "creationTime": to_datetime(self.created),
        }

    def view(self) -> dict[str, Any]:
        """Return the cache for GetRunCache."""
        return {
            **self.item(),
            "description": self.request.get("description"),
            # "If not provided, your account ID is set as the owner of the bucket" (API reference).
            "cacheBucketOwnerId": self.request.get("cacheBucketOwnerId") or self.account,
            "tags": self.request.get("tags") or {},
        }


class RunCaches:
    """The run caches."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._caches: dict[str, RunCache] = {}

    def tagged(self) -> Iterator[RunCache]:
        """Yield everything that can have tags."""
        yield from self._caches.values()

    # --- operations ---

    def create_run_cache(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a run cache."""
        cache: RunCache | None = self._backend.request_ids.result("CreateRunCache", params)
        if cache is None:
            check_quota("run caches", len(self._caches), MAX_CACHES)
            cache_id = self._backend.new_id()
            cache = self._caches[cache_id] = RunCache(
                id=cache_id,
                arn=self._backend.arn("runCache", cache_id),
                account=self._backend.account_id,
                request=params,
                created=LOCAL.clock.now(),
            )
            self._backend.request_ids.remember("CreateRunCache", params, cache)
        tags = cache.request.get("tags") or {}
        return {"arn": cache.arn, "id": cache.id, "status": "ACTIVE", "tags": tags}

    def get_run_cache(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run cache."""
        return self._cache(params["id"]).view()

    def list_run_caches(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of run caches."""
        return page(self._caches.values(), params, key=lambda cache: int(cache.id), item=RunCache.item)

    def update_run_cache(self, params: Mapping[str, Any]) -> None:
        """Update a run cache."""
        cache = self._cache(params["id"])
        changes = {name: params[name] for name in UPDATABLE if name in params}
        cache.request = {**cache.request, **changes}

    def delete_run_cache(self, params: Mapping[str, Any]) -> None:
        """Delete a run cache "if no active runs are using it" (user guide, page "workflow-cache-delete")."""
        cache = self._cache(params["id"])
        if any(run.request.get("cacheId") == cache.id for run in self._backend.active.values()):
            raise error_of(LOCAL.options.delete_error, f"Run cache {cache.id} has active runs")
        del self._caches[cache.id]

    # --- for runs ---

    def check(self, request: Mapping[str, Any]) -> None:
        """Require that the run cache of a request exists, unless the option ``any_run_cache`` is on."""
        if "cacheId" in request and not LOCAL.options.lenient("any_run_cache"):
            self._cache(request["cacheId"])

    def reuse(self, run: Run, plan: TaskPlan) -> TaskPlan:
        """
        Return the plan of a task, which is a cache hit if the cache holds its outputs.

        A task that is planned to fail is never a hit.
        """
        cache = self._of(run)
        if cache is None or plan.failure_reason or _key(run, plan) not in cache.keys:
            return plan
        return replace(plan, cache_hit=True, seconds=0.0)

    def save(self, run: Run) -> None:
        """
        Save the outputs of the completed tasks of a run that is STOPPING.

        CACHE_ON_FAILURE saves those of failed runs (API reference of CreateRunCache), and both behaviors
        those of cancelled runs (user guide, page "workflow-cache-startrun", "Caching on cancelled runs").
        """
        cache = self._of(run)
        if cache is None or run.failure_reason in SAVES_NOTHING:
            return
        behavior = run.request.get("cacheBehavior") or cache.behavior
        if behavior == "CACHE_ON_FAILURE" and run.outcome == "COMPLETED":
            return
        if run.computation is not None:
            run.computation.save_cache()
        cache.keys.update(_key(run, task.plan) for task in run.tasks.values() if task.status == "COMPLETED")

    def uri(self, run: Run) -> str | None:
        """Return the S3 URI of the run's cache."""
        cache = self._of(run)
        return None if cache is None else str(cache.request["cacheS3Location"])

    def id_of(self, run: Run) -> str | None:
        """Return the id of the run's cache."""
        cache = self._of(run)
        return None if cache is None else cache.id

    def _of(self, run: Run) -> RunCache | None:
        return self._caches.get(run.request.get("cacheId", ""))

    def _cache(self, cache_id: str) -> RunCache:
        if cache_id not in self._caches:
            raise ResourceNotFoundException(f"Run cache {cache_id} not found")
        return self._caches[cache_id]


def _key(run: Run, plan: TaskPlan) -> str:
    """
    Return the key of a task in a cache: its definition, container and inputs.

    "The subsequent run uses the cache outputs ... if the task definition, inputs, and container in ECR are
    identical to the prior run" (API reference of CreateRunCache). The inputs of single tasks are unknown
    here, so those of the run count, with the ETags of their objects (user guide, page "how-run-cache").
    """
    inputs = run.request.get("parameters") or run.request.get("parametersUri")
    key = [
        run.definition.digest,
        plan.name,
        plan.image,
        plan.cpus,
        plan.memory,
        plan.gpus,
        inputs,
        etags_in(inputs, run.account, run.partition),
    ]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
