# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Write the parts of the page that come from the model: ``python -m dev.protocol``."""

from __future__ import annotations

from dev.protocol.page import PAGE, written

PAGE.write_text(written(PAGE.read_text()))
