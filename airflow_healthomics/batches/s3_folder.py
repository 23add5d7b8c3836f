# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a batch keeps in S3: its run settings, and what has become of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsResultUnavailableError
from airflow_healthomics.requests.json_values import json_bytes
from airflow_healthomics.starting.request_folder import RequestFolder

#: Successes that one object names, and so one mapped task may get.
PART_SIZE: Final = 1000


class BatchFolder(RequestFolder):
    """The folder of one batch."""

    operation = "StartRunBatch"
    argument = "settings_s3_uri"

    def write_outcomes(
        self, manifest: Sequence[dict[str, Any]], successes: Sequence[dict[str, Any]]
    ) -> tuple[str, list[str]]:
        """
        Write what has become of the runs, and return the URIs of the manifest and of the parts of successes.

        :param manifest: an entry for each run
        :param successes: those that completed
        :raises HealthOmicsResultUnavailableError: if S3 refuses
        """
        starts = range(0, len(successes), PART_SIZE)
        parts = {
            f"successes-{number:03}.json": successes[start : start + PART_SIZE]
            for number, start in enumerate(starts, 1)
        }
        try:
            for name, entries in {"manifest.json": manifest, **parts}.items():
                self.write(name, json_bytes(entries))
        except HealthOmicsApiError as error:
            raise HealthOmicsResultUnavailableError(str(error)) from error
        return self.uri("manifest.json"), [self.uri(name) for name in parts]
