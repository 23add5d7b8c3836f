# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What an attempt does about the run or batch of its task instance."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from airflow_healthomics.service import run_states
from airflow_healthomics.starting.record import StartRecord

#: The status of a run that is no longer found, if nothing says how it ended.
UNKNOWN: Final = "UNKNOWN"


class Decision(StrEnum):
    """What to do about the recorded run or batch."""

    START = "start"
    REPEAT = "repeat"
    REATTACH = "reattach"
    WAIT_OUT = "wait out"
    DONE = "done"


@dataclass(frozen=True)
class Plan:
    """
    A decision, and for START what it starts.

    :param decision: what to do
    :param generation: of the run to start
    :param supersedes: whether the recorded run is discarded by a Clear
    """

    decision: Decision
    generation: int = 0
    supersedes: bool = False


def decide(record: StartRecord | None, status: str | None, *, is_discarded: bool = False) -> Plan:
    """
    Decide from the record of earlier attempts and the state of its run.

    :param record: of the earlier attempts, if there is one
    :param status: of the recorded run; None if StartRun was never seen to answer
    :param is_discarded: whether a person has cleared the task, which means "run it again". A retry means
        "continue".
    """
    if record is None:
        return Plan(Decision.START)
    if is_discarded:
        return Plan(Decision.START, supersedes=True)
    if status is None:
        return Plan(Decision.REPEAT, record.generation)
    if status in run_states.FAILED or status == UNKNOWN:
        return Plan(Decision.START, record.generation + 1)
    if status in run_states.SUCCEEDED:
        return Plan(Decision.DONE, record.generation)
    # STOPPING comes before COMPLETED as well as before FAILED and CANCELLED.
    return Plan(Decision.WAIT_OUT if status == run_states.STOPPING else Decision.REATTACH, record.generation)
