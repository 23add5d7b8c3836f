# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of all operators and sensors: the methods that Airflow calls, each delegated to a collaborator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import HealthOmicsError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.lineage.collector import LineageCollector
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.templating.private import private
from airflow_healthomics.templating.sources import describe_source
from airflow_healthomics.templating.typed import FieldRendering
from airflow_healthomics.waiting.kill_guard import KillGuard

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_healthomics.compat import BaseOperator, Context
    from airflow_healthomics.resources.watch import Watch
    from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger

    class _Base(BaseOperator, AwsBaseHookMixin[HealthOmicsHook]):
        """Base of the operator or sensor."""
else:
    _Base = object


#: Methods of subclasses that Airflow calls and whose errors it prints.
_ENTRY_POINTS: Final = ("execute", "resume_execution")

#: Causes whose text is part of the error that they cause.
_EXPLAINED: Final = (HealthOmicsError, ClientError, BotoCoreError)


def _raising_briefly(entry_point: Callable[..., Any]) -> Callable[..., Any]:
    """
    Raise the errors of this package without the frames and the cause that led to them.

    Airflow prints both into the log of the task, where they hide the message. Other errors, and unexpected
    causes, keep theirs. The whole traceback is logged at level DEBUG.
    """

    @wraps(entry_point)
    def call(task: HealthOmicsTask, *args: Any, **kwargs: Any) -> Any:
        if task._is_entered:
            return entry_point(task, *args, **kwargs)
        task._is_entered = True
        try:
            return entry_point(task, *args, **kwargs)
        except HealthOmicsError as error:
            task.log.debug("The traceback of the error", exc_info=True)
            cause = None if isinstance(error.__cause__, _EXPLAINED) else error.__cause__
            raise error.with_traceback(None) from cause
        finally:
            task._is_entered = False

    return call


class HealthOmicsTask(_Base):
    """
    Base of operators and sensors.

    :cvar resource_type: the task's kind of resource, run or batch
    :cvar typed_template_fields: template fields whose values keep their type
    :cvar checked_template_fields: template fields that must not render to None
    """

    aws_hook_class = HealthOmicsHook

    resource_type: ClassVar[type[Resource]]
    typed_template_fields: Sequence[str] = ()
    checked_template_fields: Sequence[str] = ()

    #: Whether templates in ``parameters`` may yield None.
    allow_null_parameters: bool = False
    #: Whether killing the task cancels its run or batch.
    cancel_on_kill: bool = False
    #: URLs of the task's links by XCom key, once its run is known.
    link_urls: Mapping[str, str] = MappingProxyType({})

    _template_sources: Mapping[str, str] = MappingProxyType({})
    _is_rendering = False
    _is_entered = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _ENTRY_POINTS:
            if name in vars(cls):
                setattr(cls, name, _raising_briefly(vars(cls)[name]))

    @property
    @abstractmethod
    def waits_on_worker(self) -> bool:
        """Whether the task occupies a worker while it waits."""

    # --- collaborators ---

    @cached_property
    def resource(self) -> Resource:
        """The runs or batches of this task's connection."""
        return self.resource_type(self.hook, self.log)

    @cached_property
    def kill_guard(self) -> KillGuard:
        """Cancels the run or batch when a person ends the task."""
        return KillGuard(self)

    @cached_property
    def lineage(self) -> LineageCollector:
        """Collects the lineage for OpenLineage."""
        return LineageCollector(self)

    def trigger(self, watch: Watch, delay: float, **arguments: Any) -> HealthOmicsWaitTrigger:
        """
        Return the trigger that continues a wait with this task's connection.

        :param watch: state of the wait
        :param delay: seconds between two polls
        :param arguments: further arguments of the trigger
        """
        from airflow_healthomics.triggers.kinds import wait_trigger_of_kind

        return wait_trigger_of_kind(self.resource_type.noun).of(self, watch, delay, **arguments)

    def trigger_arguments(self, context: Context, watch: Watch) -> Mapping[str, Any]:
        """
        Return further arguments of the trigger that waits for the end.

        :param context: the task's context
        :param watch: state of the wait
        """
        return {}

    def is_left_to_trigger(self, summary: Mapping[str, Any]) -> bool:
        """
        Whether the task defers although its run or batch has ended, because more is to be read.

        :param summary: summary of the run or batch
        """
        return False

    def count_end(self, summary: Mapping[str, Any]) -> None:
        """
        Count the end of the run or batch in the metrics.

        :param summary: its summary
        """
        from airflow_healthomics.reports.remedies import bounded_reason

        metrics.ended(self.resource_type.noun, summary, bounded_reason(summary.get("failureReason")))

    def emit_event(self, context: Context, described: Mapping[str, Any], manifest: str | None = None) -> None:
        """
        Add the run or batch to the asset events of the task's outlets.

        :param context: the task's context
        :param described: answer of the start, or a summary
        :param manifest: S3 URI of the manifest of a batch, if there is one
        """
        if self.outlets:
            from airflow_healthomics.publishing.asset_events import emit_event

            emit_event(self, context, described, manifest)

    # --- called by Airflow ---

    @_raising_briefly
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral."""
        # Airflow wrote the links when the task deferred, and would write them again.
        self.operator_extra_links = ()
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the run or batch if a person has ended the task."""
        self.kill_guard.fire()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """Return the lineage of the run or batch to Airflow's OpenLineage provider."""
        return self.lineage.facets()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage | None:
        """Return the lineage of a failed run or batch, which has no outputs."""
        return self.lineage.facets()

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render ``content``. If OpenLineage is enabled, ``parameters`` are made private."""
        if seen_oids and id(content) in seen_oids:
            # An XCom that a mapped task is expanded over, not a template.
            return content
        field = None if self._is_rendering else self._field_of(content)
        was_rendering, self._is_rendering = self._is_rendering, True
        try:
            if field is None:
                return super().render_template(content, context, jinja_env, seen_oids)
            jinja_env = jinja_env or self.get_template_env()
            rendering = FieldRendering(self, field, context, jinja_env, seen_oids)
            if field in self.typed_template_fields:
                rendered = rendering.render_typed(content)
                return private(rendered) if field == "parameters" and self.lineage.is_on else rendered
            if source := describe_source(content, jinja_env):
                self._template_sources = {**self._template_sources, field: source}
            return rendering.render_checked(content)
        finally:
            self._is_rendering = was_rendering

    # --- templates ---

    def source_of(self, field: str) -> str:
        """
        Return the source of the value of one of ``checked_template_fields``, as far as it is known.

        :param field: name of the field
        """
        return self._template_sources.get(field, f"the argument {field}")

    def _field_of(self, content: Any) -> str | None:
        # By identity, because Airflow does not pass the name of the field to render_template, the only public
        # method that it calls for both plain and mapped tasks. Airflow renders the fields in order and
        # replaces each value, so the first field that still holds this object is the one being rendered.
        field = next((name for name in self.template_fields if getattr(self, name, None) is content), None)
        is_ours = field in self.typed_template_fields or field in self.checked_template_fields
        return field if is_ours else None
