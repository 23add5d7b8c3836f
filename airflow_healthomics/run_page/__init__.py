# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The run page: a tab of the Airflow UI with the run or batch of a task, and its API. Imports nothing."""
