# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Compatibility with older releases. Each workaround names the release that makes it unnecessary.

Import Airflow names from here rather than from ``airflow.providers.common.compat.sdk``. common-compat has
that module since 1.13.0, but Amazon MWAA's images of Airflow 2.11.0 and 3.0.6 pin 1.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    IS_AIRFLOW_2: bool
    from airflow.providers.common.compat.sdk import AirflowException as AirflowException
    from airflow.providers.common.compat.sdk import AirflowFailException as AirflowFailException
    from airflow.providers.common.compat.sdk import AirflowNotFoundException as AirflowNotFoundException
    from airflow.providers.common.compat.sdk import AirflowPlugin as AirflowPlugin
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.providers.common.compat.sdk import AirflowSkipException as AirflowSkipException
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout as AirflowTaskTimeout
    from airflow.providers.common.compat.sdk import Asset as Asset
    from airflow.providers.common.compat.sdk import AssetAlias as AssetAlias
    from airflow.providers.common.compat.sdk import BaseOperator as BaseOperator
    from airflow.providers.common.compat.sdk import Context as Context
    from airflow.providers.common.compat.sdk import ObjectStoragePath as ObjectStoragePath
    from airflow.providers.common.compat.sdk import Param as Param
    from airflow.providers.common.compat.sdk import PokeReturnValue as PokeReturnValue
    from airflow.providers.common.compat.sdk import TaskInstanceKey as TaskInstanceKey
    from airflow.providers.common.compat.sdk import XCom as XCom
    from airflow.providers.common.compat.sdk import conf as conf

#: Modules of a name on Airflow 3.0 and Airflow 2; the first that exists is used. Until common-compat 1.13.0.
_HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "AirflowException": ("airflow.exceptions",),
    "AirflowFailException": ("airflow.exceptions",),
    "AirflowNotFoundException": ("airflow.exceptions",),
    "AirflowPlugin": ("airflow.plugins_manager",),
    "AirflowSensorTimeout": ("airflow.exceptions",),
    "AirflowSkipException": ("airflow.exceptions",),
    "AirflowTaskTimeout": ("airflow.exceptions",),
    "Asset": ("airflow.providers.common.compat.assets",),
    "AssetAlias": ("airflow.providers.common.compat.assets",),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "Param": ("airflow.sdk", "airflow.models.param"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TaskInstanceKey": ("airflow.models.taskinstancekey",),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "conf": ("airflow.configuration",),
}

#: Options of ``[metrics]``, each of which turns on a backend of Airflow's metrics.
_METRICS_OPTIONS: Final = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def __getattr__(name: str) -> Any:
    """Import an Airflow name lazily, since every Airflow process imports this module."""
    if name == "IS_AIRFLOW_2":
        return bool(import_module("airflow").__version__.startswith("2."))
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = _find(name)
    return value


def _find(name: str) -> Any:
    try:
        sdk = import_module("airflow.providers.common.compat.sdk")
    except ModuleNotFoundError:
        pass
    else:
        return getattr(sdk, name)
    for home in _HOMES[name]:
        try:
            return getattr(import_module(home), name)
        except ModuleNotFoundError:
            continue
    raise ImportError(f"Neither common-compat nor Airflow has {name}")


@cache
def airflow_stats() -> Any:
    """
    Return Airflow's Stats; None if Airflow's configuration turns on no metrics.

    Since 3.2 the core and the task SDK have one each, and each must be set up in each process. Airflow sets
    up that of the SDK in task processes only, and in the triggerer that of the core. So it is set up here
    where Airflow has not done it.
    """
    conf = _find("conf")
    if not any(conf.getboolean("metrics", option, fallback=False) for option in _METRICS_OPTIONS):
        return None
    try:
        stats = import_module("airflow.sdk.observability.stats").Stats
    except ModuleNotFoundError:
        return import_module("airflow.stats").Stats
    if not _is_set_up(stats):
        get_factory = import_module("airflow.sdk.observability.metrics.stats_utils").get_stats_factory
        if "export_legacy_names" in signature(stats.initialize).parameters:
            with_legacy_names = conf.getboolean("metrics", "legacy_names_on", fallback=True)
            stats.initialize(factory=get_factory(), export_legacy_names=with_legacy_names)
        else:  # Airflow 3.2
            stats.initialize(factory=get_factory(stats))
    return stats


def _is_set_up(stats: Any) -> bool:
    """Whether a process has set up the Stats of the SDK: 3.3 keeps the factory in its module, 3.2 in it."""
    home = import_module(stats.initialize.__module__)
    return bool(getattr(home, "_factory", None) or getattr(stats, "factory", None))
