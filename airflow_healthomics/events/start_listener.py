# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Airflow listener that reads the asset events of watchers when a triggerer starts (Airflow 3.0 to 3.2).

Every Airflow process imports this module, so it must be cheap.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from airflow import __version__ as airflow_version
from airflow.listeners import hookimpl

_VERSION: Final = tuple(int(part) for part in airflow_version.split(".")[:2])

#: Whether Airflow has asset watchers and no asset state store.
IS_NEEDED: Final = (3, 0) <= _VERSION < (3, 3)

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Read the events. Airflow calls it for the job of a triggerer, before it forks."""
    # The type of a job is not known yet.
    if "triggerer" not in sys.argv:
        return
    from airflow_healthomics.events.snapshot import take_snapshots

    try:
        take_snapshots()
    except Exception as error:  # noqa: BLE001 - a triggerer must start, whatever Airflow has changed
        log.warning(
            "The asset events of watchers cannot be read: %s. Ends of the last hour may be reported again",
            type(error).__name__,
        )
