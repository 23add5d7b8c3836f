# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancelling what a task has started when it is killed on a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.config import Config
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from airflow_healthomics.aws_errors import error_code, may_be_wrong_state
from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks import HealthOmicsHook

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin

    from airflow_healthomics.compat import BaseOperator

    class _Base(BaseOperator, AwsBaseHookMixin[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = object

#: Airflow sends SIGKILL 5 seconds after on_kill was called.
_CLIENT_CONFIG: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})

#: Seconds that a batch is given of these, to leave the state CREATING, in which it cannot be cancelled.
BATCH_PATIENCE: Final = 3.0


class CancelOnKillMixin(_Base):
    """
    Cancel a run or batch when its task is killed, for an operator or sensor with ``cancel_on_kill``.

    Airflow calls ``on_kill`` inside a signal handler, where a call to the supervisor can deadlock, and so can
    a client that the interrupted code is using. So :meth:`guard` makes a client of its own beforehand, and
    :meth:`on_kill` needs nothing else.

    :cvar cancel_call: the client's method that cancels, and the argument that takes the id
    :cvar cancel_patience: seconds for which a refusal is met with another call, for what cannot be cancelled
        while it is being created
    """

    cancel_on_kill: bool
    cancel_call: ClassVar[tuple[str, str]] = ("cancel_run", "id")
    cancel_patience: ClassVar[float] = 0

    _is_killed = False
    _guarded: str | None = None
    _cancel: Callable[[], Any] | None = None

    def guard(self, resource_id: str) -> None:
        """
        Cancel it if the task is killed from now on, or was killed while it was being started.

        :param resource_id: id of the run or batch
        """
        if not self.cancel_on_kill or resource_id == self._guarded:
            return
        self._guarded = resource_id
        client = self.hook.get_client_type(
            region_name=self.hook.region_name, config=self.hook.config.merge(_CLIENT_CONFIG)
        )
        method, argument = self.cancel_call
        self._cancel = partial(getattr(client, method), **{argument: resource_id})
        if self._is_killed:
            self.on_kill()

    def unguard(self) -> None:
        """Let it go on when the task is killed from now on."""
        self._guarded = self._cancel = None

    @contextmanager
    def cancelling_on_kill(self) -> Iterator[None]:
        """
        Cancel on a kill until the task returns, raises or defers; a kill after that does not concern the run.

        Airflow kills the process of a finished task if callbacks and listeners exceed ``[core]
        task_success_overtime``. It also kills a task that has succeeded, failed or deferred, at the next
        heartbeat, if the API server has stored that but its answer was lost.
        """
        is_timeout = False
        try:
            yield
        except AirflowTaskTimeout:
            # Airflow calls on_kill for it.
            is_timeout = True
            raise
        finally:
            if not is_timeout:
                self.unguard()

    def on_kill(self) -> None:
        """Cancel; what is still being started, have :meth:`guard` do it."""
        self._is_killed = True
        if self._cancel is None:
            return
        retrying = Retrying(
            stop=stop_after_delay(self.cancel_patience),
            wait=wait_fixed(0.5),
            retry=retry_if_exception(may_be_wrong_state),
            reraise=True,
        )
        try:
            retrying(self._cancel)
        except Exception as error:  # noqa: BLE001 - nothing more can be done, and a kill goes on anyway
            self.log.warning("What the task has started could not be cancelled: %s", error_code(error))
        else:
            self.log.info("The task was killed, so what it has started is cancelled")
