# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Check that a supported moto is installed, and raise a clear error otherwise."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

try:
    import moto.server  # noqa: F401 - requires moto's extra ``server``
except ImportError as error:
    raise ImportError(
        "The local HealthOmics requires moto: pip install 'airflow-provider-healthomics[testing]'"
    ) from error

#: The oldest supported release, as in the extra ``testing``: the first one with all that is used here.
OLDEST_MOTO: Final = (5, 2, 5)

if tuple(int(part) for part in version("moto").split(".")[:3]) < OLDEST_MOTO:
    raise ImportError(
        f"The local HealthOmics requires moto {'.'.join(map(str, OLDEST_MOTO))} or newer, but moto "
        f"{version('moto')} is installed. If Airflow's constraints pin it, install "
        "'airflow-provider-healthomics[testing]' into a separate environment and run "
        "'python -m airflow_healthomics.testing --port 5000' there."
    )
