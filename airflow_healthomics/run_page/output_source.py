# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
List the outputs of a run, and make links to them, with the connection of a task.

Of the contents of files, only the output summary passes through the API server.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from airflow_healthomics.links import HealthOmicsOutputsLink, run_urls
from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page.answers import (
    ENDED_SECONDS,
    INCOMPLETE_SECONDS,
    Page,
    PageError,
    access_denied,
    make_restricted_page,
)
from airflow_healthomics.run_page.calls import NAME_SECONDS, Calls, identity_of, output_places
from airflow_healthomics.run_page.outputs import Place, View, listing_answer, named_outputs, place_of
from airflow_healthomics.service.errors import error_code

#: Maximum number of files and folders per folder, that of ListObjectsV2.
MAX_ITEMS: Final = 1_000

#: Maximum size of the output summary in bytes.
MAX_SUMMARY: Final = 1024 * 1024

#: Seconds for which a link is valid. The browser opens it at once.
LINK_SECONDS: Final = 300

#: The summary of the outputs of WDL and CWL runs. The user guide has both names:
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-outputs.html
_SUMMARIES: Final = ("logs/outputs.json", "logs/output.json")


class Link(NamedTuple):
    """
    A presigned link to a file.

    :param url: its URL
    :param view: how the browser shows the file
    """

    url: str
    view: View


class OutputSource(Calls):
    """The outputs of runs, in S3."""

    def folder(self, resource: TaskResource, folder: str, *, run_id: str | None = None) -> Page:
        """
        List a folder of the run of a task, or of a run of its batch.

        :param resource: run or batch of the task
        :param folder: path of the folder, with a slash at its end; empty for all outputs
        :param run_id: a run of the batch; it is checked to belong to the batch
        :raises PageError: if AWS refuses a call, or if the run has no folder
        """
        place = self._place(resource, run_id)
        prefix = place.prefix + folder
        shown_id = resource.id if run_id is None else run_id
        notices: list[str] = []
        with self._calling("s3:ListBucket", f"the outputs of run {shown_id}"):
            listing = self._hook.s3_page_client.list_objects_v2(
                Bucket=place.bucket, Prefix=prefix, Delimiter="/", MaxKeys=MAX_ITEMS
            )
        urls = run_urls(
            {"id": shown_id, "runOutputUri": f"s3://{place.bucket}/{prefix}"},
            self._region,
            self._hook.conn_partition,
        )
        answer = listing_answer(
            listing,
            prefix,
            named=() if folder else self._named(place, shown_id, notices),
            link=urls.get(HealthOmicsOutputsLink.key),
            notices=notices,
        )
        is_complete = (answer["files"] or answer["folders"]) and not notices
        return make_restricted_page(answer, ENDED_SECONDS if is_complete else INCOMPLETE_SECONDS)

    def link(self, resource: TaskResource, path: str, view: View, *, run_id: str | None = None) -> Link:
        """
        Make a link to an output of the run of a task, or of a run of its batch.

        :param resource: run or batch of the task
        :param path: path of the output in the folder of the run
        :param view: how the browser shows it
        :param run_id: a run of the batch; it is checked to belong to the batch
        :raises PageError: if AWS refuses a call, or if there is no such output
        """
        place = self._place(resource, run_id)
        found = {"Bucket": place.bucket, "Key": place.prefix + path}
        shown_id = resource.id if run_id is None else run_id
        client = self._hook.s3_page_client
        with self._calling("s3:GetObject", f"an output of run {shown_id}"):
            try:
                # It requires the permission of the link, which S3 checks only when the browser opens it.
                client.head_object(**found)
            except ClientError as error:
                # The answer has no body, so the code is the HTTP status.
                if error_code(error) == "403":
                    raise access_denied("s3:GetObject", self._connection.aws_conn_id) from None
                if error_code(error) == "404":
                    raise PageError(404, "The run has no such output.") from None
                raise
            request = {
                **found,
                "ResponseContentType": view.media_type,
                "ResponseContentDisposition": "inline",
            }
            url: str = client.generate_presigned_url("get_object", Params=request, ExpiresIn=LINK_SECONDS)
        return Link(url, view)

    def _place(self, resource: TaskResource, run_id: str | None) -> Place:
        """Return the folder of a run."""
        key = (self._connection, self._region, resource, run_id)
        known: Place | None = output_places.get(key)
        if known is None:
            run = self._get_run(resource.id if run_id is None else run_id, **identity_of(resource, run_id))
            try:
                known = place_of(run)
            except ValueError as error:
                raise PageError(404, str(error)) from None
            output_places.put(key, known, NAME_SECONDS)
        return known

    def _named(self, place: Place, run_id: str, notices: list[str]) -> list[dict[str, Any]]:
        """Return the named outputs of a run; none if it has no summary, like those of Nextflow."""
        client = self._hook.s3_page_client
        with self._calling("s3:ListBucket", f"the output summary of run {run_id}"):
            # A list first: S3 answers GetObject for a missing key with 403 if the policy forbids lists.
            listing = client.list_objects_v2(
                Bucket=place.bucket, Prefix=f"{place.prefix}logs/output", MaxKeys=MAX_ITEMS
            )
        sizes = {each["Key"].removeprefix(place.prefix): each["Size"] for each in listing.get("Contents", ())}
        path = next((path for path in _SUMMARIES if path in sizes), None)
        if path is None:
            return []
        if sizes[path] > MAX_SUMMARY:
            notices.append(f"{path} has more than {MAX_SUMMARY:,} bytes, so names of outputs are missing.")
            return []
        with self._calling("s3:GetObject", f"the output summary of run {run_id}", notices):
            body = client.get_object(Bucket=place.bucket, Key=place.prefix + path)["Body"]
            try:
                return named_outputs(body.read(MAX_SUMMARY), place)
            except ValueError:
                notices.append(
                    f"{path} is not the summary that AWS documents, so names of outputs are missing."
                )
        return []
