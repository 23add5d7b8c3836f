# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""From a sample sheet to run settings, and from ended runs to the verdict on a batch."""
