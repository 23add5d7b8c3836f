# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A page of the Airflow UI for the run or batch of a task: its server side. Imports nothing by itself."""
