# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Check that miniwdl is there before a run needs it."""

from __future__ import annotations

import importlib.util


def check_engine(python: str | None) -> None:
    """
    Require miniwdl, unless another interpreter has it.

    :raises ImportError: if it is not installed here.
    """
    if python is None and importlib.util.find_spec("WDL") is None:
        raise ImportError(
            "The option compute requires miniwdl: pip install 'airflow-provider-healthomics[engine]', or set "
            "the option engine_python to an interpreter that has it"
        )
