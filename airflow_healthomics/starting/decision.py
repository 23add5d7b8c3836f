# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Decision of an attempt about the run or batch of earlier attempts."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from airflow_healthomics.service import run_states
from airflow_healthomics.starting.record import StartRecord

#: Status of a run that no longer exists and whose outcome is unknown.
UNKNOWN: Final = "UNKNOWN"


class Decision(StrEnum):
    """Decision about the recorded run or batch."""

    START = "start"
    REPEAT = "repeat"
    REATTACH = "reattach"
    WAIT_OUT = "wait out"
    DONE = "done"


class Plan(NamedTuple):
    """
    A decision with its details.

    :param decision: the decision
    :param generation: generation of the run
    :param supersedes: whether the run replaces the recorded one after a Clear
    """

    decision: Decision
    generation: int = 0
    supersedes: bool = False


def decide(record: StartRecord | None, status: str | None, *, is_discarded: bool = False) -> Plan:
    """
    Decide from the record of earlier attempts and the state of its run.

    :param record: record of the earlier attempts, if any
    :param status: status of the recorded run; None if no response of StartRun is recorded
    :param is_discarded: whether a person cleared the task. A Clear means "run it again", a retry means
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
    # A STOPPING run may become COMPLETED, FAILED or CANCELLED.
    return Plan(Decision.WAIT_OUT if status == run_states.STOPPING else Decision.REATTACH, record.generation)
