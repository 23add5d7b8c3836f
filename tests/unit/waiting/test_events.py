# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The event of a trigger, as the resumed task reads it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsOutcomeUnknownError
from airflow_healthomics.waiting.events import summary_from_event, to_event

REFUSED = {"event": "refused", "subject": "run 1", "reason": "No.", "code": "AccessDenied", "seconds": 60}


def test_the_summary_of_an_ended_run_survives() -> None:
    """Triggers of earlier releases, which may still be waiting, have the same payload."""
    summary = {"id": "1", "status": "FAILED"}
    event = to_event(summary)
    assert event == {"event": "ended", "summary": summary}
    assert summary_from_event(event) == summary


def test_an_error_keeps_its_text_and_code() -> None:
    """The caller may decide by AWS's code."""
    with pytest.raises(HealthOmicsApiError, match="It is another run") as caught:
        summary_from_event({"event": "error", "message": "It is another run", "code": "Replaced"})
    assert caught.value.code == "Replaced"


def test_refused_polls_keep_their_details() -> None:
    """The error is the same as in a wait on a worker."""
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        summary_from_event(REFUSED)
    error = caught.value
    assert (error.subject, error.reason, error.code, error.seconds) == ("run 1", "No.", "AccessDenied", 60)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"event": "ended"},
        {"event": "ended", "summary": None},
        {"event": "error", "message": "no code"},
        {"event": "of next year", "summary": {}},
        *({**REFUSED, name: None} for name in ("subject", "reason", "code", "seconds")),
    ],
)
def test_another_event_shows_no_end(event: Any) -> None:
    """The run continues, and the next attempt waits for it."""
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="outcome of the run or batch") as caught:
        summary_from_event(event)
    assert caught.value.reason == "the trigger resumed the task without a valid event"
