# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What runs need, created once by its name: found, updated, or refused where it differs."""
