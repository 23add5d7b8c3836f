# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Delete the records of old HealthOmics runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import is_throttling, may_be_wrong_state
from airflow_healthomics.service.times import as_time
from airflow_healthomics.task import HealthOmicsTask
from airflow_healthomics.waiting.pace import QUOTA, Pace

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Calls of DeleteRun per second: half the quota, which is that of GetRun. Cancellations and other tasks need
#: the rest: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_RATE: Final = QUOTA / 2

#: States in which a run can be deleted.
_DELETABLE: Final = tuple(sorted(run_states.TERMINAL - {"DELETED"}))

#: Runs that the log names.
_LOGGED: Final = 20


class EndedRun(NamedTuple):
    """
    A run that has ended.

    :param ended: time at which it ended
    :param id: run id
    :param status: its status
    """

    ended: datetime
    id: str
    status: str


class HealthOmicsDeleteRunsOperator(HealthOmicsTask, AwsBaseOperator[HealthOmicsHook]):
    """
    Delete the records of old runs; their outputs and logs are kept.

    An account can store a limited number of runs in a region. At this limit, retention mode REMOVE makes room
    by itself, but RETAIN refuses new runs until others are deleted:
    https://docs.aws.amazon.com/omics/latest/dev/run-retention.html

    All filters are combined by AND. The oldest runs are deleted first, at most five per second, which is half
    the quota of DeleteRun. If the task fails, its next attempt continues with the remaining runs. A run that
    HealthOmics refuses to delete is skipped with a warning.

    Returns the number of runs: ``matched``, ``deleted`` and ``refused``.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run`

    :param older_than_days: minimum age in days, above 0, counted from the end of the run (templated)
    :param statuses: statuses of the runs: COMPLETED, FAILED and CANCELLED by default (templated)
    :param name: name of the runs (templated)
    :param run_group_id: id of their run group (templated)
    :param batch_id: id of their run batch (templated)
    :param max_runs: maximum number of runs to delete, 1 or more; unlimited by default (templated)
    :param is_dry_run: whether to delete nothing, and only log and count the runs; True by default (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; no run was deleted
    :raises HealthOmicsApiError: if ListRuns or DeleteRun is not allowed
    """

    resource_type = RunResource
    ui_color = "#f3d5d5"
    template_fields: Sequence[str] = aws_template_fields(
        "older_than_days", "statuses", "name", "run_group_id", "batch_id", "max_runs", "is_dry_run"
    )
    typed_template_fields = ("older_than_days", "statuses", "max_runs", "is_dry_run")
    checked_template_fields = ("older_than_days", "is_dry_run")
    waits_on_worker = False

    @cached_property
    def resource(self) -> RunResource:
        """The runs of this task's connection."""
        return RunResource(self.hook, self.log)

    def __init__(
        self,
        *,
        older_than_days: float,
        statuses: Sequence[str] = _DELETABLE,
        name: str | None = None,
        run_group_id: str | None = None,
        batch_id: str | None = None,
        max_runs: int | None = None,
        is_dry_run: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.older_than_days = older_than_days
        self.statuses = statuses
        self.name = name
        self.run_group_id = run_group_id
        self.batch_id = batch_id
        self.max_runs = max_runs
        self.is_dry_run = is_dry_run

    def execute(self, context: Context) -> dict[str, int]:
        """Delete the runs, or only count them."""
        self._check()
        runs = sorted(self._matching())[: self.max_runs]
        self.log.info(
            "%d runs in %s ended more than %s days ago%s",
            len(runs),
            self.hook.conn.meta.region_name,
            self.older_than_days,
            ". This is a dry run: set is_dry_run=False to delete their records" if self.is_dry_run else "",
        )
        for run in runs[:_LOGGED]:
            self.log.info("Run %s, %s, ended %s", run.id, run.status, f"{run.ended:%Y-%m-%d %H:%M} UTC")
        if len(runs) > _LOGGED:
            self.log.info("and %d more", len(runs) - _LOGGED)
        counts = {"matched": len(runs), "deleted": 0, "refused": 0}
        if not self.is_dry_run:
            pace = Pace(_RATE)
            for run in runs:
                counts["deleted" if self._delete(run, pace) else "refused"] += 1
            self.log.info(
                "Deleted the records of %d runs; %d were refused", counts["deleted"], counts["refused"]
            )
        return counts

    def _check(self) -> None:
        days, limit = self.older_than_days, self.max_runs
        rules = {
            "older_than_days must be a number above 0": _is_number(days) and days > 0,
            f"statuses must be some of {', '.join(_DELETABLE)}": isinstance(self.statuses, list | tuple)
            and bool(self.statuses)
            and set(self.statuses) <= set(_DELETABLE),
            "max_runs must be a whole number, 1 or more": limit is None
            or (_is_number(limit) and limit == int(limit) and limit >= 1),
            "is_dry_run must be True or False": isinstance(self.is_dry_run, bool),
        }
        if broken := [rule for rule, is_met in rules.items() if not is_met]:
            raise HealthOmicsRequestError("DeleteRun", broken)

    def _matching(self) -> Iterator[EndedRun]:
        latest = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=self.older_than_days)
        for status in self.statuses:
            runs = self.hook.list_runs(
                status=status, name=self.name, run_group_id=self.run_group_id, batch_id=self.batch_id
            )
            for run in runs:
                # A run that never started may have no stopTime.
                ended = as_time(run.get("stopTime") or run.get("creationTime"))
                if ended is not None and ended < latest:
                    yield EndedRun(ended, run["id"], status)

    def _delete(self, run: EndedRun, pace: Pace) -> bool:
        """Delete the record of a run as soon as the pace permits; return False if HealthOmics refuses."""
        while True:
            time.sleep(max(0.0, pace.ready_at - time.monotonic()))
            pace.begin(time.monotonic())
            try:
                # False means that it no longer exists.
                self.resource.request_delete(run.id)
            except ClientError as error:
                if not is_throttling(error):
                    raise
                pace.throttle(time.monotonic())
            except HealthOmicsApiError as error:
                if error.__cause__ is None or not may_be_wrong_state(error.__cause__):
                    raise
                self.log.warning("Run %s was not deleted: %s", run.id, error)
                return False
            else:
                pace.succeed(time.monotonic())
                return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
