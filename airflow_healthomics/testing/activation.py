# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One local HealthOmics at a time. Two would share moto's data, which is global in the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .registration import register

_ACTIVE = threading.Lock()


@contextmanager
def activated() -> Iterator[None]:
    """
    Register HealthOmics with moto, and prevent a second one in this process.

    :raises RuntimeError: if a server or ``mock_healthomics`` is active already.
    """
    if not _ACTIVE.acquire(blocking=False):
        raise RuntimeError("a HealthOmicsServer or mock_healthomics is already active in this process")
    try:
        register()
        yield
    finally:
        _ACTIVE.release()
