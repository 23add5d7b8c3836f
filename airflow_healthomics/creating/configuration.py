# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from airflow_healthomics.creating.named import add_missing_tags
from airflow_healthomics.creating.status_watch import ConfigurationWatch
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsResourceDiffersError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import explaining, is_gone, may_be_wrong_state

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log


class ConfigurationResource:
    """
    Configurations, which let runs reach a VPC. A name identifies one, and the API can change none.

    :param hook: hook of the task's connection
    :param log: the task's log
    """

    def __init__(self, hook: HealthOmicsHook, log: Log) -> None:
        self.hook = hook
        self.log = log

    def find(self, name: str) -> dict[str, Any] | None:
        """
        Describe the configuration; None if there is none.

        :param name: its name
        :raises HealthOmicsApiError: if the call is refused
        """
        try:
            with explaining("GetConfiguration", f"configuration {name}"):
                found = self.hook.get_configuration(name)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return None
            raise
        return None if found["status"] == "DELETED" else found

    def ensure(self, fields: Mapping[str, Any]) -> tuple[str, bool]:
        """
        Return the status of the configuration, created if necessary, and whether it is new.

        One that is DELETING must be gone before it can be created again.

        :param fields: valid fields of CreateConfiguration
        :raises HealthOmicsResourceDiffersError: if the configuration of this name differs
        :raises HealthOmicsApiError: if a call is refused
        """
        name = fields["name"]
        found = self.find(name)
        if found is None:
            try:
                with explaining("CreateConfiguration", f"configuration {name}"):
                    created = self.hook.conn.create_configuration(**fields)
                self.log.info("HealthOmics creates configuration %s", name)
                return str(created["status"]), True
            except HealthOmicsApiError as error:
                if error.__cause__ is None or not may_be_wrong_state(error.__cause__):
                    raise
                # Another task may have created it at the same time.
                found = self.find(name)
                if found is None:
                    raise
        if found["status"] != "DELETING":
            self._refuse_differences(found, fields)
            add_missing_tags(self.hook, f"configuration {name}", found, fields.get("tags", {}))
        return str(found["status"]), False

    def request_delete(self, name: str) -> bool:
        """
        Delete the configuration; return False if it does not exist.

        :param name: its name
        :raises HealthOmicsApiError: if the call is refused, for instance because active runs use it
        """
        try:
            with explaining("DeleteConfiguration", f"configuration {name}"):
                self.hook.delete_configuration(name)
        except HealthOmicsApiError as error:
            if is_gone(error):
                return False
            raise
        return True

    def watch(self, name: str, *, is_new: bool = False, is_deletion: bool = False) -> ConfigurationWatch:
        """
        Return the state of a wait for the configuration.

        :param name: its name
        :param is_new: whether it was created just now
        :param is_deletion: whether the wait is for its deletion
        """
        return ConfigurationWatch(name, is_new=is_new, is_deletion=is_deletion, log=self.log)

    def _refuse_differences(self, found: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        if differences := list(_differences(found, fields)):
            raise HealthOmicsResourceDiffersError(
                f"HealthOmics configuration {fields['name']}",
                differences,
                "Correct the arguments, choose another name, or delete the configuration.",
            )


def _differences(found: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the given fields that differ. The order of subnets and security groups has no meaning."""
    known: dict[str, Any] = {**found, **(found["runConfigurations"].get("vpcConfig") or {})}
    wanted: dict[str, Any] = {**fields, **fields["runConfigurations"]["vpcConfig"]}
    for name in ("subnetIds", "securityGroupIds"):
        if name in wanted and set(wanted[name]) != set(known.get(name) or ()):
            shown = (", ".join(sorted(each.get(name) or ())) or "empty" for each in (known, wanted))
            yield "{} is {}, not {}".format(xform_name(name), *shown)
    for name in ("vpcOwnerAccountId", "description"):
        if name in wanted and wanted[name] != known.get(name):
            yield f"{xform_name(name)} is {known.get(name)}, not {wanted[name]}"
