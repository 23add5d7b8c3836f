# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start HealthOmics run batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.batches.settings import RunSettings, place_settings
from airflow_healthomics.batches.verdict import BatchVerdict
from airflow_healthomics.compat import conf
from airflow_healthomics.exceptions import (
    HealthOmicsError,
    HealthOmicsOutcomeLostError,
    HealthOmicsRequestError,
    HealthOmicsRunBatchFailedError,
)
from airflow_healthomics.hooks.base import check_connection
from airflow_healthomics.hooks.connection import connection_of
from airflow_healthomics.operators.base import WAITER_DELAY
from airflow_healthomics.operators.start_base import StartOperator
from airflow_healthomics.publishing.resource import push_started
from airflow_healthomics.requests.batch import BATCH_ARGUMENTS
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.resources.base import StartRequest
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.service.errors import AIRFLOW_API_ERRORS, error_code
from airflow_healthomics.templating.private import unwrap
from airflow_healthomics.waiting.deadlines import has_tries_left, time_left

if TYPE_CHECKING:
    from airflow_healthomics.batches.report import BatchReport, ReportPlan
    from airflow_healthomics.batches.result import BatchReview
    from airflow_healthomics.batches.s3_folder import BatchFolder
    from airflow_healthomics.compat import Context
    from airflow_healthomics.resources.watch import Watch


