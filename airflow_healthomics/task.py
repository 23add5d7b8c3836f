# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What operators and sensors share: the methods that Airflow calls, each left to a collaborator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.lineage.collector import LineageCollector
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.templating.private import private
from airflow_healthomics.templating.sources import describe_source
from airflow_healthomics.templating.typed import FieldRendering
from airflow_healthomics.triggers.kinds import WAIT_TRIGGERS
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


class HealthOmicsTask(_Base):
    """
    Base of operators and sensors.

    :cvar resource_type: the kind of resource that the task is about
    :cvar typed_template_fields: template fields whose values keep their type
    :cvar checked_template_fields: template fields that Airflow renders, but that must not yield None
    """

    aws_hook_class = HealthOmicsHook

    resource_type: ClassVar[type[Resource]]
    typed_template_fields: Sequence[str] = ()
    checked_template_fields: Sequence[str] = ()

    #: Whether templates in ``parameters`` may yield None.
    allow_null_parameters: bool = False
    #: Whether a kill of the task cancels the run or batch.
    cancel_on_kill: bool = False

    _template_sources: Mapping[str, str] = MappingProxyType({})
    _is_rendering = False

    # --- collaborators ---

    @property
    def resource(self) -> Resource:
        """The runs or batches of this task's connection."""
        return self.resource_type(self.hook, self.log)

    @cached_property
    def kill_guard(self) -> KillGuard:
        """Cancels the run or batch when a person ends the task."""
        return KillGuard(self)

    @cached_property
    def lineage(self) -> LineageCollector:
        """Collects what OpenLineage receives."""
        return LineageCollector(self)

    def trigger(self, watch: Watch, delay: float) -> HealthOmicsWaitTrigger:
        """
        Return the trigger that continues a wait with this task's connection.

        :param watch: state of the wait
        :param delay: seconds between two polls
        """
        return WAIT_TRIGGERS[self.resource_type].of(self, watch, delay)

    # --- called by Airflow ---

    def on_kill(self) -> None:
        """Cancel the run or batch, if a person has ended the task."""
        self.kill_guard.fire()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """Return the lineage of the run or batch to Airflow's OpenLineage provider."""
        return self.lineage.facets()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage | None:
        """Return the same; a failed run has no outputs."""
        return self.lineage.facets()

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render ``content``; ``parameters`` become private while OpenLineage is on."""
        if seen_oids and id(content) in seen_oids:
            # An XCom that a mapped task is expanded over, which is no template.
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
        Return where the value of one of ``checked_template_fields`` comes from, as far as that is known.

        :param field: name of the field
        """
        return self._template_sources.get(field, f"the argument {field}")

    def _field_of(self, content: Any) -> str | None:
        # By identity: Airflow passes no name to render_template, the one public method that both plain and
        # mapped tasks go through. Airflow renders the fields in their order and replaces each one, so the
        # first field that still has this very object is the one being rendered.
        field = next((name for name in self.template_fields if getattr(self, name, None) is content), None)
        is_ours = field in self.typed_template_fields or field in self.checked_template_fields
        return field if is_ours else None
