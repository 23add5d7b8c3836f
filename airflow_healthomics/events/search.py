# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which ends a watcher reports; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from airflow_healthomics.exceptions import HealthOmicsRequestError


@dataclass(frozen=True, kw_only=True)
class EndSearch:
    """
    Criteria for runs or batches. All that are given must match.

    :param statuses: terminal statuses
    :param workflow_id: id of the workflow
    :param workflow_name: name of the workflow
    :param run_group_id: id of the run group
    :param name_pattern: shell-style pattern of the name, such as ``sample-*``, case-sensitive
    :param tags: tags that the run or batch must have
    """

    statuses: Sequence[str]
    workflow_id: str | None = None
    workflow_name: str | None = None
    run_group_id: str | None = None
    name_pattern: str | None = None
    tags: Mapping[str, str] | None = None

    def check(self, terminal: Collection[str], pattern_argument: str) -> None:
        """
        Validate the criteria.

        :param terminal: statuses that an end may have
        :param pattern_argument: name of the argument for the name pattern
        :raises HealthOmicsRequestError: if a criterion breaks a rule
        """
        if problems := list(self._problems(terminal, pattern_argument)):
            raise HealthOmicsRequestError("The search for ended runs", problems)

    def may_match(self, known: Mapping[str, Any]) -> bool:
        """
        Whether a run or batch may match, by an item of a list or an event. What these lack is not compared.

        :param known: ``status``, ``name``, ``workflowId`` and ``workflowName``, as far as they are known
        """
        if known.get("status") not in self.statuses:
            return False
        wanted = {"workflowId": self.workflow_id, "workflowName": self.workflow_name}
        if any(value and known.get(name) not in (None, value) for name, value in wanted.items()):
            return False
        return not self.name_pattern or fnmatchcase(known.get("name") or "", self.name_pattern)

    def matches(self, payload: Mapping[str, Any], described: Mapping[str, Any] | None) -> bool:
        """
        Whether an end matches.

        :param payload: of its event
        :param described: answer of GetRun or GetBatch; None if it was deleted, and then only a search without
            ``run_group_id`` and ``tags`` matches
        """
        if not self.may_match(payload):
            return False
        if self.workflow_name and payload.get("workflowName") != self.workflow_name:
            return False
        if described is None:
            return not self.run_group_id and not self.tags
        group = described.get("runGroupId", (described.get("defaultRunSetting") or {}).get("runGroupId"))
        if self.run_group_id and group != self.run_group_id:
            return False
        return (self.tags or {}).items() <= (described.get("tags") or {}).items()

    def _problems(self, terminal: Collection[str], pattern_argument: str) -> Iterator[str]:
        statuses: Any = self.statuses
        if isinstance(statuses, str) or not statuses:
            yield "statuses must be a list of terminal statuses"
        elif unknown := sorted(set(statuses) - set(terminal)):
            yield f"statuses must be among {', '.join(sorted(terminal))}, not {', '.join(unknown)}"
        texts = {
            "workflow_id": self.workflow_id,
            "workflow_name": self.workflow_name,
            "run_group_id": self.run_group_id,
            pattern_argument: self.name_pattern,
        }
        for argument, value in texts.items():
            if value is not None and (not isinstance(value, str) or not value):
                yield f"{argument} must be non-empty text, not {type(value).__name__}"
        for argument in ("workflow_id", "run_group_id"):
            value = texts[argument]
            if isinstance(value, str) and value and not (value.isascii() and value.isdigit()):
                yield f"{argument} must consist of digits"
        tags: Any = self.tags
        if tags is not None and not (
            isinstance(tags, Mapping) and all(isinstance(each, str) for pair in tags.items() for each in pair)
        ):
            yield "tags must be a mapping of text to text"
