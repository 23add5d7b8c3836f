# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the waits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.conftest import Clock
from tests.unit.simulated_omics import Life
from tests.unit.waiting.scenes import Make, Scene


@pytest.fixture
def make(clock: Clock) -> Make:
    """Make a scene with some runs."""

    def scene(lives: list[Life], **options: Any) -> Scene:
        return Scene(clock, lives, **{"latency": (0.01, 0.02), **options})

    return scene
