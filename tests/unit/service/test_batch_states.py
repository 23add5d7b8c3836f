# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The states of a run batch, held against the installed botocore."""

from __future__ import annotations

import pytest

from airflow_healthomics.service import batch_states, run_states
from tests.healthomics import service_model


def test_they_are_all_that_botocore_knows() -> None:
    """A new state of AWS fails here first; DELETED is ours, for a batch that is not found."""
    model = service_model()
    known = batch_states.ACTIVE | batch_states.TERMINAL - {"DELETED"}
    assert set(model.shape_for("BatchStatus").enum) == known


def test_no_state_is_active_and_terminal() -> None:
    """Each means one thing."""
    assert not batch_states.ACTIVE & batch_states.TERMINAL


def test_each_state_means_something_to_the_task_that_has_started_the_batch() -> None:
    """As a state of a run: one that lives is never followed by another batch."""
    assert set(batch_states.AS_RUN_STATE) == batch_states.ACTIVE | batch_states.TERMINAL
    assert set(batch_states.AS_RUN_STATE.values()) <= run_states.ACTIVE | run_states.TERMINAL
    for status, meaning in batch_states.AS_RUN_STATE.items():
        assert (meaning in run_states.ACTIVE) == (status in batch_states.ACTIVE), status


@pytest.mark.parametrize("status", ["PROCESSED", "CANCELLED"])
def test_what_can_be_deleted_does_not_end_the_wait_for_the_deletion(status: str) -> None:
    """It may be seen for a moment after DeleteRunBatch."""
    assert status in batch_states.TERMINAL - batch_states.DELETION_ENDS