class HealthOmicsStartRunBatchOperator(StartOperator):
    """
    Start a batch of HealthOmics runs of one private workflow, from a list or a sample sheet.

    The operator's arguments apply to all runs. They have the names, defaults and rules of
    :class:`~airflow_healthomics.operators.start_run.HealthOmicsStartRunOperator`. A run setting overrides
    them for one run; its ``parameters`` and ``run_tags`` are merged with the common ones, key by key.

    The batch is started only once, like a run, with a request ID that begins with the DAG-run ID. A retry
    reattaches to the batch of the previous attempt. If that batch has ended and ``success_policy`` is not
    met, the retry starts another batch with only the settings whose runs did not complete.

    Returns the batch id. XCom ``batch`` contains ``id``, ``arn``, ``uuid`` and ``requestId``. If the operator
    waits, it pushes more XComs:

    - ``summary``: the finished batch, with ``batchIds`` of all attempts, ``counts`` of its runs by status,
      and ``usage``, the time and storage of all runs of all attempts (see
      :meth:`airflow_healthomics.reports.usage.BatchUsage.figures`)
    - ``successes``: ``runSettingId``, ``runId`` and ``runOutputUri`` of each completed run, up to 100
    - ``manifest``, with ``settings_s3_uri``: the S3 URI of a JSON array of all runs
    - ``success_parts``, with ``settings_s3_uri``: the S3 URIs of JSON arrays of up to 1,000 completed runs
      each, for mapping a task

    The asset events of the outlets have ``batchId``, ``uuid``, ``workflowId``, ``outputUri`` and ``manifest``
    in their extra.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.start_run_batch`

    :param run_settings: 1 to 100,000 mappings, one for each run, with ``run_setting_id`` (unique, 1 to 128
        characters) and optionally ``name``, ``output_uri``, ``output_bucket_owner_id``, ``parameters``,
        ``priority``, ``engine_settings`` or ``run_tags`` (templated)
    :param sample_sheet: path or URI of a CSV, TSV or JSON file with a row for each run, instead of
        ``run_settings`` (templated); see :mod:`airflow_healthomics.batches.sample_sheet`
    :param columns: the sheet's column for each field of a run setting, such as ``{"run_setting_id": "sample",
        "parameters.reads": "fastq"}`` (templated)
    :param types: types of fields that are not text, such as ``{"parameters.depth": "integer"}`` (templated)
    :param settings_s3_uri: S3 URI of a prefix for the manifest, and for the run settings if there are more
        than 100. The role must be able to read it (templated)
    :param success_policy: how many runs must complete: ``all``, ``any``, a number (950) or a share (``95%``)
        (templated)
    :param output_uris: whether to publish the ``runOutputUri`` of each completed run. If those of a few runs
        differ only in their ids, the others are derived from them; otherwise each costs a GetRun call. XCom
        ``summary`` has ``outputUris``: ``derived`` or ``read``
    :param batch_name: name of the batch, up to 64 characters; the request ID by default (templated)
    :param request_id: request ID, 1 to 128 characters, sent unchanged; by default derived from the DAG-run
        ID, up to 64 characters (templated)
    :param tags: up to 50 tags of the batch (templated)
    :param workflow_id: id of the workflow to run, 1 to 18 digits (templated)
    :param workflow_type: PRIVATE, the only type that batches support (templated)
    :param workflow_version_name: version of the workflow; the workflow's default version by default
        (templated)
    :param workflow_owner_id: AWS account id of the owner of a shared workflow, 12 digits (templated)
    :param role_arn: ARN of the IAM role that the runs assume (templated)
    :param output_uri: S3 URI of the outputs, up to 750 characters (templated)
    :param output_bucket_owner_id: AWS account id of the owner of the output bucket, 12 digits (templated)
    :param requester_pays_enabled: whether inputs may be in Requester Pays buckets. The runs' account is
        charged (templated)
    :param parameters: parameters of all runs, a mapping (templated)
    :param name: name of the runs (templated)
    :param retention_mode: RETAIN or REMOVE (templated)
    :param storage_type: STATIC or DYNAMIC (templated)
    :param storage_capacity: GiB of STATIC storage, 0 to 100,000 (templated)
    :param scratch_storage_mode: SHARED (the service's default) or LOCAL (templated)
    :param run_group_id: id of the run group that limits the runs (templated)
    :param priority: priority of the runs, 0 to 100,000 (templated)
    :param cache_id: id of the run cache (templated)
    :param cache_behavior: CACHE_ON_FAILURE or CACHE_ALWAYS; requires ``cache_id`` (templated)
    :param networking_mode: RESTRICTED (the service's default) or VPC (templated)
    :param configuration_name: name of the VPC configuration; only with ``networking_mode="VPC"`` (templated)
    :param engine_settings: settings of the workflow engine, a mapping; Nextflow only (templated)
    :param session_policy: IAM policy that restricts the role's permissions, a mapping or JSON text
        (templated)
    :param log_level: OFF, FATAL, ERROR or ALL (templated)
    :param run_tags: up to 50 tags of the runs. Tags must not contain patients' data (templated)
    :param allow_null_parameters: whether templates in ``parameters``, including those of run settings, may
        yield None, which is sent as null. By default None is rejected because it may be a missing XCom,
        unless the template yields it explicitly, as in ``{{ x | default(none) }}``
    :param wait_for_completion: whether to wait for the batch to end and fail unless ``success_policy`` is met
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param cancel_on_kill: whether to cancel the batch when a person ends or clears the task, and when the
        last attempt times out
    :param on_clear: what the task does after a Clear if its batch is active or has met ``success_policy``:
        start a new batch (``new``) or reattach (``reattach``). The connection's extra may set it. The default
        is ``new``, but ``reattach`` if the task failed before the outcome of its batch was known
    :param on_failure: whether to ``leave`` or ``cancel`` an active batch when the last attempt fails for a
        reason other than the batch, such as revoked permissions
    :param on_unknown_end: what the task does if the batch no longer exists and its outcome is unknown: fail
        (``fail``) or start a new batch in a retry (``repeat``)
    :param log_tail_lines: number of lines that the run page shows from the end of a failed task's log, 0 to
        50. The page opens no log of the runs if it is 0, or a template that does not yield a number. Errors
        of a batch have no log lines (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument, run setting or sheet breaks a rule; nothing is sent
    :raises HealthOmicsRunBatchFailedError: if the operator waits and ``success_policy`` is not met
    :raises HealthOmicsApiError: if StartRunBatch or GetBatch fails with a non-retryable error
    """

    # Airflow's registry reads this from operators that survive a crash of their worker without
    # ResumableJobMixin (apache/airflow#70291).
    __supports_durable_execution: ClassVar[bool] = True

    resource_type = BatchResource
    template_fields: Sequence[str] = aws_template_fields(
        "run_settings",
        "sample_sheet",
        "columns",
        "types",
        "settings_s3_uri",
        "success_policy",
        *BATCH_ARGUMENTS,
        "log_tail_lines",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "run_settings": "json",
        "columns": "json",
        "parameters": "json",
        "engine_settings": "json",
        "tags": "json",
        "run_tags": "json",
    }
    typed_template_fields = (
        "run_settings",
        "columns",
        "types",
        "success_policy",
        "parameters",
        "engine_settings",
        "session_policy",
        "tags",
        "run_tags",
        "priority",
        "storage_capacity",
        "requester_pays_enabled",
        "log_tail_lines",
    )
    checked_template_fields = template_fields
    name_argument = "batch_name"
    ui_color = "#d6eadf"

    #: The trigger's event.
    _event: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        workflow_id: str,
        run_settings: Sequence[Mapping[str, Any]] | str | None = None,
        sample_sheet: str | None = None,
        columns: Mapping[str, str] | str | None = None,
        types: Mapping[str, str] | str | None = None,
        settings_s3_uri: str | None = None,
        success_policy: str | float = "all",
        output_uris: bool = True,
        batch_name: str | None = None,
        request_id: str | None = None,
        tags: Mapping[str, str] | str | None = None,
        workflow_type: str | None = None,
        workflow_version_name: str | None = None,
        workflow_owner_id: str | None = None,
        role_arn: str | None = None,
        output_uri: str | None = None,
        output_bucket_owner_id: str | None = None,
        requester_pays_enabled: bool | str | None = None,
        parameters: Mapping[str, Any] | str | None = None,
        name: str | None = None,
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
        run_tags: Mapping[str, str] | str | None = None,
        allow_null_parameters: bool = False,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        cancel_on_kill: bool = True,
        on_clear: Literal["new", "reattach"] | None = None,
        on_failure: Literal["leave", "cancel"] = "leave",
        on_unknown_end: Literal["fail", "repeat"] = "fail",
        log_tail_lines: int | str = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.run_settings = run_settings
        self.sample_sheet = sample_sheet
        self.columns = columns
        self.types = types
        self.settings_s3_uri = settings_s3_uri
        self.success_policy = success_policy
        self.output_uris = output_uris
        self.batch_name = batch_name
        self.request_id = request_id
        self.tags = tags
        self.workflow_type = workflow_type
        self.workflow_version_name = workflow_version_name
        self.workflow_owner_id = workflow_owner_id
        self.role_arn = role_arn
        self.output_uri = output_uri
        self.output_bucket_owner_id = output_bucket_owner_id
        self.requester_pays_enabled = requester_pays_enabled
        self.parameters = parameters
        self.name = name
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
        self.run_tags = run_tags
        self.allow_null_parameters = allow_null_parameters
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.cancel_on_kill = cancel_on_kill
        self.on_clear = on_clear
        self.on_failure = on_failure
        self.on_unknown_end = on_unknown_end
        self.log_tail_lines = log_tail_lines

    @cached_property
    def resource(self) -> BatchResource:
        """The batches of this task's connection. A batch with too few completed runs counts as failed."""
        return BatchResource(self.hook, self.log, self._verdict)

    def build_request(self, request_id: str, earlier: Sequence[str]) -> StartRequest:
        """Return the StartRunBatch request; after a failed batch, only for the runs that did not complete."""
        unsent = {name: getattr(self, name) for name in ("settings_s3_uri", "sample_sheet", "log_tail_lines")}
        refuse_broken_templates("StartRunBatch", unsent)
        # Before the sheet is read, which may use other credentials.
        check_connection(self.hook)
        # By default the name is the request ID, so that ListBatch can find the batch of a request.
        name = request_id[: BatchResource.name_length] if self.batch_name is None else self.batch_name
        request, settings = self._settings.build(request_id=request_id, batch_name=name)
        # Required for the manifest, even if the run settings fit into the request.
        folder = self._folder(request_id)
        if (required := self._verdict.policy.required(len(settings))) > len(settings):
            raise HealthOmicsRequestError(
                "StartRunBatch",
                [f"success_policy requires {required:,} runs, but the batch has only {len(settings):,}"],
            )
        if earlier:
            settings = self._without_done(settings, earlier)
        return place_settings(request, settings, folder)

    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Make the page of the batch work and push XCom ``batch``."""
        push_started(context, self, "batch", started, ("id", "arn", "uuid", "requestId"))

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Publish the outcome of each run, and return the batch id; raise if too few runs completed."""
        from airflow_healthomics.batches.outcomes import describe_counts
        from airflow_healthomics.batches.publication import publish_outcomes
        from airflow_healthomics.batches.start_report import open_folder
        from airflow_healthomics.reports.usage import describe_batch_usage

        plan = self._report_plan(context, summary["id"])
        folder = open_folder(plan, self.hook)
        report, successes = self._report_on(summary, plan, folder)
        self.log.info("The runs of this task: %s", describe_counts(report.counts))
        if report.usage:
            self.log.info("%s", describe_batch_usage(report.usage))
        manifest_uri = None
        if self.do_xcom_push:
            value = {**summary, "batchIds": [*plan.earlier, summary["id"]], "counts": report.counts}
            further = {"outputUris": report.output_uris, "usage": report.usage}
            value |= {name: figures for name, figures in further.items() if figures}
            context["ti"].xcom_push(key="summary", value=value)
            manifest_uri = publish_outcomes(context, report.successes, successes, folder, self.log)
        self._collect_lineage(context, summary, manifest_uri)
        if not report.is_success:
            raise HealthOmicsRunBatchFailedError(
                summary["id"],
                summary["status"],
                report.counts,
                f"{report.text}\nNext step: retry the task to repeat the runs that did not complete.",
            )
        self.emit_event(context, summary, manifest_uri)
        return str(summary["id"])

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Finish with the summary of the batch."""
        self._event = event
        return super().execute_complete(context, event)

    def trigger_arguments(self, context: Context, watch: Watch) -> Mapping[str, Any]:
        """Let the trigger read the outcomes of the runs."""
        if not self._has_report_in_trigger:
            return {}
        try:
            return {"report": self._report_plan(context, watch.resource_id).as_json()}
        except (BotoCoreError, ClientError, *AIRFLOW_API_ERRORS) as error:
            self.log.info("The record of this task could not be read: %s", error_code(error))
            return {}

    def is_left_to_trigger(self, summary: Mapping[str, Any]) -> bool:
        """Whether many runs are to be listed."""
        from airflow_healthomics.batches.outcomes import PAGE_SIZE

        is_large = summary.get("totalRuns", 0) > PAGE_SIZE and summary["status"] != "DELETED"
        return is_large and self._has_report_in_trigger

    def finish_without_waiting(self, context: Context, started: Mapping[str, Any]) -> None:
        """Emit the asset events and the lineage of an active batch."""
        is_known = not isinstance(self.workflow_id, BrokenTemplate)
        batch = {**({"workflowId": self.workflow_id} if is_known else {}), **started}
        # The status of an existing batch was translated to that of a run, which must not be published.
        batch.pop("status", None)
        self._collect_lineage(context, batch)
        self.emit_event(context, batch)

    @cached_property
    def _settings(self) -> RunSettings:
        return RunSettings(
            self.hook,
            connection_of(self),
            run_settings=self.run_settings,
            sample_sheet=self.sample_sheet,
            columns=self.columns,
            types=self.types,
            arguments={name: getattr(self, name) for name in BATCH_ARGUMENTS}
            | {"parameters": unwrap(self.parameters)},
            log=self.log,
        )

    @cached_property
    def _review(self) -> BatchReview:
        """The outcomes of earlier attempts' batches, as this attempt found them."""
        from airflow_healthomics.batches.result import BatchReview

        return BatchReview(self.hook, self.log)

    @cached_property
    def _verdict(self) -> BatchVerdict:
        return BatchVerdict(lambda: self._review, self.success_policy, self._settings)

    def _folder(self, request_id: str) -> BatchFolder | None:
        if not self.settings_s3_uri:
            return None
        from airflow_healthomics.batches.s3_folder import BatchFolder

        return BatchFolder(str(self.settings_s3_uri), request_id, self.hook)

    @property
    def _has_report_in_trigger(self) -> bool:
        """Whether the trigger can hand over the outcomes: the ids of run settings only by files in S3."""
        is_rendered = isinstance(self.success_policy, (str, int, float))
        has_files = isinstance(self.settings_s3_uri, str) and bool(self.settings_s3_uri)
        return self.deferrable and is_rendered and (has_files or not self.do_xcom_push)

    def _report_plan(self, context: Context, batch_id: str) -> ReportPlan:
        from airflow_healthomics.batches.report import ReportPlan

        record = self.recorded(context)
        folder = None
        if self.settings_s3_uri and self.do_xcom_push:
            # Not the batch's name: other batches may have the same custom name.
            request_id = record.request_id if record else batch_id
            folder = {"uri": str(self.settings_s3_uri), "request_id": request_id}
        return ReportPlan(
            success_policy=self.success_policy,
            is_started_here=True,
            earlier=record.earlier if record else (),
            output_uris=self.output_uris and self.do_xcom_push,
            is_last_attempt=not has_tries_left(context),
            folder=folder,
        )

    def _report_on(
        self, summary: Mapping[str, Any], plan: ReportPlan, folder: BatchFolder | None
    ) -> tuple[BatchReport, Sequence[dict[str, Any]]]:
        """Return the report of the trigger, or make it; and the completed runs, unless they are many."""
        from airflow_healthomics.batches.publication import MAX_XCOM_SUCCESSES
        from airflow_healthomics.batches.report import BatchReport
        from airflow_healthomics.batches.result import BatchReview
        from airflow_healthomics.batches.start_report import report_on_start

        if report := BatchReport.from_event(self._event, plan):
            is_for_xcom = 0 < report.successes <= MAX_XCOM_SUCCESSES
            try:
                return report, folder.read_successes() if folder and is_for_xcom else ()
            except (BotoCoreError, ClientError) as error:
                self.log.info(
                    "The outcomes of the runs are read again, because GetObject failed with %s. The IAM "
                    "policy should allow s3:GetObject below settings_s3_uri",
                    error_code(error),
                )
        review = BatchReview(self.hook, self.log)
        return report_on_start(review, summary, plan, wanted=self._settings.ids, folder=folder, log=self.log)

    def _without_done(
        self, settings: Sequence[dict[str, Any]], earlier: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return the settings whose runs are neither completed nor active, as far as is known."""
        outcomes = self._review.outcomes(earlier)
        wanted = [outcomes[each["runSettingId"]] for each in settings if each["runSettingId"] in outcomes]
        lost = sum(each.is_lost for each in wanted)
        if lost and self.on_unknown_end == "fail":
            raise HealthOmicsOutcomeLostError("batch", earlier[-1], lost_runs=lost)
        done = {each.run_setting_id for each in wanted if each.is_success}
        # Runs of a failed batch may be active.
        active = {each.run_setting_id for each in wanted if each.is_active}
        left = [each for each in settings if each["runSettingId"] not in done | active]
        self.log.info(
            "Of the runs so far, %d completed and %d are active; starting %d",
            len(done),
            len(active),
            len(left),
        )
        if not left and active:
            raise HealthOmicsError(
                f"{len(active)} runs of earlier batches are active, and all others completed. "
                "Retry the task when they have ended"
            )
        if not left:
            raise HealthOmicsRequestError(
                "StartRunBatch", ["every run of run_settings has already completed"]
            )
        return left

    def _collect_lineage(
        self, context: Context, batch: Mapping[str, Any], manifest_uri: str | None = None
    ) -> None:
        self.lineage.collect_batch(
            context,
            batch,
            settings=lambda: self._settings.for_lineage(time_left(self, context)),
            has_own_outputs=not isinstance(self.columns, Mapping) or "output_uri" in self.columns,
            sheet=self.sample_sheet,
            manifest=manifest_uri,
        )
