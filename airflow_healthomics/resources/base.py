# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task starts: a run, or a batch of runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import HealthOmicsConnectionChangedError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import (
    error_code,
)
from airflow_healthomics.service.log import Log


class Resource(ABC):
    """
    A kind of thing that a task starts, by the calls that it takes.

    :param hook: hook of the task's connection
    :param log: the task's log
    :cvar noun: what it is
    :cvar start_operation: the call that starts it
    :cvar get_operation: the call that describes it
    :cvar name_length: most characters of a name, and so of a request ID that is to be the name
    """

    noun: ClassVar[str]
    start_operation: ClassVar[str]
    get_operation: ClassVar[str]
    name_length: ClassVar[int]

    def __init__(self, hook: HealthOmicsHook, log: Log) -> None:
        self.hook = hook
        self.log = log

    @abstractmethod
    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """
        Describe it; its status is one of the states of a run.

        :param resource_id: its id
        :param earlier: ids of those that it repeats a part of
        """

    @abstractmethod
    def find(self, name: str) -> dict[str, Any] | None:
        """Return the one of that very name, as :meth:`get` does."""

    @abstractmethod
    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Cancel it, if it has not ended; False, with a line in the log, if that is refused."""

    @abstractmethod
    def console_url(self, resource_id: str) -> str:
        """Return its page in the AWS console."""

    @abstractmethod
    def cancel_command(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that cancels it."""

    def cancel_rest(self, resource_ids: Sequence[str]) -> None:
        """Cancel what still runs of those that have ended; of a run that is nothing."""
        return

    def find_end(self, resource_id: str, uuid: str | None) -> dict[str, Any] | None:
        """Return how one ended that is no longer found, or None if nothing says so."""
        return None

    def unique_name(self, request_id: str) -> str:
        """Return the default name of what a request ID starts, which nothing else has."""
        return request_id[: self.name_length]

    def check_place(self, arn: str | None) -> None:
        """
        Check that the connection leads to the account and region of an ARN; for one that is not found.

        :param arn: of what was started
        :raises HealthOmicsConnectionChangedError: if it leads elsewhere, where nothing of it can be known
        """
        if arn is None:
            return
        _, _, _, region, account, _ = arn.split(":", 5)
        here = self.hook.conn_region_name
        if region != here:
            raise HealthOmicsConnectionChangedError(self.noun, arn, f"region {here}")
        try:
            caller = str(self.hook.account_id)
        except (ClientError, BotoCoreError) as error:
            self.log.info(
                "The account of the connection is unknown: GetCallerIdentity, %s", error_code(error)
            )
            return
        if account and account != caller:
            raise HealthOmicsConnectionChangedError(self.noun, arn, f"account {caller}")
