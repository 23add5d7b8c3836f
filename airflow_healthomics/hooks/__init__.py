# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks and AWS clients."""

from airflow_healthomics.hooks.omics import HealthOmicsHook

__all__ = ["HealthOmicsHook"]
