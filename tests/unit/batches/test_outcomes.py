# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outcome of a run of a batch, in cases that the operator's tests do not cover."""

from __future__ import annotations

import pytest

from airflow_healthomics.batches.outcomes import NOT_STARTED, RunOutcome
from airflow_healthomics.service import run_states


@pytest.mark.parametrize(
    ("status", "is_active"),
    [
        *((status, True) for status in sorted(run_states.ACTIVE)),
        *((status, False) for status in sorted(run_states.TERMINAL)),
        (NOT_STARTED, False),
        ("A_STATUS_OF_TOMORROW", True),
    ],
)
def test_a_run_is_active_until_it_is_known_to_have_ended(status: str, is_active: bool) -> None:
    """Otherwise a retry would start a second run beside one that costs money."""
    outcome = RunOutcome(run_setting_id="a", run_id="1", status=status)
    assert outcome.is_active == is_active
    assert outcome.is_success == (status == "COMPLETED")
