# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The queue of EventBridge's events in SQS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from airflow_healthomics.events.batch_ends import BatchEnds
from airflow_healthomics.events.calls import Calls
from airflow_healthomics.events.ends import End, EndSource
from airflow_healthomics.events.failures import FAILURES, Failures
from airflow_healthomics.events.message import UnreadableMessageError, parse_message
from airflow_healthomics.events.run_ends import RunEnds
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import is_transient

#: Seconds of a long poll. It also delays the stop of a triggerer.
WAIT_SECONDS = 10

#: Seconds between two polls of an empty queue that does not wait.
SHORTEST_POLL_SECONDS: Final = 1.0

#: Seconds after which a message that was not deleted is delivered again: longer than Airflow takes to store
#: an event, and short enough for a restart.
VISIBILITY_SECONDS = 120

#: The same for an end that HealthOmics does not confirm yet, and for one that we may not confirm: with five
#: deliveries before the dead-letter queue, somebody has an hour to correct the policy.
_LAG_SECONDS: Final = 30
_REFUSAL_SECONDS: Final = 900

#: By detail type.
SOURCES: Final[Mapping[str, EndSource]] = {source.detail_type: source for source in (RunEnds(), BatchEnds())}


@dataclass
class Delivery:
    """
    An end and its message.

    :param end: the end
    :param receipt: receipt of the message, for its deletion
    :param in_hand: watchers that received it and have not finished with it. Airflow also acknowledges for a
        watcher that is cancelled meanwhile.
    """

    end: End
    receipt: str
    in_hand: int = 0


class EndQueue:
    """
    Receives ends from a queue, each confirmed by HealthOmics.

    A message is deleted by :meth:`delete` only, or if it reports no end. An unreadable one is left:
    the queue moves it to the dead-letter queue.

    :param calls: makes AWS calls
    :param queue_url: URL of the queue
    :param is_owned: whether the queue is ours, so that messages of others are deleted, too
    :param log: logger
    """

    def __init__(self, calls: Calls, queue_url: str, is_owned: bool, log: Any) -> None:
        self.failures = Failures("The queue cannot be read", log)
        self._calls = calls
        self._url = queue_url
        self._is_owned = is_owned
        self._log = log
        # A long poll would hold up the calls of others.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="healthomics-queue")
        self._clients: dict[HealthOmicsHook, Any] = {}

    async def receive(self) -> list[Delivery]:
        """Return the ends of the next messages, after 10 seconds at most."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + SHORTEST_POLL_SECONDS
        messages: list[Mapping[str, Any]] = []
        deliveries: list[Delivery] = []
        try:
            answer = await self._call(
                "receive_message",
                executor=self._thread,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=WAIT_SECONDS,
                VisibilityTimeout=VISIBILITY_SECONDS,
                AttributeNames=["ApproximateReceiveCount"],
            )
            messages = list(answer.get("Messages", ()))
            if not messages:
                # A queue at a custom endpoint may not wait.
                await asyncio.sleep(earliest - loop.time())
            while messages:
                if (delivery := await self._deliver(messages[0])) is not None:
                    deliveries.append(delivery)
                del messages[0]
        except FAILURES as error:
            self.failures.add(error)
            if not is_transient(error):
                for message in messages:
                    await self._hide(message["ReceiptHandle"], _REFUSAL_SECONDS)
            await asyncio.sleep(self.failures.pause)
        else:
            self.failures.end()
        return deliveries

    async def delete(self, receipt: str) -> None:
        """Delete a message. If that fails, it is delivered again and recognized."""
        try:
            await self._call("delete_message", ReceiptHandle=receipt)
        except FAILURES as error:
            self.failures.add(error)

    def close(self) -> None:
        """Release the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _deliver(self, message: Mapping[str, Any]) -> Delivery | None:
        receipt = str(message["ReceiptHandle"])
        try:
            parsed = parse_message(message["Body"], SOURCES)
        except UnreadableMessageError as error:
            self._log.warning(
                "Message %s, received %s times, cannot be read: %s. It is left to the dead-letter queue",
                message["MessageId"],
                message.get("Attributes", {}).get("ApproximateReceiveCount", "?"),
                error,
            )
            return None
        if parsed.candidate is None or parsed.source is None:
            if self._is_owned or not parsed.is_foreign:
                await self.delete(receipt)
            return None
        end = await self._calls(parsed.source.confirm, parsed.candidate)
        if end is None:
            await self._hide(receipt, _LAG_SECONDS)
            return None
        return Delivery(end, receipt)

    async def _hide(self, receipt: str, seconds: int) -> None:
        try:
            await self._call("change_message_visibility", ReceiptHandle=receipt, VisibilityTimeout=seconds)
        except FAILURES as error:
            self.failures.add(error)

    async def _call(
        self, operation: str, executor: ThreadPoolExecutor | None = None, **request: Any
    ) -> Mapping[str, Any]:
        def call(hook: HealthOmicsHook) -> Any:
            if hook not in self._clients:
                self._clients = {hook: hook.client_for("sqs")}
            return getattr(self._clients[hook], operation)(QueueUrl=self._url, **request)

        answer: Mapping[str, Any] = await self._calls(call, executor=executor)
        return answer
