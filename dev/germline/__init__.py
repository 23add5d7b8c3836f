# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A tiny germline workflow with its inputs, for the demo: reads of a made-up sample with known variants."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

MAIN = Path(__file__).with_name("main.wdl")


def definition() -> bytes:
    """Return the archive of the workflow. Equal definitions make equal archives."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(zipfile.ZipInfo("main.wdl"), MAIN.read_text())
    return archive.getvalue()
