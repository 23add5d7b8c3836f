# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A real Airflow with the FAB auth manager, which Amazon MWAA uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dev.local_airflow import LocalAirflow


class FabAirflow(LocalAirflow):
    """
    A real Airflow with the FAB auth manager.

    It requires apache-airflow[fab].

    :param custom_roles: resources that a role may read, by its name. It has no other permissions, besides
        those in the ``access_control`` of DAGs.
    :param more: arguments of :class:`LocalAirflow`. A role is admin, op, user, viewer, one of the custom
        ones, or "" for Public.
    """

    def __init__(
        self, *arguments: Any, custom_roles: Mapping[str, Sequence[str]] | None = None, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._custom_roles = dict(custom_roles or {})

    def _sections(self) -> dict[str, dict[str, object]]:
        sections = super()._sections()
        sections["core"]["auth_manager"] = (
            "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
        )
        return sections

    def _create_database(self) -> None:
        super()._create_database()
        for role, resources in self._custom_roles.items():
            self.run_cli("roles", "create", role)
            self.run_cli("roles", "add-perms", role, "--action", "can_read", "--resource", *resources)
        for username, role in self._roles.items():
            user = {
                "username": username,
                "password": self.passwords[username],
                "role": role if role in self._custom_roles else (role or "public").capitalize(),
                "email": f"{username}@example.com",
                "firstname": username,
                "lastname": username,
            }
            self.run_cli("users", "create", *(f"--{name}={value}" for name, value in user.items()))
