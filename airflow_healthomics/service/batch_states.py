# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The states of a run batch and what they mean; nothing else in the package knows them.

https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: CancelRunBatch takes them; a batch that is CREATING is too young for it.
CANCELLABLE: Final = frozenset({"PENDING", "SUBMITTING", "INPROGRESS"})

#: On its way.
ACTIVE: Final = CANCELLABLE | {"CREATING", "STOPPING", "RUNS_DELETING"}

#: All runs have ended, in whichever way, so how many have completed says whether that is a success.
MEASURED: Final = frozenset({"PROCESSED", "CANCELLED"})

#: DELETED stands for a batch that GetBatch no longer finds.
TERMINAL: Final = MEASURED | {"FAILED", "RUNS_DELETED", "RUNS_DELETE_FAILED", "DELETED"}

#: DeleteRunBatch takes a batch that is PROCESSED or CANCELLED, which may last for a moment.
DELETION_ENDS: Final = TERMINAL - MEASURED

#: DeleteRunBatch was called before.
DELETION: Final = frozenset({"RUNS_DELETING", "RUNS_DELETED", "RUNS_DELETE_FAILED"})

#: What a state means to a task that has started the batch, as the state of a run; one that is MEASURED may
#: be a success instead.
AS_RUN_STATE: Final[Mapping[str, str]] = {
    **dict.fromkeys(CANCELLABLE | {"CREATING"}, "RUNNING"),
    **dict.fromkeys(("STOPPING", "RUNS_DELETING"), "STOPPING"),
    **dict.fromkeys(("RUNS_DELETED", "RUNS_DELETE_FAILED", "DELETED"), "DELETED"),
    **dict.fromkeys(("PROCESSED", "FAILED"), "FAILED"),
    "CANCELLED": "CANCELLED",
}
