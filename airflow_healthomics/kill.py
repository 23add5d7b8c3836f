# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancelling a run whose task is killed on a worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics import run_states
from airflow_healthomics.aws_errors import error_code, is_transient
from airflow_healthomics.hooks import HealthOmicsHook

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin
    from airflow.providers.common.compat.sdk import BaseOperator

    class _Base(BaseOperator, AwsBaseHookMixin[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = object

#: Airflow sends SIGKILL 5 seconds after on_kill was called.
_CLIENT_CONFIG: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})


class CancelOnKillMixin(_Base):
    """
    Cancel a run when its task is killed, for an operator or sensor with ``cancel_on_kill``.

    Airflow calls ``on_kill`` inside a signal handler, where a call to the supervisor can deadlock, and so can
    a client that the interrupted code is using. So :meth:`guard_run` makes a client of its own beforehand,
    and
    :meth:`on_kill` needs nothing else.
    """

    cancel_on_kill: bool

    _is_killed = False
    _guarded: str | None = None
    _cancel: Callable[[], Any] | None = None

    def guard_run(self, run_id: str) -> None:
        """
        Cancel this run if the task is killed from now on, or was killed while the run was being started.

        :param run_id: HealthOmics run id
        """
        if not self.cancel_on_kill or run_id == self._guarded:
            return
        self._guarded = run_id
        client = self.hook.get_client_type(
            region_name=self.hook.region_name, config=self.hook.config.merge(_CLIENT_CONFIG)
        )
        self._cancel = partial(client.cancel_run, id=run_id)
        if self._is_killed:
            self.on_kill()

    def unguard_run(self) -> None:
        """Let the run go on when the task is killed from now on."""
        self._cancel = None

    def on_kill(self) -> None:
        """Cancel the run; for a run that is still being started, have :meth:`guard_run` do it."""
        self._is_killed = True
        if self._cancel is None:
            return
        try:
            self._cancel()
        except Exception as error:  # noqa: BLE001 - nothing more can be done, and a kill goes on anyway
            self.log.warning("The run could not be cancelled: %s", type(error).__name__)
        else:
            self.log.info("The task was killed, so its run is cancelled")
