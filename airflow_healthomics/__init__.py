# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Apache Airflow provider for AWS HealthOmics."""

__version__ = "0.1.0"
