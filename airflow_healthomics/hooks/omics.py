# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The client of HealthOmics and the defaults for runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import botocore
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from botocore.config import Config
from botocore.exceptions import NoRegionError

from airflow_healthomics.api_model import REGIONS, extend_session, regions_of
from airflow_healthomics.exceptions import HealthOmicsConnectionNotFoundError, HealthOmicsRequestError
from airflow_healthomics.requests.batch import (
    build_run_batch,
    build_start_run_batch_request,
    settings_in_request,
    settings_in_s3,
)
from airflow_healthomics.requests.fields import api_field, refuse_broken_templates
from airflow_healthomics.requests.run import BUILT_IN_DEFAULTS, DEFAULTABLE, build_start_run_request
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import IncompleteAnswerError, checked_answer

#: What the amazon provider raises for a connection with mistakes, besides botocore's own errors.
CONNECTION_MISTAKES: Final = (AttributeError, LookupError, NotImplementedError, TypeError, ValueError)

#: Keys of the connection's ``service_config.omics`` that are not ours.
_AMAZON_PROVIDER_KEYS: Final = frozenset({"endpoint_url", "config_kwargs", "region_name"})

#: Those that say what a task does, rather than what a run is.
_POLICIES: Final = frozenset({"on_clear"})

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
        refuse_broken_templates(
            "The request",
            {"aws_conn_id": self.aws_conn_id, "region_name": self._region_name, "verify": self._verify},
        )
        self._sessions: dict[str | None, Any] = {}

    @cached_property
    def conn_config(self) -> Any:
        """
        The Airflow connection.

        :raises HealthOmicsConnectionNotFoundError: if Airflow does not find one that the DAG author has
            chosen. The amazon provider would go on with the credentials of the worker, perhaps in another
            account; it warns of that, and for the default connection that is all.
        """
        config = super().conn_config
        # A cached property keeps its value under its name, that of the base class too.
        self.__dict__.pop("conn_config", None)
        _check_found(self.aws_conn_id, config)
        return config

    @cached_property
    def connection_defaults(self) -> Mapping[str, Any]:
        """Defaults for new runs from the connection's extra, by argument name."""
        settings = self.service_config
        if unknown := sorted(settings.keys() - DEFAULTABLE - _POLICIES - _AMAZON_PROVIDER_KEYS):
            self.log.warning(
                "Connection %s: service_config.omics has keys that are no defaults for runs: %s",
                self.aws_conn_id,
                ", ".join(unknown),
            )
        return {name: value for name, value in settings.items() if name in DEFAULTABLE}

    @property
    def connection_policies(self) -> Mapping[str, Any]:
        """What tasks of this connection do in some cases, by argument name: ``on_clear``."""
        return {name: value for name, value in self.service_config.items() if name in _POLICIES}

    @property
    def run_defaults(self) -> Mapping[str, Any]:
        """All defaults for new runs, by argument name: the connection's over the hook's own."""
        return {**BUILT_IN_DEFAULTS, **self.connection_defaults}

    def build_start_run_request(self, *, start_run_kwargs: Any = None, **arguments: Any) -> dict[str, Any]:
        """
        Return the request that :meth:`start_run` would send, complete with defaults and validated.

        :param start_run_kwargs: as for :meth:`start_run`
        :param arguments: as for :meth:`start_run`
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self.conn.meta.service_model.operation_model("StartRun").input_shape
        with self._naming_a_hidden_connection():
            return build_start_run_request(arguments, self.connection_defaults, shape, start_run_kwargs)

    def start_run(
        self, *, start_run_kwargs: Mapping[str, Any] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """
        Start a new run, or a duplicate of one.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_run`

        :param start_run_kwargs: fields of StartRun that have no argument yet, by the API's names
        :param arguments: StartRun's fields in snake case, such as ``workflow_id`` (a new run) or ``run_id``
            (a duplicate), ``parameters`` and ``request_id`` (1 to 128 characters). Without a request ID
            botocore makes one up, and each call starts a run.
        :return: ``id``, ``arn``, ``uuid``, ``status``, ``runOutputUri`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        request = self.build_start_run_request(start_run_kwargs=start_run_kwargs, **arguments)
        return _body(self.conn.start_run(**request))

    def get_run(self, run_id: str) -> dict[str, Any]:
        """
        Describe a run.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run`

        :param run_id: HealthOmics run id
        :raises IncompleteAnswerError: if a proxy on the way has answered
        """
        return checked_answer("GetRun", _body(self.conn.get_run(id=run_id)))

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

    def build_run_batch(
        self, run_settings: Sequence[Mapping[str, Any]], **arguments: Any
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """
        Return a StartRunBatch request without ``batchRunSettings``, and its run settings, all validated.

        For whom :meth:`start_run_batch` has too few run settings: up to 100,000 may stand in S3.

        :param run_settings: as for :meth:`start_run_batch`, up to 100,000
        :param arguments: as for :meth:`start_run_batch`
        :return: the request, and the run settings by the API's names, which
            :func:`~airflow_healthomics.requests.batch.settings_json` makes a file of
        :raises HealthOmicsRequestError: if an argument or a run setting breaks a rule
        """
        with self._naming_a_hidden_connection():
            return build_run_batch(arguments, run_settings, self.connection_defaults, self._batch_shape)

    def start_run_batch(
        self,
        *,
        run_settings: Sequence[Mapping[str, Any]] | None = None,
        s3_uri_settings: str | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """
        Start a batch of new runs of one private workflow.

        The connection's defaults go for the runs; its ``tags`` are for the batch and, as ``run_tags``, for
        its runs.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_run_batch`

        :param run_settings: 1 to 100 mappings, one for each run, with ``run_setting_id`` (1 to 128
            characters, unique) and what is its own: ``name``, ``output_uri``, ``output_bucket_owner_id``,
            ``parameters``, ``priority``, ``engine_settings``, ``run_tags``
        :param s3_uri_settings: instead of ``run_settings``, S3 URI of a JSON array of up to 100,000 by the
            API's names, which the role must be able to read. They are not validated here.
        :param arguments: StartRunBatch's own fields and those of its ``defaultRunSetting`` in snake case:
            ``batch_name``, ``request_id`` and ``tags`` of the batch, ``workflow_id``, ``parameters``,
            ``run_tags`` and more of all runs. Without a request ID botocore makes one up, and each call
            starts a batch.
        :return: ``id``, ``arn``, ``uuid``, ``status`` and ``tags``
        :raises HealthOmicsRequestError: if an argument or a run setting breaks a rule; nothing was sent
        """
        if (run_settings is None) == (s3_uri_settings is None):
            raise HealthOmicsRequestError(
                "StartRunBatch", ["give either run_settings or s3_uri_settings, and not both"]
            )
        if run_settings is not None:
            request, settings = self.build_run_batch(run_settings, **arguments)
            source = settings_in_request(settings)
        else:
            shape = self._batch_shape
            request = build_start_run_batch_request(arguments, self.connection_defaults, shape)
            source = settings_in_s3(s3_uri_settings, shape)
        return _body(self.conn.start_run_batch(**request, batchRunSettings=source))

    def get_batch(self, batch_id: str) -> dict[str, Any]:
        """
        Describe a run batch.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_batch`

        :param batch_id: HealthOmics batch id
        :return: ``status``, ``totalRuns``, ``submissionSummary``, ``runSummary`` (which lags behind until the
            batch is PROCESSED) and more
        :raises IncompleteAnswerError: if a proxy on the way has answered
        """
        return checked_answer("GetBatch", _body(self.conn.get_batch(batchId=batch_id)))

    def list_batches(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        run_group_id: str | None = None,
        page_size: int = 100,
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the run batches of the account and region, a page at a time; one filter at most.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListBatch`

        :param name: name of the batches; names are not unique
        :param status: one of the batch states
        :param run_group_id: id of the run group of their runs
        :param page_size: batches a call, 1 to 100
        :return: items as the API lists them, which have no ``uuid``
        :raises HealthOmicsRequestError: if more than one filter is given
        """
        filters = {"name": name, "status": status, "run_group_id": run_group_id}
        return self._items("list_batch", page_size, _one_filter("ListBatch", filters))

    def list_runs_in_batch(
        self,
        batch_id: str,
        *,
        submission_status: str | None = None,
        run_setting_id: str | None = None,
        run_id: str | None = None,
        page_size: int = 100,
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over what became of the run settings of a batch, a page at a time; one filter at most.

        How the runs themselves go is in :meth:`list_runs` with ``batch_id``.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRunsInBatch`

        :param batch_id: HealthOmics batch id
        :param submission_status: SUCCESS, FAILED, CANCEL_SUCCESS, CANCEL_FAILED, DELETE_SUCCESS or
            DELETE_FAILED
        :param run_setting_id: id of the run setting
        :param run_id: HealthOmics run id
        :param page_size: run settings a call, 1 to 100
        :return: items as the API lists them; those not submitted yet have no ``submissionStatus``, and those
            that could not be submitted no ``runId``
        :raises HealthOmicsRequestError: if more than one filter is given
        """
        filters = {"submission_status": submission_status, "run_setting_id": run_setting_id, "run_id": run_id}
        chosen = _one_filter("ListRunsInBatch", filters)
        return self._items("list_runs_in_batch", page_size, {"batchId": batch_id, **chosen}, key="runs")

    def cancel_run_batch(self, batch_id: str) -> None:
        """
        Ask for the runs of a batch to be cancelled, which takes until the batch is CANCELLED.

        HealthOmics does it for a batch that is PENDING, SUBMITTING or INPROGRESS.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.cancel_run_batch`

        :param batch_id: HealthOmics batch id
        """
        self.conn.cancel_run_batch(batchId=batch_id)

    def delete_run_batch(self, batch_id: str) -> None:
        """
        Ask for the records of a batch's runs to be deleted, which takes until the batch is RUNS_DELETED.

        HealthOmics does it for a batch that is PROCESSED or CANCELLED. The batch itself, outputs and logs
        stay.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_run_batch`

        :param batch_id: HealthOmics batch id
        """
        self.conn.delete_run_batch(batchId=batch_id)

    def delete_batch(self, batch_id: str) -> None:
        """
        Delete the record of a batch that has ended; its runs stay.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_batch`

        :param batch_id: HealthOmics batch id
        """
        self.conn.delete_batch(batchId=batch_id)

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
        """
        Get the underlying boto3 session, the same for all clients, so that they share credentials.

        Its clients know the whole API, also beside an older botocore.
        """
        if deferrable:
            return super().get_session(region_name, deferrable)
        if region_name not in self._sessions:
            session = super().get_session(region_name)
            extend_session(session)
            self._sessions[region_name] = session
        return self._sessions[region_name]

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """
        Get the underlying boto3 client; a missing region, or one without HealthOmics, is an error of ours.

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
        self._check_region(client.meta)
        # botocore itself reads the variable since 1.37.5.
        wants_prefix = os.environ.get(_HOST_PREFIX_VARIABLE, "").lower() == "false"
        if deferrable or wants_prefix or _AWS_HOST.search(client.meta.endpoint_url):
            return client
        # The user's own setting goes before this one.
        return super().get_client_type(
            region_name, Config(inject_host_prefix=False).merge(config or self.config)
        )

    def _check_region(self, meta: Any) -> None:
        """Refuse a region that has no HealthOmics: botocore derives a host name for any region."""
        region, host = meta.region_name, urlsplit(meta.endpoint_url).hostname or ""
        is_derived = host.startswith((f"omics.{region}.", f"omics-fips.{region}."))
        # Reading botocore's own list of all services takes a while.
        is_known = region in REGIONS
        if is_known or not is_derived or self.conn_config.get_service_endpoint_url("omics"):
            return
        regions = regions_of(self.get_session(self.region_name))
        if region not in regions:
            raise HealthOmicsRequestError(
                "The request",
                [
                    f"region_name {region} has no HealthOmics endpoint that botocore {botocore.__version__} "
                    f"knows: use one of {', '.join(sorted(regions))}, or set endpoint_url in the "
                    "connection's extra (service_config.omics)"
                ],
            )

    @contextmanager
    def _naming_a_hidden_connection(self) -> Iterator[None]:
        """Warn where a request lacks a default that another connection of the same id may have."""
        try:
            yield
        except HealthOmicsRequestError:
            # Amazon MWAA sets AIRFLOW_CONN_AWS_DEFAULT=aws:// in every container.
            variable = f"AIRFLOW_CONN_{str(self.aws_conn_id).upper()}"
            if variable in os.environ and not self.connection_defaults:
                self.log.warning(
                    "Connection %s comes from the environment variable %s and has no defaults for runs. It "
                    "hides a connection of that id in Airflow's database: use another id, or change the "
                    "variable",
                    self.aws_conn_id,
                    variable,
                )
            raise

    @property
    def _batch_shape(self) -> Any:
        return self.conn.meta.service_model.operation_model("StartRunBatch").input_shape

    def _items(
        self, operation: str, page_size: int, filters: Mapping[str, Any], key: str = "items"
    ) -> Iterator[dict[str, Any]]:
        pages = self.conn.get_paginator(operation).paginate(
            PaginationConfig={"PageSize": page_size}, **_given(filters)
        )
        for page in pages:
            if key not in page:
                raise IncompleteAnswerError(operation=operation, member=key)
            yield from page[key]


def check_connection(hook: AwsGenericHook[Any]) -> None:
    """
    Check that Airflow finds the connection of any hook of the amazon provider.

    :param hook: the hook
    :raises HealthOmicsConnectionNotFoundError: if it does not, unless it is the default connection
    """
    _check_found(hook.aws_conn_id, hook.conn_config)


def _check_found(aws_conn_id: str | None, config: Any) -> None:
    if aws_conn_id and aws_conn_id != AwsGenericHook.default_conn_name and not config:
        raise HealthOmicsConnectionNotFoundError(aws_conn_id)


def _body(response: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in response.items() if key != "ResponseMetadata"}


def _one_filter(operation: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter by the API's name. The API reference of both lists allows for one in a call."""
    given = _given(filters)
    if len(given) > 1:
        raise HealthOmicsRequestError(operation, [f"give one filter at most, not {' and '.join(given)}"])
    return {api_field(name): value for name, value in given.items()}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
