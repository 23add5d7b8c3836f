# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Register a workflow by the digest of its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.operators.status_base import StatusOperator
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.workflows.definition import read_definition
from airflow_healthomics.workflows.register import version_result
from airflow_healthomics.workflows.registry import WorkflowRegistry, creation_failed
from airflow_healthomics.workflows.request import ARGUMENTS, OPERATION, build_registration

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Default poll interval in seconds. Most workflows are ACTIVE within seconds.
REGISTRATION_WAITER_DELAY: Final = 10.0

#: Arguments of the source, and of the registration.
_SOURCE: Final = ("source", "git_ref", "archive_s3_uri")
_REGISTRATION: Final = (
    "name",
    "workflow_id",
    "version_name",
    "workflow_bucket_owner_id",
    *ARGUMENTS,
    "description",
    "tags",
)


class HealthOmicsRegisterWorkflowOperator(StatusOperator):
    """
    Register a workflow version, unless one with the same content is registered already.

    Returns ``workflowId``, ``versionName`` and ``isNew`` for the start operators, also as an XCom each.

    The content is identified by a SHA-256 digest of the files and of the arguments that decide how runs
    behave. It is in the tag ``airflow-healthomics:digest`` and, by default, in the name of the version. So
    the next DAG run registers nothing and returns the same ids, and so do two DAG runs at the same time.

    Without ``workflow_id``, the version belongs to the workflow with the given name. If there is none, it is
    created from the same definition. Of several with the name, the oldest is used.

    The task waits until the version is ACTIVE. If HealthOmics refuses the definition, the error has its
    message. The parameter template is that of HealthOmics, which derives it from the definition, if none is
    given.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.create_workflow_version`

    :param source: path of a folder or of a zip file, or S3 URI of a zip file. Hidden files are left out. The
        zip archive of the files may have up to 100 MB (templated)
    :param name: name of the workflow to find or create, 1 to 128 characters (templated)
    :param workflow_id: instead of the name, the id of an existing workflow (templated)
    :param version_name: name of the version, 1 to 64 letters, digits, ``.``, ``_`` and ``-``; by default the
        beginning of the digest. A version of this name with other content is refused (templated)
    :param git_ref: commit, tag or branch, if the source is a folder of a git checkout. Then the files are
        those of the commit, not those on disk. Requires git (templated)
    :param archive_s3_uri: S3 URI of a prefix to which a zip archive of more than 4.4 MB is written
        (templated)
    :param workflow_bucket_owner_id: AWS account id of the owner of the S3 bucket of the source or of
        ``archive_s3_uri``, if it is another account (templated)
    :param engine: WDL, WDL_LENIENT, NEXTFLOW or CWL; detected by HealthOmics by default (templated)
    :param main: path of the main definition file; detected by HealthOmics by default (templated)
    :param parameter_template: parameters by name, each a mapping with ``description`` and ``optional``, or
        the path of a JSON file; derived by HealthOmics by default (templated)
    :param accelerators: GPU, if tasks need them (templated)
    :param storage_type: default storage type of runs, STATIC or DYNAMIC (templated)
    :param storage_capacity: default storage capacity of runs in GiB, with STATIC (templated)
    :param container_registry_map: ``registryMappings`` and ``imageMappings`` as in the API, or the path of a
        JSON file (templated)
    :param container_registry_map_uri: S3 URI of such a file (templated)
    :param description: description of a new workflow or version, 1 to 256 characters (templated)
    :param tags: tags of the workflow and version, at most 48 (templated)
    :param deferrable: whether to wait in the triggerer after 10 seconds; ``[operators] default_deferrable``
        by default
    :param waiter_delay: seconds between two polls after the first 10 seconds, 10 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule, or the source cannot be read; nothing was
        sent
    :raises HealthOmicsResourceDiffersError: if ``version_name`` has other content
    :raises HealthOmicsCreationFailedError: if HealthOmics refuses the definition
    :raises HealthOmicsApiError: if a call is refused
    """

    ui_color = "#d5e8d4"
    brief_seconds = 10.0
    typed_template_fields = (*_SOURCE, *_REGISTRATION)
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "parameter_template": "json",
        "container_registry_map": "json",
        "tags": "json",
    }

    def __init__(
        self,
        *,
        source: str,
        name: str | None = None,
        workflow_id: str | None = None,
        version_name: str | None = None,
        git_ref: str | None = None,
        archive_s3_uri: str | None = None,
        workflow_bucket_owner_id: str | None = None,
        engine: Literal["WDL", "WDL_LENIENT", "NEXTFLOW", "CWL"] | None = None,
        main: str | None = None,
        parameter_template: Mapping[str, Any] | str | None = None,
        accelerators: Literal["GPU"] | None = None,
        storage_type: Literal["STATIC", "DYNAMIC"] | None = None,
        storage_capacity: int | None = None,
        container_registry_map: Mapping[str, Any] | str | None = None,
        container_registry_map_uri: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = REGISTRATION_WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        # An XCom for each key, so that register.output["workflowId"] is one of them.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.source = source
        self.name = name
        self.workflow_id = workflow_id
        self.version_name = version_name
        self.git_ref = git_ref
        self.archive_s3_uri = archive_s3_uri
        self.workflow_bucket_owner_id = workflow_bucket_owner_id
        self.engine = engine
        self.main = main
        self.parameter_template = parameter_template
        self.accelerators = accelerators
        self.storage_type = storage_type
        self.storage_capacity = storage_capacity
        self.container_registry_map = container_registry_map
        self.container_registry_map_uri = container_registry_map_uri
        self.description = description
        self.tags = tags
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def execute(self, context: Context) -> dict[str, Any]:
        """Register the version if necessary, and wait until it is ACTIVE."""
        registry = self._registry()
        if registry.registration.workflow_id is not None:
            return self._register(context, registry, registry.registration.workflow_id)
        found = registry.ensure_workflow()
        if found.status == "ACTIVE":
            return self._register(context, registry, found.id)
        result: dict[str, Any] = self.wait(
            context, registry.workflow_watch(found), is_new=found.is_new, then="resume_registration"
        )
        return result

    def resume_registration(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Register the version after its workflow was created."""
        workflow = self._active(self.summary_in(event))
        return self._register(context, self._registry(), str(workflow["id"]))

    def finish(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the ids of the version, or raise."""
        return version_result(self._active(summary))

    def _registry(self) -> WorkflowRegistry:
        refuse_broken_templates(OPERATION, {name: getattr(self, name) for name in _SOURCE})
        model = self.hook.conn.meta.service_model
        registration = build_registration(model, **{name: getattr(self, name) for name in _REGISTRATION})
        definition = read_definition(self.source, self.git_ref, self.hook)
        return WorkflowRegistry(self.hook, self.log, registration, definition, self.archive_s3_uri)

    def _register(self, context: Context, registry: WorkflowRegistry, workflow_id: str) -> dict[str, Any]:
        found = registry.ensure_version(workflow_id)
        result: dict[str, Any] = self.wait(context, registry.version_watch(found), is_new=found.is_new)
        return result

    def _active(self, summary: dict[str, Any]) -> dict[str, Any]:
        if summary["status"] != "ACTIVE":
            raise creation_failed(self.hook, summary)
        return summary
