# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The ends of runs and batches, whoever started them: found, confirmed and recorded once."""
