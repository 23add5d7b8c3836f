# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Reports on runs in a terminal state: why a run failed, and what it used."""
