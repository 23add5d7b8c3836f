# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a hook for the runs and batches of the local HealthOmics, and a log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT


class Records:
    """A log that keeps its messages."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def info(self, message: str, *args: Any) -> None:
        self.lines.append((logging.INFO, message % args))

    def warning(self, message: str, *args: Any) -> None:
        self.lines.append((logging.WARNING, message % args))


@pytest.fixture
def hook(omics: Control) -> HealthOmicsHook:
    """A hook whose calls botocore does not repeat."""
    return HealthOmicsHook(config=ONE_ATTEMPT)


@pytest.fixture
def log() -> Records:
    """An empty log."""
    return Records()
