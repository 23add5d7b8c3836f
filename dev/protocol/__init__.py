# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The exactly-once protocol as a model, checked by breadth-first search."""
