# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The run page as Airflow's plugin manager finds it, by its entry point.

Every Airflow process imports this module, so what the page is made of is imported only where it is served.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

from airflow import __version__ as airflow_version

from airflow_healthomics.compat import AirflowPlugin, conf
from airflow_healthomics.starting import kill_listener

#: Below the base path of the API server. Others than Airflow's own: ``/api/v2``, ``/ui`` and so on.
URL_PREFIX: Final = "/healthomics"

#: Airflow shows views of plugins in its own pages since 3.1.
HAS_VIEWS: Final = tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 1)

log = logging.getLogger(__name__)


def views(base_url: str) -> list[dict[str, str]]:
    """
    Return the tabs of the run page.

    A browser takes the address as it stands, so it has to name the base path of the API server.

    :param base_url: ``[api] base_url``, which may have a path
    """
    page = f"{urlsplit(base_url).path.rstrip('/')}{URL_PREFIX}/page"
    return [
        {
            "name": "HealthOmics",
            "destination": "task_instance",
            # Airflow wants another one for each view.
            "url_route": "healthomics",
            "href": f"{page}?dag_id={{DAG_ID}}&run_id={{RUN_ID}}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}",
        },
        {
            "name": "HealthOmics",
            "destination": "dag_run",
            "url_route": "healthomics-runs",
            "href": f"{page}?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        },
    ]


class HealthOmicsRunPagePlugin(AirflowPlugin):
    """A tab on task instances and DAG runs, from Airflow 3.1 on, and the listener for kills, from 3.3 on."""

    name = "healthomics_run_page"
    listeners = (  # Airflow's own declaration
        [kill_listener] if kill_listener.IS_SUPPORTED else []
    )
    external_views = (  # Airflow's own declaration
        views(conf.get("api", "base_url", fallback="") or "") if HAS_VIEWS else []
    )

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # an attribute there
        """The page's API, made when the API server asks for it."""
        if not HAS_VIEWS:
            return []
        kill_listener.mark_api_server()
        try:
            from airflow_healthomics.run_page.app import create_app

            app = create_app()
        except (ImportError, AttributeError):
            # It leans on Airflow's own modules, whose changes must not take the API server down.
            log.exception("The run page is off: it does not know this version of Airflow or FastAPI")
            return []
        return [{"app": app, "url_prefix": URL_PREFIX, "name": "AWS HealthOmics"}]
