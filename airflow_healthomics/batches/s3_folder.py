# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The S3 folder of a batch, a request folder: its run settings, and the outcomes of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsResultUnavailableError
from airflow_healthomics.requests.json_values import json_bytes
from airflow_healthomics.starting.request_folder import RequestFolder

#: Completed runs per object, and so per mapped task that reads one object.
PART_SIZE: Final = 1000


class BatchFolder(RequestFolder):
    """The folder of one batch."""

    operation = "StartRunBatch"
    argument = "settings_s3_uri"

    @property
    def manifest_uri(self) -> str:
        """The S3 URI of the manifest."""
        return self.uri("manifest.json")

    def part_uris(self, successes: int) -> list[str]:
        """
        Return the S3 URIs of the parts with completed runs.

        :param successes: number of completed runs
        """
        return [self.uri(_part(start)) for start in range(0, successes, PART_SIZE)]

    def write_outcomes(self, manifest: Sequence[dict[str, Any]], successes: Sequence[dict[str, Any]]) -> None:
        """
        Write the outcomes. Each object is written whole, so the call may be repeated.

        :param manifest: entries of all runs
        :param successes: entries of the completed runs
        :raises HealthOmicsResultUnavailableError: if S3 refuses
        """
        parts = {
            _part(start): successes[start : start + PART_SIZE]
            for start in range(0, len(successes), PART_SIZE)
        }
        try:
            for name, entries in {"manifest.json": manifest, **parts}.items():
                self.write(name, _json_array(entries))
        except HealthOmicsApiError as error:
            raise HealthOmicsResultUnavailableError(str(error)) from error

    def read_successes(self) -> list[dict[str, Any]]:
        """Return the first part of the completed runs."""
        entries: list[dict[str, Any]] = json.loads(self.read(_part(0)))
        return entries


def _part(start: int) -> str:
    return f"successes-{start // PART_SIZE + 1:03}.json"


def _json_array(entries: Iterable[Any]) -> bytes:
    """Return JSON, encoded in short steps: other threads, such as an event loop, wait for each step."""
    return b"[%b]" % b",".join(json_bytes(entry) for entry in entries)
