# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""An end that a watcher reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.events.queue import Delivery


@dataclass
class Report:
    """
    An end to report.

    :param payload: payload of the event
    :param delivery: its message, if it has one
    """

    payload: Mapping[str, Any]
    delivery: Delivery | None = None

    def finish(self) -> None:
        """Let the message be deleted, once its event is stored."""
        if self.delivery is not None:
            self.delivery.in_hand -= 1
