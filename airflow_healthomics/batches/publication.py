# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The XComs with the outcome of each run of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.batches.s3_folder import BatchFolder
from airflow_healthomics.service.log import Log

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Successes that XCom holds itself.
MAX_XCOM_SUCCESSES: Final = 100


def publish_outcomes(
    context: Context,
    count: int,
    successes: Sequence[dict[str, Any]],
    folder: BatchFolder | None,
    log: Log,
) -> str | None:
    """
    Push the completed runs to XCom, or the URIs of the objects that contain them.

    :param context: the task's context
    :param count: number of completed runs
    :param successes: their entries, unless there are more than XCom holds
    :param folder: folder of the batch with its manifest in S3, if there is one
    :param log: the task's log
    :return: URI of the manifest, if there is one
    """
    push = context["ti"].xcom_push
    if count <= MAX_XCOM_SUCCESSES:
        push(key="successes", value=list(successes))
    elif folder is None:
        log.warning("XCom successes is left out, as %s runs completed: give settings_s3_uri", count)
    if folder is None:
        return None
    push(key="manifest", value=folder.manifest_uri)
    push(key="success_parts", value=folder.part_uris(count))
    return folder.manifest_uri
