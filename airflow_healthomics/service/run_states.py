# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The states of a HealthOmics run and what they mean; nothing else in the package knows them."""

from __future__ import annotations

from typing import Final

#: A run passes through it before COMPLETED, FAILED and CANCELLED alike.
#: https://docs.aws.amazon.com/omics/latest/dev/monitoring-runs.html
STOPPING: Final = "STOPPING"

#: On its way.
ACTIVE: Final = frozenset({"PENDING", "STARTING", "RUNNING", STOPPING})

SUCCEEDED: Final = frozenset({"COMPLETED"})

#: Ended without outputs that could be relied on. DELETED also stands for a run that GetRun no longer finds.
FAILED: Final = frozenset({"FAILED", "CANCELLED", "DELETED"})

TERMINAL: Final = SUCCEEDED | FAILED
