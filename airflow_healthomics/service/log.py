# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the logs of Airflow's tasks, hooks and triggers have in common."""

from __future__ import annotations

from typing import Any, Protocol


class Log(Protocol):
    """What the logs of Airflow's tasks, hooks and triggers have in common, on each version of Airflow."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log a message."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log a warning."""
