# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of Airflow's loggers."""

from __future__ import annotations

from typing import Any, Protocol


class Log(Protocol):
    """The common interface of the loggers of tasks, hooks and triggers, on each version of Airflow."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log a message."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log a warning."""
