# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
How a task tells OpenLineage of its run or batch, if Airflow's OpenLineage provider is there and turned on.

The provider asks the instance that has ended, in a process that it forks, where neither Airflow nor AWS
should be asked for anything. So what it will be told is gathered beforehand. Nothing that goes wrong here
fails a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import conf
from botocore.config import Config

from airflow_healthomics.aws_errors import error_code
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.lineage import Lineage, batch_lineage, common_prefixes, run_lineage

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    class _Base(BaseOperator, AwsBaseHookMixin[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = object

#: Lineage is not worth waiting for.
_CLIENT_CONFIG: Final = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})


def is_openlineage_on() -> bool:
    """Whether Airflow's OpenLineage provider is installed, configured and not disabled."""
    try:
        from airflow.providers.openlineage.conf import is_disabled
    except ImportError:
        return False
    return not is_disabled()


class Private:
    """
    Rendered parameters that only HealthOmics gets to know.

    The OpenLineage provider puts the ``parameters`` of any operator into a facet of its own in each event, as
    it expects those of SQL there. This is nothing that JSON can hold. The Rendered Template view gets the
    value by :meth:`serialize`, as ever; that of Airflow 2, which does not ask for it, shows no value.

    :param value: anything
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def serialize(self) -> Any:
        """Return the value for the Rendered Template view."""
        return self.value

    def __repr__(self) -> str:
        """Tell nothing."""
        return "<private>"


class _PrivateMapping(Private, Mapping[str, Any]):
    """The same for a mapping, which can be read as one."""

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)


def revealed(value: Any) -> Any:
    """Return the value itself, if it is :class:`Private`."""
    return value.value if isinstance(value, Private) else value


class LineageMixin(_Base):
    """Tell OpenLineage of a run or batch, for an operator or sensor; before mixins that render templates."""

    _lineage: Lineage | None = None

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render ``content``; ``parameters`` become :class:`Private` while OpenLineage listens."""
        rendered = super().render_template(content, context, jinja_env, seen_oids)
        fields = [field for field in self.template_fields if getattr(self, field, None) is content]
        if fields != ["parameters"] or not is_openlineage_on():
            return rendered
        value = revealed(rendered)
        return _PrivateMapping(value) if isinstance(value, Mapping) else Private(value)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """Return what was gathered. The OpenLineage provider asks for it."""
        if self._lineage is None:
            return None
        from airflow_healthomics.openlineage_facets import operator_lineage

        return operator_lineage(self._lineage)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage | None:
        """Return the same; a failed run has no outputs."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def gather_run(self, run: Mapping[str, Any]) -> None:
        """
        Gather what there is to tell of a run: a GetRun for its parameters, a GetWorkflow for its engine.

        :param run: its summary, or what StartRun or GetRun answered
        """
        if is_openlineage_on():
            self._lineage = self._attempt("The run", lambda: self._run_lineage(run)) or run_lineage(run)

    def gather_batch(
        self,
        batch: Mapping[str, Any],
        *,
        settings: Callable[[], Iterator[Mapping[str, Any]]] = lambda: iter(()),
        sheet: str | None = None,
        manifest: str | None = None,
    ) -> None:
        """
        Gather what there is to tell of a batch: a GetBatch for its parameters, a GetWorkflow for its engine.

        :param batch: its summary, or what StartRunBatch or GetBatch answered
        :param settings: gives the run settings, by names of the arguments
        :param sheet: S3 URI that they were read from
        :param manifest: S3 URI of the manifest
        """
        if is_openlineage_on():
            self._lineage = self._attempt(
                "The batch", lambda: self._batch_lineage(batch, settings, sheet, manifest)
            ) or batch_lineage(batch)

    def _run_lineage(self, run: Mapping[str, Any]) -> Lineage:
        client = self._quick_client
        answer = self._attempt("GetRun", lambda: client.get_run(id=run["id"])) or {}
        if answer.get("uuid") != run.get("uuid"):
            # Nobody's, or another run's that has the id by now.
            answer = {}
        whole = {**answer, **run}
        parameters = answer.get("parameters")
        if parameters is None and "runId" in answer:
            # Nobody documents that a duplicate tells the parameters that it inherits.
            source = self._attempt("GetRun", lambda: client.get_run(id=answer["runId"])) or {}
            parameters = source.get("parameters")
        return run_lineage(whole, parameters if _tells_inputs() else None, engine=self._engine(client, whole))

    def _batch_lineage(
        self,
        batch: Mapping[str, Any],
        settings: Callable[[], Iterator[Mapping[str, Any]]],
        sheet: str | None,
        manifest: str | None,
    ) -> Lineage:
        client = self._quick_client
        answer = self._attempt("GetBatch", lambda: client.get_batch(batchId=batch["id"])) or {}
        if answer.get("uuid") != batch.get("uuid"):
            answer = {}
        common = answer.get("defaultRunSetting", {})
        own = self._attempt("The run settings", lambda: list(settings())) or []
        outputs: list[Any] = []
        if batch.get("runSummary", {}).get("completedRunCount"):
            outputs = [common.get("outputUri"), *common_prefixes(each.get("output_uri") for each in own)]
        inputs = [sheet, common.get("parameters"), *(each.get("parameters") for each in own)]
        return batch_lineage(
            {**answer, **batch},
            inputs if _tells_inputs() else (),
            engine=self._engine(client, common),
            outputs=[*outputs, manifest],
        )

    def _engine(self, client: Any, run: Mapping[str, Any]) -> str | None:
        if "workflowId" not in run:
            return None
        scope = {"type": run.get("workflowType"), "workflowOwnerId": run.get("workflowOwnerId")}
        given = {name: value for name, value in scope.items() if value}
        workflow = self._attempt("GetWorkflow", lambda: client.get_workflow(id=run["workflowId"], **given))
        return (workflow or {}).get("engine")

    @property
    def _quick_client(self) -> Any:
        return self.hook.get_client_type(
            region_name=self.hook.region_name, config=self.hook.config.merge(_CLIENT_CONFIG)
        )

    def _attempt(self, what: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended, and that is what counts
            self.log.info("OpenLineage is told less: %s could not be looked up, %s", what, error_code(error))
            return None


def _tells_inputs() -> bool:
    return bool(conf.getboolean("healthomics", "lineage_inputs", fallback=True))
