# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What has become of a run of a batch, as far as the operator's tests do not tell."""

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
def test_what_is_not_known_to_have_ended_goes_on(status: str, is_active: bool) -> None:
    """Or a retry would start a second run beside one that costs money."""
    outcome = RunOutcome(run_setting_id="a", run_id="1", status=status)
    assert outcome.is_active == is_active
    assert outcome.is_success == (status == "COMPLETED")
