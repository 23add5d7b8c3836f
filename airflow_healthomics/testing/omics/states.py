# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The states of runs, and those of their tasks."""

from __future__ import annotations

from collections.abc import Mapping

#: User guide, page "monitoring-runs". STOPPING precedes every terminal state; the outcome decides which one.
FOLLOWS: Mapping[str, str] = {"PENDING": "STARTING", "STARTING": "RUNNING", "RUNNING": "STOPPING"}
ACTIVE = (*FOLLOWS, "STOPPING")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
ORDER = (*ACTIVE, *ENDED)
