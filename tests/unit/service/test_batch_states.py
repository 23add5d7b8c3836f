# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The states of a run batch, compared with the installed botocore."""

from __future__ import annotations

import pytest

from airflow_healthomics.service import batch_states, run_states
from tests.healthomics import service_model


def test_they_are_those_of_botocore() -> None:
    """A new state of AWS fails here first; DELETED is ours, for a batch that is not found."""
    model = service_model()
    known = batch_states.ACTIVE | batch_states.TERMINAL - {"DELETED"}
    assert set(model.shape_for("BatchStatus").enum) == known


def test_no_state_is_active_and_terminal() -> None:
    """Each means one thing."""
    assert not batch_states.ACTIVE & batch_states.TERMINAL


def test_each_state_has_a_run_state() -> None:
    """An active batch is never followed by another one."""
    assert set(batch_states.AS_RUN_STATE) == batch_states.ACTIVE | batch_states.TERMINAL
    assert set(batch_states.AS_RUN_STATE.values()) <= run_states.ACTIVE | run_states.TERMINAL
    for status, meaning in batch_states.AS_RUN_STATE.items():
        assert (meaning in run_states.ACTIVE) == (status in batch_states.ACTIVE), status


@pytest.mark.parametrize("status", ["PROCESSED", "CANCELLED"])
def test_deletable_states_do_not_end_the_wait_for_a_deletion(status: str) -> None:
    """They may be visible for a moment after DeleteRunBatch."""
    assert status in batch_states.TERMINAL - batch_states.DELETION_ENDS
