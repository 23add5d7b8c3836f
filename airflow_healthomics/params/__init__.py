# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger forms for the parameters of workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_healthomics.params.form import INPUT_URI_PATTERN, run_parameters, workflow_params

__all__ = ["INPUT_URI_PATTERN", "run_parameters", "workflow_params"]


def __getattr__(name: str) -> Any:
    # A task needs only the values of the form, not its schemas.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_healthomics.params import form

    return getattr(form, name)
