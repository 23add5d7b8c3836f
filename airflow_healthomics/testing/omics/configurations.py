# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Configurations of one account in one region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .configuration import Configuration
from .exceptions import ResourceNotFoundException, error_of
from .listing import page
from .quotas import check_quota

#: Service quota L-D91CDC5E, "Configurations - Maximum configurations".
MAX_CONFIGURATIONS = 10


class Configurations:
    """The configurations."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._configurations: dict[str, Configuration] = {}
        self._created = 0

    def tagged(self) -> Iterator[Configuration]:
        """Yield everything that can have tags."""
        yield from self._existing().values()

    # --- operations ---

    def create_configuration(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a configuration. The user guide allows names of 50 characters, the model 128 as here."""
        known: Configuration | None = self._backend.request_ids.result("CreateConfiguration", params)
        if known is not None:
            return known.view()
        name = params["name"]
        if name in self._existing():
            raise error_of(LOCAL.options.used_name_error, f"Configuration {name} exists already")
        check_quota("configurations", len(self._configurations), MAX_CONFIGURATIONS)
        self._created += 1
        made = self._configurations[name] = Configuration(
            name=name,
            arn=self._backend.arn("configuration", name),
            uuid=LOCAL.uuid(),
            number=self._created,
            request=params,
            created=LOCAL.clock.now(),
        )
        self._backend.request_ids.remember("CreateConfiguration", params, made)
        return {**made.view(), "status": "CREATING"}

    def get_configuration(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration."""
        return self._configuration(params["name"]).view()

    def list_configurations(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of configurations."""
        return page(self._existing().values(), params, key=lambda each: each.number, item=Configuration.item)

    def delete_configuration(self, params: Mapping[str, Any]) -> None:
        """
        Delete a configuration that no active run uses (user guide, page "workflows-vpc-networking").

        AWS does not document whether a DELETED configuration can be found; here it cannot.
        """
        found = self._configuration(params["name"])
        name = found.name
        if any(run.request.get("configurationName") == name for run in self._backend.active.values()):
            raise error_of(LOCAL.options.delete_error, f"Configuration {name} has active runs")
        found.deleted = found.deleted or LOCAL.clock.now()

    # --- for runs ---

    def of(self, request: Mapping[str, Any]) -> Configuration | None:
        """
        Return the configuration of a StartRun request, if any.

        It must exist, unless the option ``any_configuration`` is on, and be ACTIVE.
        """
        name = request.get("configurationName")
        if name is None or (name not in self._existing() and LOCAL.options.lenient("any_configuration")):
            return None
        found = self._configuration(name)
        if found.status != "ACTIVE":
            message = f"Configuration {name} is {found.status}, not ACTIVE"
            raise error_of(LOCAL.options.inactive_error, message)
        return found

    def _existing(self) -> dict[str, Configuration]:
        """Forget deleted configurations, and return the others."""
        for each in list(self._configurations.values()):
            if each.status == "DELETED":
                del self._configurations[each.name]
        return self._configurations

    def _configuration(self, name: str) -> Configuration:
        if name not in self._existing():
            raise ResourceNotFoundException(f"Configuration {name} not found")
        return self._configurations[name]
