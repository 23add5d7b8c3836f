# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Inputs of the pipeline example: reads of made-up samples with known variants."""
