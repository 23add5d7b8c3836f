# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Settings in ``service_config.omics`` of a connection: defaults for new runs, and ``on_clear``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_healthomics.requests.run import DEFAULTABLE

#: Settings about the behaviour of a task rather than about a run.
POLICIES: Final = frozenset({"on_clear"})

#: Keys of ``service_config.omics`` that the amazon provider reads.
_AMAZON_PROVIDER_KEYS: Final = frozenset({"endpoint_url", "config_kwargs", "region_name"})


def defaults_in(settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the defaults for new runs, by argument name.

    :param settings: ``service_config.omics`` of the connection's extra
    """
    return {name: value for name, value in settings.items() if name in DEFAULTABLE}


def policies_in(settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the policies of tasks, by argument name.

    :param settings: ``service_config.omics`` of the connection's extra
    """
    return {name: value for name, value in settings.items() if name in POLICIES}


def unknown_keys(settings: Mapping[str, Any]) -> list[str]:
    """
    Return the keys without a meaning, for example misspelt ones.

    :param settings: ``service_config.omics`` of the connection's extra
    """
    return sorted(settings.keys() - DEFAULTABLE - POLICIES - _AMAZON_PROVIDER_KEYS)
