# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Create and delete HealthOmics configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.creating.configuration import ConfigurationResource
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsCreationFailedError
from airflow_healthomics.operators.status_base import StatusOperator
from airflow_healthomics.requests.fields import checked_id

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Default poll interval in seconds: a creation takes up to 15 minutes.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-vpc-networking.html
CONFIGURATION_WAITER_DELAY: Final = 30.0


class HealthOmicsCreateConfigurationOperator(StatusOperator):
    """
    Create a configuration, which lets runs reach a VPC, or find the one with the same name. Returns the name.

    HealthOmics cannot change a configuration: if the existing one differs from the arguments, the task fails.
    Only its tags are updated. An argument that is not given is not compared. While a configuration of the
    name is being deleted, the task waits and then creates it.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.create_configuration`

    :param name: name of the configuration, 1 to 128 letters, digits, ``.``, ``_`` and ``-`` (templated)
    :param subnet_ids: ids of up to 16 subnets (templated)
    :param security_group_ids: ids of up to 5 security groups (templated)
    :param vpc_owner_account_id: AWS account id of the owner of a shared VPC (templated)
    :param description: description, 1 to 256 characters (templated)
    :param tags: tags of the configuration, at most 50 (templated)
    :param wait_for_completion: whether to wait until the configuration is ACTIVE, which takes up to 15
        minutes. Runs cannot use it before.
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 30 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
    :raises HealthOmicsResourceDiffersError: if the configuration of this name differs from the arguments
    :raises HealthOmicsCreationFailedError: if HealthOmics could not create the configuration
    :raises HealthOmicsApiError: if a call is refused
    """

    ui_color = "#d5e8d4"
    typed_template_fields = (
        "name",
        "subnet_ids",
        "security_group_ids",
        "vpc_owner_account_id",
        "description",
        "tags",
    )
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)

    def __init__(
        self,
        *,
        name: str,
        subnet_ids: Sequence[str],
        security_group_ids: Sequence[str] | None = None,
        vpc_owner_account_id: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = CONFIGURATION_WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.subnet_ids = subnet_ids
        self.security_group_ids = security_group_ids
        self.vpc_owner_account_id = vpc_owner_account_id
        self.description = description
        self.tags = tags
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    @cached_property
    def configurations(self) -> ConfigurationResource:
        """The configurations of this task's connection."""
        return ConfigurationResource(self.hook, self.log)

    def execute(self, context: Context) -> str:
        """Create the configuration if necessary, and wait if ``wait_for_completion`` is set."""
        return self._create(context)

    def resume_after_deletion(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Create the configuration after an earlier one of the same name was deleted."""
        self.summary_in(event)
        return self._create(context)

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Return the name of the configuration, or raise."""
        name = str(summary["id"])
        if summary["status"] != "ACTIVE":
            raise HealthOmicsCreationFailedError(
                f"HealthOmics configuration {name}",
                summary["status"],
                summary.get("statusMessage"),
                "Check its subnets and security groups. Delete it before another attempt.",
            )
        return name

    def _create(self, context: Context) -> str:
        fields = self.hook.build_configuration_request(
            name=self.name,
            subnet_ids=self.subnet_ids,
            security_group_ids=self.security_group_ids,
            vpc_owner_account_id=self.vpc_owner_account_id,
            description=self.description,
            tags=self.tags,
        )
        name = str(fields["name"])
        status, is_new = self.configurations.ensure(fields)
        if status == "DELETING":
            watch = self.configurations.watch(name, is_deletion=True)
            return str(self.wait(context, watch, then="resume_after_deletion"))
        if self.wait_for_completion:
            return str(self.wait(context, self.configurations.watch(name, is_new=is_new), is_new=is_new))
        if status not in ("CREATING", "UPDATING"):
            return self.finish(context, {"id": name, "status": status})
        return name


class HealthOmicsDeleteConfigurationOperator(StatusOperator):
    """
    Delete a configuration. Returns its name.

    The task also succeeds if the configuration does not exist. HealthOmics refuses to delete one that active
    runs use.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_configuration`

    :param name: name of the configuration (templated)
    :param wait_for_completion: whether to wait until the configuration is deleted
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 30 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if ``name`` is not the name of a configuration; nothing was sent
    :raises HealthOmicsApiError: if a call is refused, for instance because active runs use the configuration
    """

    ui_color = "#f3d5d5"
    typed_template_fields = ("name",)
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)

    def __init__(
        self,
        *,
        name: str,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = CONFIGURATION_WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def execute(self, context: Context) -> str:
        """Delete the configuration, and wait if ``wait_for_completion`` is set."""
        name = checked_id("DeleteConfiguration", "name", self.name, "configuration_name")
        configurations = ConfigurationResource(self.hook, self.log)
        if not configurations.request_delete(name):
            self.log.info("HealthOmics has no configuration %s", name)
            return name
        self.log.info("HealthOmics deletes configuration %s", name)
        if self.wait_for_completion:
            return str(self.wait(context, configurations.watch(name, is_deletion=True)))
        return name

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Return the name of the configuration, or raise."""
        name = str(summary["id"])
        if summary["status"] != "DELETED":
            raise HealthOmicsApiError(f"HealthOmics could not delete configuration {name}. It is FAILED.")
        return name
