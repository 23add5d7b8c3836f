# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A task gets the smallest instance that fits."""

from __future__ import annotations

import pytest

from airflow_healthomics.testing.omics.instances import instance_type


@pytest.mark.parametrize(
    ("cpus", "memory", "expected"),
    [
        (1, 1, "omics.c.large"),
        (2, 5, "omics.m.large"),
        (2, 16, "omics.r.large"),
        (2, 17, "omics.r.xlarge"),
        (16, 32, "omics.c.4xlarge"),
        (17, 32, "omics.c.8xlarge"),
        (96, 768, "omics.r.24xlarge"),
        (200, 1, "omics.r.24xlarge"),
    ],
)
def test_the_smallest_instance_is_chosen(cpus: int, memory: int, expected: str) -> None:
    """Of the same number of CPUs, that with less memory."""
    assert instance_type(cpus, memory) == expected
