# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancelling what a task has started when a person ends the task on a worker."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from airflow import __version__ as airflow_version
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random,
    wait_random_exponential,
)

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.kinds import KINDS
from airflow_healthomics.service.errors import error_code, is_transient
from airflow_healthomics.waiting.task_states import FINISHED, state_of

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Seconds for which a throttled or failing cancellation is repeated, where there is time.
CANCEL_PATIENCE: Final = 120

#: Airflow sends SIGKILL 5 seconds after on_kill was called.
_CLIENT_CONFIG: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
_SECONDS: Final = 4.5

#: More than there is time for: the process ends before.
_ATTEMPTS: Final = 30

#: Airflow 2 ends the process when on_kill returns.
_IS_AIRFLOW_2: Final = airflow_version.startswith("2.")

#: A Clear of a running task. The next attempt cancels the run that its record names; before Airflow 3.3
#: there is no record.
_CLEARED: Final = "restarting"


@dataclass(frozen=True, kw_only=True)
class Target:
    """
    A run or batch that has no use once its task is over.

    :param kind: run or batch
    :param id: its id, if known
    :param uuid: its uuid, if known
    :param name: its unique name, for a start that was never seen to answer
    """

    kind: str
    id: str | None = None
    uuid: str | None = None
    name: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return it as a trigger takes it."""
        return asdict(self)

    def cancel(self, hook: HealthOmicsHook, log: Any) -> bool:
        """
        Cancel it, if it has not ended.

        Returns False if there is no such run or batch yet, and if its cancellation is refused.

        :param hook: hook of the task's connection
        :param log: the task's log
        """
        resource: Resource = KINDS[self.kind](hook, log)
        resource_id, uuid = self.id, self.uuid
        if resource_id is None:
            found = resource.find(self.name) if self.name is not None else None
            if found is None:
                return False
            resource_id, uuid = str(found["id"]), found.get("uuid")
        return resource.cancel(resource_id, uuid)


class KillGuard:
    """
    Cancels what a task has started, once a person has ended the task.

    Airflow calls ``on_kill`` for a person's kill, a pod that stops, a worker that is scaled in and
    heartbeats that fail, and does not say which. So the state of the task instance decides: it is failed, or
    another finished state, only where a person has set it. In each other case the run continues, and the
    next attempt reattaches.

    Airflow calls it inside a signal handler, where a request to the supervisor can deadlock, and so can a
    client that the interrupted code is using. So everything happens in a thread with a client of its own.

    :param task: operator or sensor with ``cancel_on_kill``
    :ivar context: the task's context
    :ivar targets: the runs and batches to cancel
    :ivar is_fired: whether the task was killed
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self.context: Context | None = None
        self.targets: tuple[Target, ...] = ()
        self._hook: HealthOmicsHook | None = None
        self._work: SimpleQueue[None] = SimpleQueue()
        self._is_idle = Event()
        self._is_idle.set()
        self.is_fired = False

    def arm(self, targets: Sequence[Target]) -> None:
        """
        Cancel these if the task is killed from now on, or was killed while they were being started.

        :param targets: replace the previous ones
        """
        has_changed = tuple(targets) != self.targets
        self.targets = tuple(targets)
        if not self._task.cancel_on_kill or not has_changed:
            return
        if self._hook is None:
            self._hook = _impatient(self._task.hook)
            Thread(target=self._run, name="healthomics-kill", daemon=True).start()
        if self.is_fired:
            self.fire()
            self.wait()

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """
        Cancel on a kill until the task returns or raises; a kill after that does not concern the run.

        Airflow kills the process of a finished task if callbacks and listeners exceed ``[core]
        task_success_overtime``, and at its next heartbeat if the API server has stored the task's end but
        its answer was lost. A deferral is no end: Airflow may refuse it, since a person has ended the task
        meanwhile.
        """
        try:
            yield
        except (Exception, AirflowTaskTimeout):
            self.targets = ()
            raise
        self.targets = ()

    def fire(self) -> None:
        """Look at why the task is killed, and cancel if a person has ended it. Safe in a signal handler."""
        self.is_fired = True
        if self._hook is None:
            return
        self._is_idle.clear()
        self._work.put(None)
        if _IS_AIRFLOW_2:
            self.wait()

    def wait(self, seconds: float = _SECONDS) -> None:
        """Wait until the thread has done its work, but no longer than until SIGKILL."""
        self._is_idle.wait(seconds)

    def _run(self) -> None:
        while True:
            self._work.get()
            try:
                self._cancel_if_over()
            except Exception as error:  # noqa: BLE001 - a kill proceeds anyway, and the thread has no caller
                self._task.log.warning("The killed task's run could not be cancelled: %s", error_code(error))
            finally:
                self._is_idle.set()

    def _cancel_if_over(self) -> None:
        if self.context is None or self._hook is None:
            return
        log, targets = self._task.log, self.targets
        try:
            state = state_of(self.context["ti"])
        except Exception as error:  # noqa: BLE001 - Airflow in trouble; nobody has ended the task as far as is known
            log.warning(
                "The task was killed and its state could not be read (%s). Its run continues and the next "
                "attempt reattaches",
                error_code(error),
            )
            return
        has_record = self.context.get("task_state_store") is not None
        if state not in FINISHED and (has_record or state != _CLEARED):
            log.info("The task was killed while %s. Its run continues and the next attempt reattaches", state)
            return
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random(0.1, 0.5),
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        for target in targets:
            retrying(target.cancel, self._hook, log)


def cancel_retrying(patience: float = CANCEL_PATIENCE) -> Retrying:
    """
    Return how a cancellation is repeated.

    :param patience: seconds for which a throttled or failing cancellation is repeated
    """
    return Retrying(
        stop=stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=0.5, max=10),
        retry=retry_if_exception(is_transient),
        reraise=True,
    )


def cancel_persistently(
    target: Target, hook: HealthOmicsHook, log: Any, *, patience: float = CANCEL_PATIENCE
) -> bool:
    """
    Cancel a run or batch, with patience for throttling, and return whether that was possible.

    :param target: what to cancel
    :param hook: hook of its connection
    :param log: the task's log
    :param patience: seconds for which a throttled or failing cancellation is repeated
    """
    try:
        return cancel_retrying(patience)(target.cancel, hook, log)
    except (ClientError, BotoCoreError) as error:
        log.warning("The %s could not be cancelled: %s", target.kind, error_code(error))
        return False


def _impatient(hook: HealthOmicsHook) -> HealthOmicsHook:
    """Return a hook with a client of its own, so that a kill needs no look-up and no busy client."""
    client = hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(_CLIENT_CONFIG))
    impatient = copy.copy(hook)
    impatient.__dict__["conn"] = client
    return impatient
