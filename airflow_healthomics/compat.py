# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Compatibility with older releases. Each workaround names the release that makes it unnecessary.

Import Airflow names from here rather than from ``airflow.providers.common.compat.sdk``. common-compat has
that module since 1.13.0, but Amazon MWAA's images of Airflow 2.11.0 and 3.0.6 pin 1.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
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
