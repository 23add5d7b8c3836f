# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One local HealthOmics at a time: moto keeps its data in the process, so two would share it unawares."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .registration import register

_ACTIVE = threading.Lock()


@contextmanager
def activated() -> Iterator[None]:
    """
    Register HealthOmics with moto, and be the only one to use it in this process.

    :raises RuntimeError: if a server or ``mock_healthomics`` is active already.
    """
    if not _ACTIVE.acquire(blocking=False):
        raise RuntimeError("a HealthOmicsServer or mock_healthomics is active in this process already")
    try:
        register()
        yield
    finally:
        _ACTIVE.release()
