# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Polling of many runs and batches with few calls, and cancellation when their tasks are killed."""
