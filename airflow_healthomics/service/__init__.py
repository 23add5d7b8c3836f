# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Meaning of HealthOmics responses, states and errors. Makes no calls."""
