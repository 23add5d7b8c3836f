# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run batches: from sample sheet to run settings, and from run outcomes to the result of the batch."""
