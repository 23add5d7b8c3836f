# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The route that cancels a run or batch. Airflow authorizes it like an edit of the task instance, and logs it.

"Start again" has no route here: the page calls ``clearTaskInstances`` of Airflow's own API, which authorizes
and logs it.
"""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

from typing import Final

from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import APIRouter, Depends, HTTPException, Request

from airflow_healthomics.publishing.resource_xcom import TaskResource, is_resource_id
from airflow_healthomics.run_page.cancellation import Cancellation
from airflow_healthomics.run_page.dependencies import TASK, TaskDep, call_in_lane
from airflow_healthomics.run_page.lookup import FoundTask, TaskConnection
from airflow_healthomics.run_page.rights import require_edit


async def refuse_other_sites(request: Request) -> None:
    """
    Refuse a request that another site may have made with the user's cookie.

    A browser sends JSON to another origin only after that origin's consent, which the API server does not
    give. Its cookie is ``SameSite=Lax`` as well.
    """
    is_json = request.headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"
    if not is_json or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise HTTPException(403, "The request does not come from the page.")


router: Final = APIRouter(
    dependencies=[
        Depends(refuse_other_sites),
        Depends(action_logging()),
        Depends(require_edit),
    ]
)


@router.post(TASK + "/cancel")
async def cancel_healthomics_run(request: Request, task: TaskDep) -> dict[str, str]:
    """Cancel the run or batch of a task instance."""
    return await _cancel(request, task, None)


@router.post(TASK + "/runs/{healthomics_run_id}/cancel")
async def cancel_healthomics_run_of_batch(
    request: Request, task: TaskDep, healthomics_run_id: str
) -> dict[str, str]:
    """Cancel a run of the batch of a task instance."""
    resource = task.resource
    if resource is None or resource.kind != "batch" or not is_resource_id(healthomics_run_id):
        raise HTTPException(404, "The task has no such run.")
    return await _cancel(request, task, healthomics_run_id)


async def _cancel(request: Request, task: FoundTask, run_id: str | None) -> dict[str, str]:
    def cancel(connection: TaskConnection, resource: TaskResource) -> str:
        return Cancellation(connection, resource.region).cancel(resource, run_id)

    unanswered = "HealthOmics has not answered yet, so the run may or may not be cancelled."
    try:
        return {"detail": await call_in_lane(task, cancel, unanswered=unanswered)}
    finally:
        # A refusal, too: the run may have ended meanwhile.
        _expire(request, task)


def _expire(request: Request, task: FoundTask) -> None:
    """
    Let the next answers for the run or batch of a task, and the list of its DAG run, be fetched.

    Other processes of the API server keep their answers, which live for seconds.
    """
    resource, state = task.resource, request.app.state
    dag_run = (request.path_params["dag_id"], request.path_params["run_id"])
    state.readings.expire(lambda key: key[:2] == dag_run)
    if resource is not None:
        # A sensor shows the same run in another way.
        for cache in (state.cache, state.batch_runs):
            cache.expire(lambda key: key[1][:3] == (resource.kind, resource.id, resource.region))
