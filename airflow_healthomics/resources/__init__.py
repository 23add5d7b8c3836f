# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Common interface of runs and batches, so that starting and waiting need not distinguish them."""
