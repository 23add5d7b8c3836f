# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""All log lines of a history, from structlog and from the standard library."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
import structlog


class Logs(logging.Handler):
    """
    A collector of log lines.

    :ivar lines: the lines so far
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    @contextmanager
    def installed(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Receive the log lines of the package."""
        logger = logging.getLogger("airflow_healthomics")
        patch.setattr(logger, "handlers", [self])
        patch.setattr(logger, "propagate", False)
        patch.setattr(logger, "level", logging.INFO)
        before = structlog.get_config()
        structlog.configure(processors=[self._process], cache_logger_on_first_use=False)
        try:
            yield
        finally:
            structlog.configure(**before)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of the standard library."""
        self.lines.append(record.getMessage())

    def _process(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        arguments = event.pop("positional_args", ())
        text = event.pop("event")
        self.lines.append(str(text % arguments if arguments else text) + (f" {event}" if event else ""))
        raise structlog.DropEvent
