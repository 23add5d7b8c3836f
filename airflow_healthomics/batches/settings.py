# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The run settings of a batch: read from arguments or a sample sheet, checked, and placed in S3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.exceptions import HealthOmicsError, HealthOmicsRequestError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.requests.batch import MAX_INLINE_SETTINGS, settings_in_request, settings_json
from airflow_healthomics.resources.base import StartRequest

if TYPE_CHECKING:
    from airflow_healthomics.batches.s3_folder import BatchFolder
    from airflow_healthomics.service.log import Log

#: Bytes of run settings that a request holds itself, if S3 is available for them. AWS documents no limit of
#: the request.
_MAX_INLINE_BYTES: Final = 1_000_000

#: Time that reading the largest sheet may need.
_SHEET_TIME: Final = timedelta(minutes=2)


class RunSettings:
    """
    The run settings of a task.

    :param hook: hook of the task's connection
    :param connection: aws_conn_id, region_name, verify and botocore_config, for the sheet
    :param run_settings: run settings as the task has them, or None
    :param sample_sheet: URI of a sheet to read them from, or None
    :param columns: columns of the sheet
    :param types: types of the sheet's values
    :param arguments: arguments that the runs have in common
    :param log: the task's log
    """

    def __init__(
        self,
        hook: HealthOmicsHook,
        connection: Mapping[str, Any],
        *,
        run_settings: Any,
        sample_sheet: str | None,
        columns: Any,
        types: Any,
        arguments: Mapping[str, Any],
        log: Log,
    ) -> None:
        self._hook = hook
        self._connection = connection
        self._run_settings = run_settings
        self._sample_sheet = sample_sheet
        self._columns = columns
        self._types = types
        self._arguments = arguments
        self._log = log
        self._all: list[dict[str, Any]] = []

    @property
    def ids(self) -> Set[str] | None:
        """The ids of all run settings, if this process has read them."""
        return {each["runSettingId"] for each in self._all} or None

    def build(self, **arguments: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """
        Return the StartRunBatch request without its run settings, and all run settings, checked.

        :param arguments: of this start
        :raises HealthOmicsRequestError: if anything breaks a rule
        """
        request, self._all = self._hook.build_run_batch(self._given, **{**self._arguments, **arguments})
        return request, self._all

    def read_again(self) -> None:
        """Read them if possible: a sheet may have been corrected since, or may no longer exist."""
        with suppress(HealthOmicsError):
            self.build()

    def for_lineage(self, time_left: timedelta | None) -> Any:
        """
        Return all run settings; a sheet that another process has read is read again, if there is time.

        :param time_left: until the task times out, if it does
        """
        if self._all or self._sample_sheet is None:
            return self._all or self._read()
        if time_left is not None and time_left < _SHEET_TIME:
            self._log.info("The sample sheet is not read again: the task's execution_timeout is near")
            return ()
        from airflow_healthomics.hooks.best_effort import CONNECT_TIMEOUT, MAX_ATTEMPTS, READ_TIMEOUT

        return self._read(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": MAX_ATTEMPTS},
        )

    @cached_property
    def _given(self) -> Any:
        return self._read()

    def _read(self, **patience: Any) -> Any:
        if (self._run_settings is None) == (self._sample_sheet is None):
            raise HealthOmicsRequestError("StartRunBatch", ["give either run_settings or sample_sheet"])
        if self._sample_sheet is None:
            return self._run_settings
        from airflow_healthomics.batches.sample_sheet import read_sample_sheet

        botocore_config = {**(self._connection["botocore_config"] or {}), **patience}
        return read_sample_sheet(
            self._sample_sheet,
            columns=self._columns,
            types=self._types,
            **{**self._connection, "botocore_config": botocore_config},
        )


def place_settings(
    request: Mapping[str, Any], settings: Sequence[dict[str, Any]], folder: BatchFolder | None
) -> StartRequest:
    """
    Return the request with its run settings: in the request itself, or in a file in S3.

    :param request: StartRunBatch request without run settings
    :param settings: the run settings
    :param folder: folder of the batch in S3, if there is one
    :raises HealthOmicsRequestError: if there are too many for a request and there is no folder
    """
    content = settings_json(settings)
    is_large = len(settings) > MAX_INLINE_SETTINGS or (folder and len(content) > _MAX_INLINE_BYTES)
    if not is_large:
        return StartRequest({**request, "batchRunSettings": settings_in_request(settings)})
    if folder is None:
        raise HealthOmicsRequestError(
            "StartRunBatch",
            [
                f"settings_s3_uri is required: there are {len(settings):,} run settings, and a request holds "
                f"at most {MAX_INLINE_SETTINGS}"
            ],
        )
    file = folder.input_file("settings", content)
    return StartRequest({**request, "batchRunSettings": {"s3UriSettings": file.uri}}, upload=file)
