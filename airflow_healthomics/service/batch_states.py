# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The states of a run batch and their meaning; the only place in the package that knows them.

https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: States that CancelRunBatch accepts. It refuses CREATING.
CANCELLABLE: Final = frozenset({"PENDING", "SUBMITTING", "INPROGRESS"})

#: States before the end.
ACTIVE: Final = CANCELLABLE | {"CREATING", "STOPPING", "RUNS_DELETING"}

#: All runs are in a terminal state. The number of completed runs decides whether the batch succeeded.
MEASURED: Final = frozenset({"PROCESSED", "CANCELLED"})

#: DELETED is this package's name for a batch that GetBatch no longer finds.
TERMINAL: Final = MEASURED | {"FAILED", "RUNS_DELETED", "RUNS_DELETE_FAILED", "DELETED"}

#: States that end a deletion. PROCESSED and CANCELLED do not: a batch may keep them for a moment after
#: DeleteRunBatch.
DELETION_ENDS: Final = TERMINAL - MEASURED

#: States after DeleteRunBatch.
DELETION: Final = frozenset({"RUNS_DELETING", "RUNS_DELETED", "RUNS_DELETE_FAILED"})

#: The run state that a batch state corresponds to, for the task that started the batch. A MEASURED batch may
#: also be a success.
AS_RUN_STATE: Final[Mapping[str, str]] = {
    **dict.fromkeys(CANCELLABLE | {"CREATING"}, "RUNNING"),
    **dict.fromkeys(("STOPPING", "RUNS_DELETING"), "STOPPING"),
    **dict.fromkeys(("RUNS_DELETED", "RUNS_DELETE_FAILED", "DELETED"), "DELETED"),
    **dict.fromkeys(("PROCESSED", "FAILED"), "FAILED"),
    "CANCELLED": "CANCELLED",
}
