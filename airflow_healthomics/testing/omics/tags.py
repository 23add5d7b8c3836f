# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tags of resources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .exceptions import ResourceNotFoundException, ValidationException
from .run_rules import MAX_TAGS


class Tagged(Protocol):
    """A resource with tags, which are in the request that created it."""

    @property
    def arn(self) -> str:
        """The ARN."""

    request: Mapping[str, Any]


class Tags:
    """
    The tags of all resources.

    :param resources: Returns everything that can have tags.
    """

    def __init__(self, resources: Callable[[], Iterable[Tagged]]) -> None:
        self._resources = resources

    def tag_resource(self, params: Mapping[str, Any]) -> None:
        """Add tags to a resource, or change their values."""
        resource = self._resource(params)
        tags = {**(resource.request.get("tags") or {}), **params["tags"]}
        if len(tags) > MAX_TAGS:
            raise ValidationException(f"a resource has at most {MAX_TAGS} tags")
        resource.request = {**resource.request, "tags": tags}

    def untag_resource(self, params: Mapping[str, Any]) -> None:
        """Remove tags from a resource."""
        resource = self._resource(params)
        tags = resource.request.get("tags") or {}
        kept = {name: value for name, value in tags.items() if name not in params["tagKeys"]}
        resource.request = {**resource.request, "tags": kept}

    def list_tags_for_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tags of a resource."""
        return {"tags": self._resource(params).request.get("tags") or {}}

    def _resource(self, params: Mapping[str, Any]) -> Tagged:
        arn = params["resourceArn"]
        for resource in self._resources():
            if resource.arn == arn:
                return resource
        raise ResourceNotFoundException(f"Resource {arn} not found")
