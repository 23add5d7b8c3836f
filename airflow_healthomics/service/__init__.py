# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Meaning of HealthOmics answers, states and errors. Makes no calls."""
