# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger forms for the parameters of workflows."""

from airflow_healthomics.params.form import workflow_params

__all__ = ["workflow_params"]
