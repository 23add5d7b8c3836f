# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Run workflows on this machine, for the local HealthOmics with the option ``compute`` (extra ``engine``).

It knows files and processes, but nothing of HealthOmics. miniwdl is imported only in the process of a run.
"""
