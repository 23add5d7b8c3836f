# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start HealthOmics runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import conf
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.links import RUN_LINKS
from airflow_healthomics.operators.base import WAITER_DELAY
from airflow_healthomics.operators.start_base import StartOperator
from airflow_healthomics.publishing.resource import publish_links, push_started
from airflow_healthomics.requests.fields import MAX_PARAMETERS_BYTES, refuse_broken_templates
from airflow_healthomics.requests.json_values import BrokenTemplate, as_json, json_bytes, json_size
from airflow_healthomics.requests.run import ARGUMENTS
from airflow_healthomics.resources.base import StartRequest
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.templating.private import unwrap
from airflow_healthomics.waiting.deadlines import time_left

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.starting.request_folder import InputFile


class HealthOmicsStartRunOperator(StartOperator):
    """
    Start a new HealthOmics run (``workflow_id``) or a duplicate of an existing run (``run_id``).

    The run is started only once, because every attempt of the task instance sends the same request ID, which
    begins with the DAG-run ID. A retry reattaches to the run of the previous attempt. It starts a new run
    only if that run has failed.

    A new run uses the defaults of the connection's extra and of the hook
    (:class:`~airflow_healthomics.hooks.omics.HealthOmicsHook`). A duplicate inherits all settings that are
    not given here, except ``role_arn`` and ``output_uri``, which StartRun requires again.

    In ``parameters``, ``tags``, ``engine_settings``, ``session_policy``, ``priority`` and
    ``storage_capacity``, a template that is exactly one expression keeps the type of its value.

    Returns the run id. XCom ``run`` contains ``id``, ``arn``, ``uuid``, ``runOutputUri`` and ``requestId``.
    If the operator waits, XCom ``summary`` contains the finished run and its usage. The asset events of the
    outlets have ``runId``, ``uuid``, ``runOutputUri`` and ``workflowId`` in their extra.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.start_run`

    :param workflow_id: id of the workflow to run, 1 to 18 digits (templated)
    :param workflow_type: PRIVATE (the service's default) or READY2RUN; required for a READY2RUN workflow
        (templated)
    :param workflow_version_name: version of the workflow; the workflow's default version by default
        (templated)
    :param workflow_owner_id: AWS account id of the owner of a shared workflow, 12 digits (templated)
    :param run_id: id of the HealthOmics run to duplicate, 1 to 18 digits; not the DAG-run ID (templated)
    :param role_arn: ARN of the IAM role that the run assumes (templated)
    :param output_uri: S3 URI of the outputs, up to 750 characters. The bucket must be in the run's region
        (templated)
    :param output_uri_prefix_mode: SERVICE_DEFINED (the service's default: a separate prefix for each run) or
        NONE_WITH_OVERWRITE (templated)
    :param requester_pays_enabled: whether inputs may be in Requester Pays buckets. The run's account is
        charged (templated)
    :param parameters: parameters of the workflow, a mapping of up to 50,000 bytes as JSON (templated)
    :param parameters_uri: S3 URI of a JSON file with the parameters, instead of ``parameters``. The role must
        be able to read it. HealthOmics reads it after the start, so an error in it fails the run with
        INVALID_RUN_PARAMETERS (templated)
    :param parameters_s3_uri: S3 URI of a prefix for ``parameters`` larger than 50,000 bytes. They are written
        there once per request ID, and HealthOmics reads them from there. The role must be able to read them
        (templated)
    :param name: name of the run, up to 128 characters; the request ID by default (templated)
    :param request_id: request ID, 1 to 128 characters, sent unchanged; derived from the DAG-run ID by default
        (templated)
    :param retention_mode: RETAIN or REMOVE (templated)
    :param storage_type: STATIC or DYNAMIC (templated)
    :param storage_capacity: GiB of STATIC storage, 0 to 100,000; HealthOmics rounds it up (templated)
    :param scratch_storage_mode: SHARED (the service's default) or LOCAL (templated)
    :param run_group_id: id of the run group that limits the run (templated)
    :param priority: priority of the run, 0 to 100,000 (templated)
    :param cache_id: id of the run cache (templated)
    :param cache_behavior: CACHE_ON_FAILURE or CACHE_ALWAYS; requires ``cache_id`` (templated)
    :param networking_mode: RESTRICTED (the service's default) or VPC (templated)
    :param configuration_name: name of the VPC configuration; only with ``networking_mode="VPC"`` (templated)
    :param engine_settings: settings of the workflow engine, a mapping; Nextflow only (templated)
    :param session_policy: IAM policy that restricts the role's permissions, a mapping or JSON text of up to
        2,048 characters (templated)
    :param log_level: OFF, FATAL, ERROR or ALL (templated)
    :param tags: up to 50 tags of the run, a mapping of strings to strings. Tags must not contain patients'
        data (templated)
    :param start_run_kwargs: fields of StartRun for which this operator has no argument, a mapping by the
        API's names. The installed botocore must support them (templated)
    :param allow_null_parameters: whether templates in ``parameters`` may yield None, which is sent as null.
        By default None is rejected because it may be a missing XCom, unless the template yields it
        explicitly, as in ``{{ x | default(none) }}``
    :param validate_parameters: whether to compare the names of ``parameters`` with the workflow's parameter
        template before the start; requires the permission omics:GetWorkflow
    :param wait_for_completion: whether to wait for the run to end and fail unless it is COMPLETED
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param cancel_on_kill: whether to cancel the run when a person ends or clears the task, and when the last
        attempt times out
    :param on_clear: what the task does after a Clear if its run is active or COMPLETED: start a new run
        (``new``) or reattach (``reattach``). The connection's extra may set it. The default is ``new``, but
        ``reattach`` if the task failed before the outcome of its run was known
    :param on_failure: whether to ``leave`` or ``cancel`` an active run when the last attempt fails for a
        reason other than the run, such as revoked permissions
    :param on_unknown_end: what the task does if the run no longer exists and its outcome is unknown: fail
        (``fail``) or start a new run in a retry (``repeat``)
    :param retry_user_errors: whether Airflow retries the task after a failure that is expected to recur with
        the same input, such as OUT_OF_MEMORY_ERROR
    :param log_tail_lines: number of lines to show from the end of the failed task's log if the run fails, 0
        to 50. The run page opens no log if it is 0, or a template that does not yield a number
    :param report_usage: whether to report the usage of a run that the operator waits for, which costs a few
        seconds at most; see :func:`airflow_healthomics.reports.usage.usage_of_run`
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if the arguments break the API's rules; nothing is sent
    :raises HealthOmicsRunFailedError: if the operator waits and the run does not end as COMPLETED
    :raises HealthOmicsApiError: if StartRun or GetRun fails with a non-retryable error
    """

    # Airflow's registry reads this from operators that survive a crash of their worker without
    # ResumableJobMixin (apache/airflow#70291).
    __supports_durable_execution: ClassVar[bool] = True

    resource_type = RunResource
    template_fields: Sequence[str] = aws_template_fields(
        *ARGUMENTS, "parameters_s3_uri", "start_run_kwargs", "log_tail_lines"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "parameters": "json",
        "engine_settings": "json",
        "tags": "json",
        "start_run_kwargs": "json",
    }
    typed_template_fields = (
        "parameters",
        "engine_settings",
        "session_policy",
        "tags",
        "priority",
        "storage_capacity",
        "requester_pays_enabled",
        "start_run_kwargs",
        "log_tail_lines",
    )
    operator_extra_links = RUN_LINKS
    checked_template_fields = template_fields
    name_argument = "name"
    ui_color = "#d6eadf"

    def __init__(
        self,
        *,
        workflow_id: str | None = None,
        workflow_type: str | None = None,
        workflow_version_name: str | None = None,
        workflow_owner_id: str | None = None,
        run_id: str | None = None,
        role_arn: str | None = None,
        output_uri: str | None = None,
        output_uri_prefix_mode: str | None = None,
        requester_pays_enabled: bool | str | None = None,
        parameters: Mapping[str, Any] | str | None = None,
        parameters_uri: str | None = None,
        parameters_s3_uri: str | None = None,
        name: str | None = None,
        request_id: str | None = None,
        retention_mode: str | None = None,
        storage_type: str | None = None,
        storage_capacity: int | str | None = None,
        scratch_storage_mode: str | None = None,
        run_group_id: str | None = None,
        priority: int | str | None = None,
        cache_id: str | None = None,
        cache_behavior: str | None = None,
        networking_mode: str | None = None,
        configuration_name: str | None = None,
        engine_settings: Mapping[str, Any] | str | None = None,
        session_policy: str | Mapping[str, Any] | None = None,
        log_level: str | None = None,
        tags: Mapping[str, str] | str | None = None,
        start_run_kwargs: Mapping[str, Any] | str | None = None,
        allow_null_parameters: bool = False,
        validate_parameters: bool = False,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        cancel_on_kill: bool = True,
        on_clear: Literal["new", "reattach"] | None = None,
        on_failure: Literal["leave", "cancel"] = "leave",
        on_unknown_end: Literal["fail", "repeat"] = "fail",
        retry_user_errors: bool = False,
        log_tail_lines: int | str = 20,
        report_usage: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.workflow_version_name = workflow_version_name
        self.workflow_owner_id = workflow_owner_id
        self.run_id = run_id
        self.role_arn = role_arn
        self.output_uri = output_uri
        self.output_uri_prefix_mode = output_uri_prefix_mode
        self.requester_pays_enabled = requester_pays_enabled
        self.parameters = parameters
        self.parameters_uri = parameters_uri
        self.parameters_s3_uri = parameters_s3_uri
        self.name = name
        self.request_id = request_id
        self.retention_mode = retention_mode
        self.storage_type = storage_type
        self.storage_capacity = storage_capacity
        self.scratch_storage_mode = scratch_storage_mode
        self.run_group_id = run_group_id
        self.priority = priority
        self.cache_id = cache_id
        self.cache_behavior = cache_behavior
        self.networking_mode = networking_mode
        self.configuration_name = configuration_name
        self.engine_settings = engine_settings
        self.session_policy = session_policy
        self.log_level = log_level
        self.tags = tags
        self.start_run_kwargs = start_run_kwargs
        self.allow_null_parameters = allow_null_parameters
        self.validate_parameters = validate_parameters
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.cancel_on_kill = cancel_on_kill
        self.on_clear = on_clear
        self.on_failure = on_failure
        self.on_unknown_end = on_unknown_end
        self.retry_user_errors = retry_user_errors
        self.log_tail_lines = log_tail_lines
        self.report_usage = report_usage

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Report usage and lineage, and return the run id; raise unless the run is COMPLETED."""
        from airflow_healthomics.reports.diagnosis import raise_for_status
        from airflow_healthomics.reports.log_pages import line_count
        from airflow_healthomics.reports.usage_report import add_usage

        tasks = None
        if self.report_usage:
            left = time_left(self, context)
            summary, tasks = add_usage(summary, hook=self.hook, log=self.log, time_left=left)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="summary", value=summary)
        self.lineage.collect_run(context, summary)
        raise_for_status(
            summary,
            hook=self.hook,
            log_tail_lines=line_count(self.log_tail_lines),
            log=self.log,
            retryable=True if self.retry_user_errors else None,
            time_left=time_left(self, context),
            tasks=tasks,
        )
        self.emit_event(context, summary)
        return str(summary["id"])

    def finish_without_waiting(self, context: Context, started: Mapping[str, Any]) -> None:
        """Emit the asset events and the lineage of an active run."""
        # A duplicate has the workflow of its original, which StartRun does not return.
        is_known = self.workflow_id and not isinstance(self.workflow_id, BrokenTemplate)
        run = {**({"workflowId": self.workflow_id} if is_known else {}), **started}
        self.lineage.collect_run(context, run)
        self.emit_event(context, run)

    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Make the links of the run work and push XCom ``run``."""
        publish_links(context, self, started)
        push_started(context, self, "run", started, ("id", "arn", "uuid", "runOutputUri", "requestId"))

    def build_request(self, request_id: str, earlier: Sequence[str]) -> StartRequest:
        """Return the StartRun request."""
        unsent = {name: getattr(self, name) for name in ("parameters_s3_uri", "log_tail_lines")}
        refuse_broken_templates("StartRun", unsent)
        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        arguments["request_id"] = request_id
        # By default the name is the request ID, so that ListRuns can find the run of a request.
        arguments["name"] = request_id if self.name is None else self.name
        parameters = arguments["parameters"] = unwrap(self.parameters)
        file = self._parameters_file(request_id, parameters)
        if file is not None:
            arguments |= {"parameters": None, "parameters_uri": file.uri}
        request = self.hook.build_start_run_request(start_run_kwargs=self.start_run_kwargs, **arguments)
        if self.validate_parameters:
            self._check_parameter_names(request, parameters, is_readable=file is not None)
        return StartRequest(request, upload=file)

    def _parameters_file(self, request_id: str, parameters: Any) -> InputFile | None:
        """Return a file if the parameters are too large for the request; they are validated later."""
        if self.parameters_s3_uri is None or self.parameters_uri is not None:
            return None
        document, problems = as_json(parameters, "parameters")
        if problems or not isinstance(document, Mapping) or json_size(document) <= MAX_PARAMETERS_BYTES:
            return None
        from airflow_healthomics.starting.request_folder import RunFolder

        folder = RunFolder(str(self.parameters_s3_uri), request_id, self.hook)
        return folder.input_file("parameters", json_bytes(document))

    def _check_parameter_names(
        self, request: Mapping[str, Any], parameters: Any, *, is_readable: bool
    ) -> None:
        """Compare the names with the parameter template of the workflow, for a duplicate its original's."""
        if "parametersUri" in request and not is_readable:
            self.log.info("The names of the parameters are not checked because they are in a file")
            return
        source: Mapping[str, Any] = request
        try:
            if "runId" in request:
                source = self.hook.get_run(request["runId"])
            workflow = self.hook.get_workflow(
                source["workflowId"],
                version_name=request.get("workflowVersionName", source.get("workflowVersionName")),
                workflow_type=source.get("workflowType"),
                workflow_owner_id=source.get("workflowOwnerId"),
            )
        except (ClientError, BotoCoreError) as error:
            self.log.warning(
                "The names of the parameters are not checked because AWS returned %s. validate_parameters "
                "requires the permissions omics:GetWorkflow and omics:GetWorkflowVersion (for a duplicate "
                "also omics:GetRun).",
                error_code(error),
            )
            return
        from airflow_healthomics.params.template import workflow_parameter_problems

        problems = workflow_parameter_problems(
            parameters or {},
            workflow.get("parameterTemplate", {}),
            may_inherit="runId" in request,
        )
        if problems:
            raise HealthOmicsRequestError("StartRun", problems)
