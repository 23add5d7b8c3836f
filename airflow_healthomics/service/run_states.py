# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The states of a HealthOmics run and their meaning; the only place in the package that knows them."""

from __future__ import annotations

from typing import Final

#: State before COMPLETED, FAILED and CANCELLED.
#: https://docs.aws.amazon.com/omics/latest/dev/monitoring-runs.html
STOPPING: Final = "STOPPING"

#: States before the end.
ACTIVE: Final = frozenset({"PENDING", "STARTING", "RUNNING", STOPPING})

SUCCEEDED: Final = frozenset({"COMPLETED"})

#: Terminal states without reliable outputs. A run that GetRun no longer finds also counts as DELETED.
FAILED: Final = frozenset({"FAILED", "CANCELLED", "DELETED"})

TERMINAL: Final = SUCCEEDED | FAILED
