# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Instance types of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: CPUs by size, and GiB for each CPU by family (user guide, page "memory-and-compute-tasks").
SIZES: Final[Mapping[str, int]] = {
    "large": 2,
    "xlarge": 4,
    **{f"{factor}xlarge": 4 * factor for factor in (2, 4, 8, 12, 16, 24)},
}
FAMILIES: Final[Mapping[str, int]] = {"c": 2, "m": 4, "r": 8}


def instance_type(cpus: int, memory: int) -> str:
    """
    Return the smallest instance type without GPUs that has the CPUs and the GiB of memory.

    :return: the largest one if none has
    """
    for size, count in SIZES.items():
        for family, gib in FAMILIES.items():
            if cpus <= count and memory <= count * gib:
                return f"omics.{family}.{size}"
    return "omics.r.24xlarge"
