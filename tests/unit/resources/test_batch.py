# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the tasks of other tests do not show of a batch."""

from __future__ import annotations

import logging

import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.batch import BatchResource


@pytest.mark.parametrize(
    ("region", "console"),
    [("eu-west-1", "https://console.aws.amazon.com"), ("cn-north-1", "https://console.amazonaws.cn")],
)
def test_its_page_is_in_the_console_of_its_partition(region: str, console: str) -> None:
    """As those of runs are."""
    batches = BatchResource(HealthOmicsHook(region_name=region), logging.getLogger())
    assert batches.console_url("1234567").startswith(f"{console}/omics/home?region={region}#/runs")
