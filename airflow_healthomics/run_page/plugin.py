# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The Airflow plugin of the run page. Airflow finds it by its entry point.

Every Airflow process imports this module, so it imports the page only in the API server.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

from airflow import __version__ as airflow_version

from airflow_healthomics.compat import AirflowPlugin, conf
from airflow_healthomics.events import earlier_listener
from airflow_healthomics.events import listener as end_listener
from airflow_healthomics.starting import kill_listener

#: Path of the page below the base path of the API server. Airflow's paths are ``/api/v2``, ``/ui`` and so on.
URL_PREFIX: Final = "/healthomics"

#: Airflow 3.1 and later can embed views of plugins.
HAS_VIEWS: Final = tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 1)

log = logging.getLogger(__name__)


def views(base_url: str) -> list[dict[str, str]]:
    """
    Return the tabs of the run page.

    The browser uses the address unchanged, so it must include the base path of the API server.

    :param base_url: ``[api] base_url``, perhaps with a path
    """
    page = f"{urlsplit(base_url).path.rstrip('/')}{URL_PREFIX}/page"
    return [
        {
            "name": "HealthOmics",
            "destination": "task_instance",
            # Airflow requires a different one for each view.
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
    """Adds a tab to task instances and DAG runs (Airflow 3.1+), and listeners (Airflow 3.0+)."""

    name = "healthomics_run_page"
    listeners = (  # a name that Airflow reads
        [kill_listener, end_listener]
        if kill_listener.IS_SUPPORTED
        else [earlier_listener]
        if earlier_listener.IS_NEEDED
        else []
    )
    external_views = (  # a name that Airflow reads
        views(conf.get("api", "base_url", fallback="") or "") if HAS_VIEWS else []
    )

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # an attribute there
        """The page's API. Only the API server reads this attribute."""
        if not HAS_VIEWS:
            return []
        kill_listener.mark_api_server()
        try:
            from airflow_healthomics.run_page.app import create_app

            app = create_app()
        except (ImportError, AttributeError):
            # The page uses internal modules of Airflow. A change in these must not stop the API server.
            log.exception("The run page is disabled: it does not support this version of Airflow or FastAPI")
            return []
        return [{"app": app, "url_prefix": URL_PREFIX, "name": "AWS HealthOmics"}]
