# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
How a task tells OpenLineage of its run or batch, if Airflow's OpenLineage provider is there and turned on.

The provider asks the instance that has ended, in a process that it forks, where neither Airflow nor AWS
should be asked for anything. So what it will be told is gathered beforehand. Nothing that goes wrong here
fails a task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.compat import AirflowTaskTimeout, conf
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.lineage.datasets import Lineage, batch_lineage, common_prefixes, run_lineage
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.waiting.deadlines import time_left

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_healthomics.compat import BaseOperator, Context

    class _Base(BaseOperator, AwsBaseHookMixin[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = object

#: No call begins later than so many seconds after the first; the last one may take LONGEST_CALL_SECONDS more.
MAX_SECONDS: Final = 10.0


def is_openlineage_on(task: Any) -> bool:
    """
    Whether Airflow's OpenLineage provider is installed, configured and not disabled, for this task too.

    :param task: operator or sensor
    """
    try:
        from airflow.providers.openlineage.conf import is_disabled

        if is_disabled():
            return False
        from airflow.providers.openlineage.utils.utils import (
            is_operator_disabled,
            is_selective_lineage_enabled,
        )

        return not is_operator_disabled(task) and bool(is_selective_lineage_enabled(task))
    except Exception:  # noqa: BLE001 - with settings that cannot be read, the provider tells nothing either
        return False


class Private:
    """
    Rendered parameters that only HealthOmics gets to know.

    The OpenLineage provider puts the ``parameters`` of any operator into a facet of its own in each event, as
    it expects those of SQL there. JSON cannot hold this. The Rendered Template view gets the value by
    :meth:`serialize`; that of Airflow 2, which does not ask for it, shows no value.

    :param value: anything
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def serialize(self) -> Any:
        """Return the value for the Rendered Template view, of which Airflow 3.0 wants JSON with a length."""
        try:
            plain = json.loads(json.dumps(self.value))
        except (TypeError, ValueError, OverflowError, RecursionError):
            plain = None
        return plain if isinstance(plain, (dict, list, str)) else str(self.value)

    def __repr__(self) -> str:
        """Tell nothing."""
        return "<private>"


class _PrivateMapping(Private, MutableMapping[str, Any]):
    """The same for a mapping, which reads and changes as a ``dict`` does, for a ``pre_execute``."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__(dict(value))

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.value[key] = value

    def __delitem__(self, key: str) -> None:
        del self.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __or__(self, other: Mapping[str, Any]) -> _PrivateMapping:
        return _PrivateMapping({**self, **other})

    def __ror__(self, other: Mapping[str, Any]) -> _PrivateMapping:
        return _PrivateMapping({**other, **self})

    def copy(self) -> _PrivateMapping:
        """Return a shallow copy, as private."""
        return _PrivateMapping(self)


def unwrap(value: Any) -> Any:
    """Return the value itself, if it is :class:`Private`."""
    return value.value if isinstance(value, Private) else value


def _private(value: Any) -> Private:
    if isinstance(value, Private):
        return value
    return _PrivateMapping(value) if isinstance(value, Mapping) else Private(value)


class LineageMixin(_Base):
    """Tell OpenLineage of a run or batch, for an operator or sensor; before mixins that render templates."""

    #: Of an operator that has them.
    parameters: Any

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
        return _private(rendered) if fields == ["parameters"] and is_openlineage_on(self) else rendered

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """
        Render all; ``parameters`` become :class:`Private` too if another field has the same object.

        Airflow does not come by here for a mapped task.
        """
        super().render_template_fields(context, jinja_env)
        if "parameters" in self.template_fields and is_openlineage_on(self):
            self.parameters = _private(self.parameters)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """Return what was gathered. The OpenLineage provider asks for it."""
        if self._lineage is None:
            return None
        from airflow_healthomics.lineage.facets import operator_lineage

        return operator_lineage(self._lineage)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage | None:
        """Return the same; a failed run has no outputs."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def gather_run(self, context: Context, run: Mapping[str, Any]) -> None:
        """
        Gather what there is to tell of a run: a GetRun for its parameters, a GetWorkflow for its engine.

        :param context: the task's context
        :param run: its summary, or what StartRun or GetRun answered
        """
        self._gather(context, f"run {run['id']}", lambda aws: _run_lineage(aws, run))

    def gather_batch(
        self,
        context: Context,
        batch: Mapping[str, Any],
        *,
        settings: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
        has_own_outputs: bool = False,
        sheet: str | None = None,
        manifest: str | None = None,
    ) -> None:
        """
        Gather what there is to tell of a batch: a GetBatch for its parameters, a GetWorkflow for its engine.

        :param context: the task's context
        :param batch: its summary, or what StartRunBatch or GetBatch answered
        :param settings: gives the run settings, by names of the API or of the arguments
        :param has_own_outputs: whether they may name places for outputs
        :param sheet: S3 URI that they were read from
        :param manifest: S3 URI of the manifest
        """

        def settings_if_told(is_any_complete: bool) -> Iterable[Mapping[str, Any]]:
            if not _tells_inputs() and not (is_any_complete and has_own_outputs):
                return ()
            try:
                return settings()
            except Exception as error:  # noqa: BLE001 - reading a sheet may raise anything
                self.log.info(
                    "The lineage of batch %s goes without its run settings: %s",
                    batch["id"],
                    error_code(error),
                )
                return ()

        self._gather(
            context,
            f"batch {batch['id']}",
            lambda aws: _batch_lineage(aws, batch, settings_if_told, sheet, manifest),
        )

    def _gather(self, context: Context, subject: str, read: Callable[[BestEffortClient], Lineage]) -> None:
        if not is_openlineage_on(self):
            return
        subject = f"The lineage of {subject}"
        try:
            # A task that has its run is not put at risk.
            seconds = max(0.0, BestEffortClient.seconds_within(MAX_SECONDS, time_left(self, context)))
            say = self.log.info
            self._lineage = read(
                BestEffortClient(self.hook, subject, seconds=seconds, on_error=say, on_missing=say)
            )
        except AirflowTaskTimeout:
            self.log.info("%s is left out: the task has timed out", subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended, and that is what counts
            self.log.info("%s is left out: %s", subject, error_code(error))


def _run_lineage(aws: BestEffortClient, run: Mapping[str, Any]) -> Lineage:
    answer = aws.call("omics:GetRun", id=run["id"])
    if answer.get("uuid") != run.get("uuid"):
        # Nobody's, or another run's that has the id by now.
        answer = {}
    whole = {**answer, **run}
    parameters = None
    if _tells_inputs():
        parameters = answer.get("parameters")
        if parameters is None and "runId" in answer:
            # Nobody documents that a duplicate tells the parameters that it inherits.
            parameters = aws.call("omics:GetRun", id=answer["runId"]).get("parameters")
    return run_lineage(whole, parameters, engine=_engine(aws, whole))


def _batch_lineage(
    aws: BestEffortClient,
    batch: Mapping[str, Any],
    settings: Callable[[bool], Iterable[Mapping[str, Any]]],
    sheet: str | None,
    manifest: str | None,
) -> Lineage:
    answer = aws.call("omics:GetBatch", batchId=batch["id"])
    if answer.get("uuid") != batch.get("uuid"):
        answer = {}
    common = answer.get("defaultRunSetting", {})
    engine = _engine(aws, common)
    is_any_complete = bool(batch.get("runSummary", {}).get("completedRunCount"))
    own = settings(is_any_complete)
    inputs: Iterable[Any] = ()
    if _tells_inputs():
        inputs = chain([sheet, common.get("parameters")], (each.get("parameters") for each in own))
    outputs: list[Any] = []
    if is_any_complete:
        places = (each.get("outputUri", each.get("output_uri")) for each in own)
        outputs = [common.get("outputUri"), *common_prefixes(places)]
    return batch_lineage({**answer, **batch}, inputs, engine=engine, outputs=[*outputs, manifest])


def _engine(aws: BestEffortClient, run: Mapping[str, Any]) -> str | None:
    if "workflowId" not in run:
        return None
    scope = {"type": run.get("workflowType"), "workflowOwnerId": run.get("workflowOwnerId")}
    given = {name: value for name, value in scope.items() if value}
    return aws.call("omics:GetWorkflow", id=run["workflowId"], **given).get("engine")


def _tells_inputs() -> bool:
    return bool(conf.getboolean("healthomics", "lineage_inputs", fallback=True))
