# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger forms for the parameters of workflows."""

from airflow_healthomics.params.form import INPUT_URI_PATTERN, run_parameters, workflow_params

__all__ = ["INPUT_URI_PATTERN", "run_parameters", "workflow_params"]
