# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_healthomics.creating.named import NamedResource


class RunGroupResource(NamedResource):
    """Run groups, which limit how many runs, CPUs and GPUs are used at once, and for how long."""

    noun = "run group"
    id_argument = "run_group_id"
    operation_suffix = "RunGroup"
    updatable = ("maxRuns", "maxCpus", "maxGpus", "maxDuration")

    def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Call CreateRunGroup."""
        return dict(self.hook.conn.create_run_group(**fields))

    def get(self, resource_id: str) -> dict[str, Any]:
        """Call GetRunGroup."""
        return self.hook.get_run_group(resource_id)

    def named(self, name: str) -> Iterator[dict[str, Any]]:
        """Call ListRunGroups. Compare the names again, because AWS does not document how the filter does."""
        return (group for group in self.hook.list_run_groups(name=name) if group.get("name") == name)

    def update(self, resource_id: str, changes: Mapping[str, Any]) -> None:
        """Call UpdateRunGroup."""
        self.hook.conn.update_run_group(id=resource_id, **changes)

    def delete(self, resource_id: str) -> None:
        """Call DeleteRunGroup."""
        self.hook.delete_run_group(resource_id)
