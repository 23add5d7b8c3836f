# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The client of HealthOmics and the defaults for runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from botocore.config import Config
from botocore.exceptions import NoRegionError

from airflow_healthomics import run_states
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.run_request import BUILT_IN_DEFAULTS, DEFAULTABLE, build_start_run_request

#: Keys of the connection's ``service_config.omics`` that are not ours.
_AMAZON_PROVIDER_KEYS: Final = frozenset({"endpoint_url", "config_kwargs", "region_name"})

#: The endpoints that the host prefixes are meant for, fips and dual stack among them.
_AWS_HOST: Final = re.compile(r"//omics(-fips)?\.[a-z0-9-]+\.(amazonaws\.com|api\.aws)$")

#: botocore's own setting: https://docs.aws.amazon.com/sdkref/latest/guide/feature-host-prefix.html
_HOST_PREFIX_VARIABLE: Final = "AWS_DISABLE_HOST_PREFIX_INJECTION"


class HealthOmicsHook(AwsGenericHook[Any]):
    """
    Interact with AWS HealthOmics, and hold the defaults for its runs.

    Thick wrapper around :external+boto3:py:class:`boto3.client("omics") <Omics.Client>`. Each method that
    makes a call lets botocore's own errors through.

    Defaults for new runs come from the connection's extra, ``{"service_config": {"omics": {"role_arn": ...,
    "output_uri": ..., "retention_mode": ..., "storage_type": ..., ...}}}``, then from the hook itself:
    ``retention_mode="REMOVE"`` and ``storage_type="DYNAMIC"``.

    Additional arguments, such as ``aws_conn_id``, ``region_name``, ``verify`` and ``config``, may be
    specified and are passed down to the underlying AwsGenericHook.

    .. seealso::
        - :class:`airflow.providers.amazon.aws.hooks.base_aws.AwsGenericHook`
    """

    RUN_ACTIVE_STATES: ClassVar[frozenset[str]] = run_states.ACTIVE
    RUN_SUCCEEDED_STATES: ClassVar[frozenset[str]] = run_states.SUCCEEDED
    RUN_FAILED_STATES: ClassVar[frozenset[str]] = run_states.FAILED
    RUN_TERMINAL_STATES: ClassVar[frozenset[str]] = run_states.TERMINAL

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "omics"
        super().__init__(*args, **kwargs)
        self._sessions: dict[str | None, Any] = {}

    @cached_property
    def connection_defaults(self) -> Mapping[str, Any]:
        """Defaults for new runs from the connection's extra, by argument name."""
        settings = self.service_config
        if unknown := sorted(settings.keys() - DEFAULTABLE - _AMAZON_PROVIDER_KEYS):
            self.log.warning(
                "Connection %s: service_config.omics has keys that are no defaults for runs: %s",
                self.aws_conn_id,
                ", ".join(unknown),
            )
        return {name: value for name, value in settings.items() if name in DEFAULTABLE}

    @property
    def run_defaults(self) -> Mapping[str, Any]:
        """All defaults for new runs, by argument name: the connection's over the hook's own."""
        return {**BUILT_IN_DEFAULTS, **self.connection_defaults}

    def build_start_run_request(self, **arguments: Any) -> dict[str, Any]:
        """
        Return the request that :meth:`start_run` would send, complete with defaults and validated.

        :param arguments: as for :meth:`start_run`
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self.conn.meta.service_model.operation_model("StartRun").input_shape
        return build_start_run_request(arguments, self.connection_defaults, shape)

    def start_run(self, **arguments: Any) -> dict[str, Any]:
        """
        Start a new run, or a duplicate of one.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_run`

        :param arguments: StartRun's fields in snake case, such as ``workflow_id`` (a new run) or ``run_id``
            (a duplicate), ``parameters`` and ``request_id`` (1 to 128 characters). Without a request ID
            botocore makes one up, and each call starts a run.
        :return: ``id``, ``arn``, ``uuid``, ``status``, ``runOutputUri`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        return _body(self.conn.start_run(**self.build_start_run_request(**arguments)))

    def get_run(self, run_id: str) -> dict[str, Any]:
        """
        Describe a run.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run`

        :param run_id: HealthOmics run id
        """
        return _body(self.conn.get_run(id=run_id))

    def list_runs(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        run_group_id: str | None = None,
        batch_id: str | None = None,
        page_size: int = 100,
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the runs of the account and region, a page at a time; all filters must match.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRuns`

        :param name: name of the runs; names are not unique
        :param status: one of the run states
        :param run_group_id: id of their run group
        :param batch_id: id of their run batch
        :param page_size: runs a call, 1 to 100
        :return: items as the API lists them, which have no ``uuid``
        """
        filters = {"name": name, "status": status, "runGroupId": run_group_id, "batchId": batch_id}
        return self._items("list_runs", page_size, filters)

    def list_run_tasks(
        self, run_id: str, *, status: str | None = None, page_size: int = 100
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the tasks of a run, a page at a time.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRunTasks`

        :param run_id: HealthOmics run id
        :param status: one of the task states
        :param page_size: tasks a call, 1 to 100
        :return: items as the API lists them; why a task failed is in :meth:`get_run_task` only
        """
        return self._items("list_run_tasks", page_size, {"id": run_id, "status": status})

    def get_run_task(self, run_id: str, task_id: str) -> dict[str, Any]:
        """
        Describe a task of a run.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run_task`

        :param run_id: HealthOmics run id
        :param task_id: HealthOmics task id, not that of an Airflow task
        """
        return _body(self.conn.get_run_task(id=run_id, taskId=task_id))

    def cancel_run(self, run_id: str) -> None:
        """
        Ask for a run to be cancelled, which takes until its status is CANCELLED.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.cancel_run`

        :param run_id: HealthOmics run id
        """
        self.conn.cancel_run(id=run_id)

    def delete_run(self, run_id: str) -> None:
        """
        Delete the record of a finished run; its outputs and logs stay.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_run`

        :param run_id: HealthOmics run id
        """
        self.conn.delete_run(id=run_id)

    def get_workflow(
        self,
        workflow_id: str,
        *,
        version_name: str | None = None,
        workflow_type: str | None = None,
        workflow_owner_id: str | None = None,
    ) -> dict[str, Any]:
        """
        Describe a workflow, or one version of it.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_workflow`
            - :external+boto3:py:meth:`Omics.Client.get_workflow_version`

        :param workflow_id: HealthOmics workflow id
        :param version_name: name of the version; without it, what the workflow itself says
        :param workflow_type: PRIVATE (the service's default) or READY2RUN
        :param workflow_owner_id: AWS account id of the owner of a shared workflow
        """
        scope = _given({"type": workflow_type, "workflowOwnerId": workflow_owner_id})
        if version_name:
            return _body(
                self.conn.get_workflow_version(workflowId=workflow_id, versionName=version_name, **scope)
            )
        return _body(self.conn.get_workflow(id=workflow_id, **scope))

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Get the underlying boto3 session, the same for all clients, so that they share credentials."""
        if deferrable:
            return super().get_session(region_name, deferrable)
        if region_name not in self._sessions:
            self._sessions[region_name] = super().get_session(region_name)
        return self._sessions[region_name]

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """
        Get the underlying boto3 client; a missing region is an error of ours.

        For a custom endpoint the host prefixes are left out, unless the user has said otherwise: each
        operation has one, and botocore would call ``http://workflows-localhost:5000``.
        """
        try:
            client: Any = super().get_client_type(region_name, config, deferrable)
        except NoRegionError:
            raise HealthOmicsRequestError(
                "The request",
                [
                    "region_name is required, as an argument, in the connection's extra (region_name), or in "
                    "AWS_DEFAULT_REGION"
                ],
            ) from None
        if deferrable or _HOST_PREFIX_VARIABLE in os.environ or _AWS_HOST.search(client.meta.endpoint_url):
            return client
        # The user's own setting goes before this one.
        return super().get_client_type(
            region_name, Config(inject_host_prefix=False).merge(config or self.config)
        )

    def _items(self, operation: str, page_size: int, filters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        pages = self.conn.get_paginator(operation).paginate(
            PaginationConfig={"PageSize": page_size}, **_given(filters)
        )
        for page in pages:
            yield from page["items"]


def _body(response: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in response.items() if key != "ResponseMetadata"}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
