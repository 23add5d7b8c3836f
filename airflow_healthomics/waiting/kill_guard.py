# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel the run or batch of a task when a person ends the task on a worker."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_random,
    wait_random_exponential,
)

from airflow_healthomics.compat import IS_AIRFLOW_2, AirflowTaskTimeout
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.service.errors import error_code, is_retryable, is_transient
from airflow_healthomics.waiting.task_states import FINISHED_TASK_STATES, state_of

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Seconds for which a throttled or failing cancellation is retried, if there is time.
CANCEL_PATIENCE: Final = 120

#: Seconds for which a start that may be on its way is searched for.
_SEARCH_PATIENCE: Final = 60

#: Seconds for a cancellation: Airflow sends SIGKILL 5 seconds after on_kill was called.
_SECONDS: Final = 4.5

#: A limit that is never reached: the process ends before.
_ATTEMPTS: Final = 30

#: Pauses between two attempts, with SIGKILL ahead and without.
_SHORT_PAUSE: Final = wait_random(0.1, 0.5)
_PAUSE: Final = wait_random_exponential(multiplier=0.5, max=10)

#: State of a running task that was cleared. The next attempt cancels the recorded run; before Airflow 3.3
#: there is no record.
_CLEARED: Final = "restarting"


class Target(NamedTuple):
    """
    A run or batch to cancel when its task is killed.

    :param kind: run or batch
    :param id: its id, if known
    :param uuid: its uuid, if known
    :param name: its unique name, for a start without a recorded response
    """

    kind: str
    id: str | None = None
    uuid: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        """Return kind and id, or name, for log lines."""
        return f"{self.kind} {self.id or self.name}"

    def as_json(self) -> dict[str, str | None]:
        """Return it as JSON values for a trigger."""
        return self._asdict()

    def cancel(self, hook: HealthOmicsHook, log: Any) -> bool:
        """
        Cancel the run or batch unless it has ended.

        Returns False if it does not exist yet, or if the cancellation is refused.

        :param hook: hook of the task's connection
        :param log: the task's log
        """
        resource = resource_of_kind(self.kind, hook, log)
        resource_id, uuid = self.id, self.uuid
        if resource_id is None:
            found = resource.find(self.name) if self.name is not None else None
            if found is None:
                return False
            resource_id, uuid = str(found["id"]), found.get("uuid")
        return resource.cancel(resource_id, uuid)


class KillGuard:
    """
    Cancels a task's run or batch when a person ends the task.

    Airflow calls ``on_kill`` if a person ends the task, but also if a pod stops, a worker is scaled in or
    heartbeats fail, and does not report the reason. The state of the task instance decides: only a person
    sets it to failed or another finished state while the task runs. In all other cases the run continues and
    the next attempt reattaches.

    Airflow calls ``on_kill`` in a signal handler. There, a request to the supervisor can deadlock, and so can
    a client that the interrupted code is using. Therefore the work is done in a thread with a separate
    client.

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
        Cancel these targets if the task is killed later, or was killed while they were being started.

        :param targets: the new targets, which replace the previous ones
        """
        has_changed = tuple(targets) != self.targets
        self.targets = tuple(targets)
        if not self._task.cancel_on_kill or not has_changed:
            return
        if self._hook is None:
            self._hook = _impatient(self._task.hook)
            Thread(target=self._run, args=(self._hook,), name="healthomics-kill", daemon=True).start()
        if self.is_fired:
            self.fire()
            self.wait()

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """
        Cancel on a kill until the task returns or raises; later kills do not affect the run.

        Airflow kills the process of a finished task if callbacks and listeners exceed ``[core]
        task_success_overtime``. It also does so at the next heartbeat if the API server stored the task's end
        but its response was lost. A deferral does not count as an end: Airflow may refuse it because a person
        has ended the task meanwhile.

        After a kill, wait for the cancellation first, because the end of the process ends its threads.
        """
        has_ended = False
        try:
            yield
            has_ended = True
        except (Exception, AirflowTaskTimeout):
            has_ended = True
            raise
        finally:
            if self.is_fired:
                self.wait()
            if has_ended:
                self.targets = ()

    def fire(self) -> None:
        """Cancel the targets if a person has ended the task. Safe in a signal handler."""
        self.is_fired = True
        if self._hook is None:
            return
        self._is_idle.clear()
        self._work.put(None)
        if IS_AIRFLOW_2:
            self.wait()

    def wait(self, seconds: float = _SECONDS) -> None:
        """Wait until the thread has done its work, but at most until SIGKILL."""
        self._is_idle.wait(seconds)

    def _run(self, hook: HealthOmicsHook) -> None:
        while True:
            self._work.get()
            try:
                self._cancel_if_over(hook)
            except Exception as error:  # noqa: BLE001 - a kill proceeds anyway, and the thread has no caller
                self._task.log.warning("The killed task's run could not be cancelled: %s", error_code(error))
            finally:
                self._is_idle.set()

    def _cancel_if_over(self, hook: HealthOmicsHook) -> None:
        if self.context is None:
            return
        log, targets = self._task.log, self.targets
        try:
            state = state_of(self.context["ti"])
        except Exception as error:  # noqa: BLE001 - an error of Airflow; no person is known to have ended the task
            log.warning(
                "The task was killed and its state could not be read (%s). Its run continues and the next "
                "attempt reattaches",
                error_code(error),
            )
            return
        has_record = self.context.get("task_state_store") is not None
        if state not in FINISHED_TASK_STATES and (has_record or state != _CLEARED):
            log.info("The task was killed while %s. Its run continues and the next attempt reattaches", state)
            return
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_SHORT_PAUSE,
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        for target in targets:
            retrying(target.cancel, hook, log)


def cancel_retrying(patience: float = CANCEL_PATIENCE) -> Retrying:
    """
    Return the retry rule of a cancellation.

    :param patience: seconds for which a throttled or failing cancellation is retried
    """
    return Retrying(
        stop=stop_after_delay(patience),
        wait=_PAUSE,
        retry=retry_if_exception(is_retryable),
        reraise=True,
    )


def _search_retrying() -> Retrying:
    """Return the rule by which a start that is on its way is looked for; False if it does not show up."""
    return Retrying(
        stop=stop_after_delay(_SEARCH_PATIENCE),
        wait=_PAUSE,
        retry=retry_if_result(lambda is_cancelled: not is_cancelled),
        retry_error_callback=lambda _: False,
    )


def cancel_persistently(
    target: Target,
    hook: HealthOmicsHook,
    log: Any,
    *,
    patience: float = CANCEL_PATIENCE,
    is_on_its_way: bool = False,
) -> bool:
    """
    Cancel a run or batch, with retries for throttling, and return whether that succeeded.

    :param target: the run or batch
    :param hook: hook of its connection
    :param log: the task's log
    :param patience: seconds for which a throttled or failing cancellation is retried
    :param is_on_its_way: whether its start may be on its way, so that it is searched for up to a minute
    """

    def cancel() -> bool:
        return cancel_retrying(patience)(target.cancel, hook, log)

    try:
        return _search_retrying()(cancel) if is_on_its_way else cancel()
    except (ClientError, BotoCoreError) as error:
        log.warning("The %s could not be cancelled: %s", target, error_code(error))
        return False


def _impatient(hook: HealthOmicsHook) -> HealthOmicsHook:
    """Return a hook with a separate client, so that a kill needs no connection look-up and no busy client."""
    # Two calls and their pauses have time before SIGKILL.
    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    client = hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(config))
    impatient = copy.copy(hook)
    impatient.__dict__["conn"] = client
    return impatient
