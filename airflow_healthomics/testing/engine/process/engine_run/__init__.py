# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one workflow, its tasks as processes of this machine: ``python -m engine_run job.json``.

It is a separate process, since engines handle signals for their whole process. It imports only the engine
and what miniwdl requires, so an interpreter of an environment with nothing else can run it. Each line of
standard output is an event, a JSON object. A task runs once a line of standard input has its key, a JSON
string. The end of standard input ends the process with all its children, so that they do not outlive the
local HealthOmics.
"""
