# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook: one method for each operation of HealthOmics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks.base import without_metadata
from airflow_healthomics.hooks.jobs import JobsHook
from airflow_healthomics.hooks.run_resources import RunResourcesHook
from airflow_healthomics.requests.fields import api_field
from airflow_healthomics.requests.run import build_start_run_request
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import checked_answer


class HealthOmicsHook(JobsHook, RunResourcesHook):
    """
    Interact with AWS HealthOmics.

    Thick wrapper around :external+boto3:py:class:`boto3.client("omics") <Omics.Client>`. Methods raise
    botocore's errors unchanged.

    Defaults for new runs come from the connection's extra, ``{"service_config": {"omics": {"role_arn": ...,
    "output_uri": ..., "retention_mode": ..., "storage_type": ..., ...}}}``. The built-in defaults are
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

    def build_start_run_request(self, *, start_run_kwargs: Any = None, **arguments: Any) -> dict[str, Any]:
        """
        Return the validated request of :meth:`start_run`, including defaults.

        :param start_run_kwargs: as for :meth:`start_run`
        :param arguments: as for :meth:`start_run`
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self._input_shape("StartRun")
        with self._naming_a_hidden_connection():
            return build_start_run_request(arguments, self.connection_defaults, shape, start_run_kwargs)

    def start_run(
        self, *, start_run_kwargs: Mapping[str, Any] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """
        Start a new run, or duplicate one.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_run`

        :param start_run_kwargs: StartRun fields without an argument here, by their API names
        :param arguments: StartRun fields in snake case, such as ``workflow_id`` (for a new run) or ``run_id``
            (for a duplicate), ``parameters`` and ``request_id`` (1 to 128 characters). Without a request ID,
            botocore generates one, so that each call starts a run.
        :return: ``id``, ``arn``, ``uuid``, ``status``, ``runOutputUri`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        request = self.build_start_run_request(start_run_kwargs=start_run_kwargs, **arguments)
        return without_metadata(self.conn.start_run(**request))

    def get_run(self, run_id: str) -> dict[str, Any]:
        """
        Describe a run.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run`

        :param run_id: HealthOmics run id
        :raises airflow_healthomics.service.errors.IncompleteAnswerError: if a proxy answered instead of
            HealthOmics
        """
        return checked_answer("GetRun", without_metadata(self.conn.get_run(id=run_id)))

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
        Iterate over the runs of the account and region, page by page. Filters are combined by AND.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRuns`

        :param name: name of the runs; names are not unique
        :param status: a run status
        :param run_group_id: id of the run group
        :param batch_id: id of the run batch
        :param page_size: runs per call, 1 to 100
        :return: items of ListRuns, without ``uuid``
        """
        filters = {"name": name, "status": status, "runGroupId": run_group_id, "batchId": batch_id}
        return self._items("list_runs", page_size, filters)

    def list_run_tasks(
        self, run_id: str, *, status: str | None = None, page_size: int = 100
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the tasks of a run, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRunTasks`

        :param run_id: HealthOmics run id
        :param status: a task status
        :param page_size: tasks per call, 1 to 100
        :return: items of ListRunTasks. Only :meth:`get_run_task` has the failure reason of a task.
        """
        return self._items("list_run_tasks", page_size, {"id": run_id, "status": status})

    def get_run_task(self, run_id: str, task_id: str) -> dict[str, Any]:
        """
        Describe a task of a run.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run_task`

        :param run_id: HealthOmics run id
        :param task_id: HealthOmics task id, not an Airflow task id
        """
        return without_metadata(self.conn.get_run_task(id=run_id, taskId=task_id))

    def cancel_run(self, run_id: str) -> None:
        """
        Request the cancellation of a run. It is complete when the status is CANCELLED.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.cancel_run`

        :param run_id: HealthOmics run id
        """
        self.conn.cancel_run(id=run_id)

    def delete_run(self, run_id: str) -> None:
        """
        Delete the record of a run in a terminal state. Its outputs and logs remain.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_run`

        :param run_id: HealthOmics run id
        """
        self.conn.delete_run(id=run_id)

    def build_run_batch(
        self, run_settings: Sequence[Mapping[str, Any]], **arguments: Any
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """
        Return a validated StartRunBatch request without ``batchRunSettings``, and the run settings.

        :meth:`start_run_batch` accepts 100 run settings. To start more, up to 100,000, write these to S3 and
        pass their URI.

        :param run_settings: as for :meth:`start_run_batch`, up to 100,000
        :param arguments: as for :meth:`start_run_batch`
        :return: the request, and the run settings by their API names. Write them to a file with
            :func:`~airflow_healthomics.requests.batch.settings_json`.
        :raises HealthOmicsRequestError: if an argument or a run setting breaks a rule
        """
        from airflow_healthomics.requests.batch import build_run_batch

        with self._naming_a_hidden_connection():
            shape = self._input_shape("StartRunBatch")
            return build_run_batch(arguments, run_settings, self.connection_defaults, shape)

    def start_run_batch(
        self,
        *,
        run_settings: Sequence[Mapping[str, Any]] | None = None,
        s3_uri_settings: str | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """
        Start a batch of new runs of one private workflow.

        The connection's defaults apply to the runs; its ``tags`` apply to the batch and, as ``run_tags``, to
        its runs.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_run_batch`

        :param run_settings: 1 to 100 mappings, one per run, each with a unique ``run_setting_id`` (1 to 128
            characters) and optional fields: ``name``, ``output_uri``, ``output_bucket_owner_id``,
            ``parameters``, ``priority``, ``engine_settings``, ``run_tags``
        :param s3_uri_settings: instead of ``run_settings``, the S3 URI of a JSON array of up to 100,000 run
            settings by their API names. The role must be able to read it. It is not validated here.
        :param arguments: StartRunBatch fields and ``defaultRunSetting`` fields in snake case: ``batch_name``,
            ``request_id`` and ``tags`` for the batch; ``workflow_id``, ``parameters``, ``run_tags`` and more
            for all runs. Without a request ID, botocore generates one, so that each call starts a batch.
        :return: ``id``, ``arn``, ``uuid``, ``status`` and ``tags``
        :raises HealthOmicsRequestError: if an argument or a run setting breaks a rule; nothing was sent
        """
        from airflow_healthomics.requests.batch import (
            build_start_run_batch_request,
            settings_in_request,
            settings_in_s3,
        )

        if (run_settings is None) == (s3_uri_settings is None):
            raise HealthOmicsRequestError(
                "StartRunBatch", ["pass either run_settings or s3_uri_settings, not both"]
            )
        if run_settings is not None:
            request, settings = self.build_run_batch(run_settings, **arguments)
            source = settings_in_request(settings)
        else:
            shape = self._input_shape("StartRunBatch")
            request = build_start_run_batch_request(arguments, self.connection_defaults, shape)
            source = settings_in_s3(s3_uri_settings, shape)
        return without_metadata(self.conn.start_run_batch(**request | {"batchRunSettings": source}))

    def get_batch(self, batch_id: str) -> dict[str, Any]:
        """
        Describe a run batch.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_batch`

        :param batch_id: HealthOmics batch id
        :return: ``status``, ``totalRuns``, ``submissionSummary``, ``runSummary`` (it lags behind until the
            batch is PROCESSED) and more
        :raises airflow_healthomics.service.errors.IncompleteAnswerError: if a proxy answered instead of
            HealthOmics
        """
        return checked_answer("GetBatch", without_metadata(self.conn.get_batch(batchId=batch_id)))

    def list_batches(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        run_group_id: str | None = None,
        page_size: int = 100,
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the run batches of the account and region, page by page, with at most one filter.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListBatch`

        :param name: name of the batches; names are not unique
        :param status: a batch status
        :param run_group_id: id of the run group of the runs
        :param page_size: batches per call, 1 to 100
        :return: items of ListBatch, without ``uuid``
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
        Iterate over the run settings of a batch and their submission, page by page, with at most one filter.

        For the status of the runs, use :meth:`list_runs` with ``batch_id``.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRunsInBatch`

        :param batch_id: HealthOmics batch id
        :param submission_status: SUCCESS, FAILED, CANCEL_SUCCESS, CANCEL_FAILED, DELETE_SUCCESS or
            DELETE_FAILED
        :param run_setting_id: id of the run setting
        :param run_id: HealthOmics run id
        :param page_size: run settings per call, 1 to 100
        :return: items of ListRunsInBatch. Before its submission an item has no ``submissionStatus``; after a
            failed submission it has no ``runId``.
        :raises HealthOmicsRequestError: if more than one filter is given
        """
        filters = {"submission_status": submission_status, "run_setting_id": run_setting_id, "run_id": run_id}
        chosen = _one_filter("ListRunsInBatch", filters)
        return self._items("list_runs_in_batch", page_size, {"batchId": batch_id, **chosen}, key="runs")

    def cancel_run_batch(self, batch_id: str) -> None:
        """
        Request the cancellation of all runs of a batch. It is complete when the batch is CANCELLED.

        HealthOmics accepts batches in PENDING, SUBMITTING or INPROGRESS.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.cancel_run_batch`

        :param batch_id: HealthOmics batch id
        """
        self.conn.cancel_run_batch(batchId=batch_id)

    def delete_run_batch(self, batch_id: str) -> None:
        """
        Request the deletion of the records of a batch's runs. It is complete when the batch is RUNS_DELETED.

        HealthOmics accepts batches in PROCESSED or CANCELLED. The batch, outputs and logs remain.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_run_batch`

        :param batch_id: HealthOmics batch id
        """
        self.conn.delete_run_batch(batchId=batch_id)

    def delete_batch(self, batch_id: str) -> None:
        """
        Delete the record of a batch in a terminal state. Its runs remain.

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
        Describe a workflow or a workflow version.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_workflow`
            - :external+boto3:py:meth:`Omics.Client.get_workflow_version`

        :param workflow_id: HealthOmics workflow id
        :param version_name: name of the version; by default the workflow itself is described
        :param workflow_type: PRIVATE (default of HealthOmics) or READY2RUN
        :param workflow_owner_id: AWS account id of the owner of a shared workflow
        """
        scope = _given({"type": workflow_type, "workflowOwnerId": workflow_owner_id})
        if version_name:
            return without_metadata(
                self.conn.get_workflow_version(workflowId=workflow_id, versionName=version_name, **scope)
            )
        return without_metadata(self.conn.get_workflow(id=workflow_id, **scope))

    def list_workflows(
        self, *, name: str | None = None, workflow_type: str | None = None, page_size: int = 100
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the workflows of the account and region, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListWorkflows`

        :param name: name of the workflows; names are not unique
        :param workflow_type: PRIVATE (default of HealthOmics) or READY2RUN
        :param page_size: workflows per call, 1 to 100
        :return: items of ListWorkflows, without ``tags``
        """
        return self._items("list_workflows", page_size, {"name": name, "type": workflow_type})


def _one_filter(operation: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter by its API name. The API reference of both lists allows one filter per call."""
    given = _given(filters)
    if len(given) > 1:
        raise HealthOmicsRequestError(operation, [f"pass at most one filter, not {' and '.join(given)}"])
    return {api_field(name): value for name, value in given.items()}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
