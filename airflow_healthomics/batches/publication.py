# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The XComs and the manifest with the outcome of each run of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.batches.s3_folder import BatchFolder
from airflow_healthomics.service.log import Log

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Successes that XCom holds itself.
_MAX_XCOM_SUCCESSES: Final = 100


def publish_outcomes(
    context: Context, manifest: Sequence[dict[str, Any]], folder: BatchFolder | None, log: Log
) -> str | None:
    """
    Push the completed runs to XCom, and write the manifest to S3.

    :param context: the task's context
    :param manifest: an entry for each run
    :param folder: folder of the batch in S3, if there is one
    :param log: the task's log
    :return: URI of the manifest, if there is one
    """
    push = context["ti"].xcom_push
    successes = [entry for entry in manifest if entry["status"] == "COMPLETED"]
    if len(successes) <= _MAX_XCOM_SUCCESSES:
        push(key="successes", value=successes)
    elif folder is None:
        log.warning("XCom successes is left out, as %s runs completed: give settings_s3_uri", len(successes))
    if folder is None:
        return None
    uri, parts = folder.write_outcomes(manifest, successes)
    push(key="manifest", value=uri)
    push(key="success_parts", value=parts)
    return uri
