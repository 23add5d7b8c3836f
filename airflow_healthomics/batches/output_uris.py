# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The output URI of each completed run of a batch, with few calls.

No list has ``runOutputUri``, and GetRun allows 10 calls a second per account, so ten thousand runs would need
17 minutes of the whole quota. AWS documents two layouts, ``<outputUri>/<run id>`` and ``<outputUri>/<run
id>/<uuid>``, and ListRunsInBatch has both ids. Therefore GetRun is called for a sample of the runs. If their
URIs differ in nothing but the ids, those of the other runs are derived. Otherwise each is read.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from airflow_healthomics.batches.outcomes import RunOutcome
from airflow_healthomics.service.errors import error_code, is_not_found, is_transient
from airflow_healthomics.service.log import Log

#: Up to this number of completed runs, each output URI is read.
MAX_READ: Final = 20

#: Random runs of the sample, besides the first, the middle and the last one.
_RANDOM_SAMPLES: Final = 5

#: Runs of the sample that GetRun must find; others may have been deleted meanwhile.
_MIN_SAMPLES: Final = 3

#: Placeholders for the ids. No segment of a URI contains a slash.
_RUN_ID: Final = "/run id"
_UUID: Final = "/uuid"


@dataclass(frozen=True)
class OutputUris:
    """
    The output URIs of the completed runs of a batch.

    :param by_run: URI by run id; None if GetRun did not return it
    :param source: whether GetRun returned each of them, or most are derived from a sample
    """

    by_run: Mapping[str, str | None]
    source: Literal["read", "derived"] = "read"


def read_output_uris(client: Any, outcomes: Iterable[RunOutcome], log: Log) -> OutputUris:
    """
    Return the output URIs of the completed runs.

    If a run was deleted meanwhile, or GetRun is denied, its URI is None.

    :param client: a botocore client
    :param outcomes: of the runs
    :param log: the task's log
    """
    completed = {each.run_id: each for each in outcomes if each.is_success and each.run_id}
    reader = _Reader(client, log)
    if len(completed) > MAX_READ:
        sample = {run_id: reader.read(run_id) for run_id in _sample(list(completed))}
        template = common_template([(completed[run_id], uri) for run_id, uri in sample.items() if uri])
        if template is not None:
            uris = {run_id: fill_template(template, each) for run_id, each in completed.items()}
            log.info(
                "The output URIs of %d of %d runs are derived from the others",
                len(completed) - len(sample),
                len(completed),
            )
            return OutputUris(uris | sample, "derived")
    return OutputUris({run_id: reader.read(run_id) for run_id in completed})


class _Reader:
    """Reads output URIs once each, until GetRun is denied."""

    def __init__(self, client: Any, log: Log) -> None:
        self._client = client
        self._log = log
        self._may_call = True
        self._known: dict[str, str | None] = {}

    def read(self, run_id: str) -> str | None:
        if run_id not in self._known and self._may_call:
            try:
                self._known[run_id] = self._client.get_run(id=run_id).get("runOutputUri")
            except ClientError as error:
                if is_transient(error):
                    raise
                self._may_call = is_not_found(error)
                code = error_code(error)
                self._log.warning("The output URI of run %s is missing: GetRun failed with %s", run_id, code)
                self._known[run_id] = None
        return self._known.get(run_id)


def _sample(run_ids: Sequence[str]) -> list[str]:
    """Return the first, the middle, the last and some random ids."""
    fixed = [run_ids[0], run_ids[len(run_ids) // 2], run_ids[-1]]
    return list(dict.fromkeys(fixed + random.sample(run_ids, _RANDOM_SAMPLES)))


def common_template(sample: Sequence[tuple[RunOutcome, str]]) -> tuple[str, ...] | None:
    """
    Return the path segments that all URIs share, with placeholders for the ids; None if they differ.

    :param sample: at least three completed runs with their output URIs
    """
    templates = {_template(outcome, uri) for outcome, uri in sample}
    if len(sample) < _MIN_SAMPLES or len(templates) != 1:
        return None
    (template,) = templates
    # Without the run id, all runs would have the same URI.
    return template if _RUN_ID in template else None


def _template(outcome: RunOutcome, uri: str) -> tuple[str, ...]:
    placeholders = {outcome.run_id: _RUN_ID, outcome.uuid: _UUID}
    return tuple(placeholders.get(segment, segment) for segment in uri.split("/"))


def fill_template(template: Sequence[str], outcome: RunOutcome) -> str | None:
    """
    Return the output URI of a run; None if its uuid is required and unknown.

    :param template: from :func:`common_template`
    :param outcome: of the run
    """
    if _UUID in template and not outcome.uuid:
        return None
    values = {_RUN_ID: outcome.run_id, _UUID: outcome.uuid}
    return "/".join(values.get(segment) or segment for segment in template)
