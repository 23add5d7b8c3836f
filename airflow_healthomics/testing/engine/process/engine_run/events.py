# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The events of the run, for the process that started this one."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import Any


class Events:
    """Sends events. Nothing else may get between them, so standard output becomes standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """Send an event."""
        with self._lock:
            self._stream.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")
            self._stream.flush()


class LogEvents(logging.Handler):
    """
    Sends the lines of an engine's log.

    :param level: Lines below it are not sent, since they have values of inputs.
    """

    def __init__(self, events: Events, level: int) -> None:
        super().__init__(level)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line."""
        self._events.send("log", line=f"{record.levelname} {record.name}: {record.getMessage()}")
