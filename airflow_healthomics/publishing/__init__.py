# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""XComs and asset events of a task; those of a finished batch are in ``batches/publication``."""
