# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The routes of the outputs of a run: their names, and a document that shows one of them.

Outputs may identify patients, like the logs of tasks, so they require the right to read these. Airflow has no
right for the data of a task. The files themselves go from S3 to the browser.
"""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import base64
import hashlib
import html
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page.answers import Page, PageError
from airflow_healthomics.run_page.dependencies import (
    TASK,
    RunDep,
    TaskDep,
    call_in_lane,
    respond,
)
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.run_page.output_source import Link, OutputSource
from airflow_healthomics.run_page.outputs import View, is_below, outputs_are_on, view_of
from airflow_healthomics.run_page.rights import RightsDep

#: Maximum length of keys in S3.
_MAX_KEY: Final = 1024

_STYLE: Final = (
    "html,body,iframe{box-sizing:border-box;width:100%;height:100%;margin:0;border:0;background:#fff}"
    "p{margin:0;padding:16px;font:14px sans-serif;color:#222}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


async def require_outputs(rights: RightsDep) -> None:
    """Refuse the request if outputs are turned off, or if the user may not read the logs of the task."""
    if not outputs_are_on():
        raise HTTPException(404, "[healthomics] page_outputs turns outputs off.")
    if not rights.may_read_logs:
        raise HTTPException(403, "Reading outputs requires the right to read the logs of this task.")


class _DocumentRoute(APIRoute):
    """A route that answers with documents, also for errors, because a frame shows them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_documents(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                return _error_document(str(error.detail), error.status_code)
            except PageError as error:
                return _error_document(error.detail, error.status)

        return handle_with_documents


router: Final = APIRouter(dependencies=[Depends(require_outputs)])
_documents: Final = APIRouter(route_class=_DocumentRoute)


@router.get(TASK + "/runs/{healthomics_run_id}/outputs")
async def outputs_of_run(
    request: Request,
    task: TaskDep,
    run_id: RunDep,
    rights: RightsDep,
    folder: Annotated[str, Query(max_length=_MAX_KEY, pattern="^(.*/)?$")] = "",
) -> Response:
    """Return the files and folders in a folder of a run's outputs."""
    _check(folder)
    fetch = partial(_list, run_id=run_id, folder=folder)
    return await respond(request, task, (run_id, "outputs", folder), fetch, with_logs=rights.may_read_logs)


@_documents.get(TASK + "/runs/{healthomics_run_id}/outputs/view")
async def view_of_output(
    task: TaskDep,
    run_id: RunDep,
    path: Annotated[str, Query(min_length=1, max_length=_MAX_KEY)],
    alone: bool = False,
) -> Response:
    """Return a document that shows an output of a run; or redirect to the output, for a new tab."""
    _check(path)
    view = view_of(path)
    if view is None:
        raise HTTPException(404, "The page does not show files of this type.")
    call = partial(_link, run_id=run_id, path=path, view=view)
    link = await call_in_lane(task, call, unanswered="S3 has not answered yet.")
    if alone or not view.in_frame:
        return RedirectResponse(link.url, 303)
    return _view_document(link, PurePosixPath(path).name)


router.include_router(_documents)


def _check(path: str) -> None:
    if not is_below(path):
        raise HTTPException(404, "The run has no such output.")


def _list(
    _: Page | None, *, connection: TaskConnection, resource: TaskResource, run_id: str | None, folder: str
) -> Page:
    return OutputSource(connection, resource.region).folder(resource, folder, run_id=run_id)


def _link(
    connection: TaskConnection, resource: TaskResource, *, run_id: str | None, path: str, view: View
) -> Link:
    return OutputSource(connection, resource.region).link(resource, path, view, run_id=run_id)


def _view_document(link: Link, name: str) -> Response:
    """Return a document whose frame shows an output. The frame can neither reach Airflow nor leave S3."""
    attributes = {
        "title": name,
        "src": link.url,
        "sandbox": link.view.sandbox,
        "referrerpolicy": "no-referrer",
    }
    pairs = (f'{attribute}="{html.escape(value)}"' for attribute, value in attributes.items())
    url = urlsplit(link.url)
    return _document(name, f"<iframe {' '.join(pairs)}></iframe>", source=f"{url.scheme}://{url.netloc}")


def _error_document(detail: str, status: int) -> Response:
    return _document("Error", f"<p>{html.escape(detail)}</p>", status=status)


def _document(title: str, body: str, *, status: int = 200, source: str = "'none'") -> Response:
    """
    Return a document that loads nothing but frames of one source.

    :param title: text
    :param body: HTML
    :param status: HTTP status
    :param source: origin of its frames
    """
    policy = (
        f"default-src 'none'; frame-src {source}; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    )
    document = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    )
    return HTMLResponse(document, status, {"Content-Security-Policy": policy})
