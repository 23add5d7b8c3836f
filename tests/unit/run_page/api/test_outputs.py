# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outputs of a run on the page: their names, and links that the browser opens."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import boto3
import pytest
import requests
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from botocore.exceptions import ClientError
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.run_page import output_source, outputs
from airflow_healthomics.run_page.outputs import Place
from tests.healthomics import Control
from tests.unit.conftest import WORKFLOW, Clock, calls_of, intercepting
from tests.unit.run_page.api.api_server import CANARY, deny, get, headers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PLACE = Place("outputs", "results/7/")

#: A report whose text must not pass through the API server.
REPORT = f"<h1>{CANARY}</h1>"


class _Document(HTMLParser):
    """The frames of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.frames: list[dict[str, str | None]] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.frames += [dict(attrs)] if tag == "iframe" else []
        self.scripts += tag == "script" or any(name.startswith("on") for name, _ in attrs)


@pytest.fixture
def put(omics: Control) -> Callable[..., None]:
    """Put objects into the bucket of the outputs."""
    s3 = boto3.client("s3")

    def put_objects(run_id: str, *paths: str, body: str = "x") -> None:
        for path in paths:
            s3.put_object(Bucket="outputs", Key=f"results/{run_id}/{path}", Body=body.encode())

    return put_objects


@pytest.fixture
def completed(omics: Control, start: Any) -> tuple[str, str]:
    """A completed run with a report and a VCF file: the URL of its outputs, and its id."""
    omics.plan_run(outputs={"multiqc/multiqc report.html": REPORT, "vcf/sample.vcf": CANARY})
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    return f"{path}/runs/{run_id}/outputs", run_id


def viewed(page: TestClient, outputs_path: str, path: str) -> Any:
    """Return the response of the document that shows a file."""
    return page.get(f"{outputs_path}/view?path={quote(path, safe='')}", follow_redirects=False)


def refusing(operation: str, code: str, status: int = 403) -> Any:
    """Let S3 refuse an operation."""

    def respond(called: str, call: Callable[[], Any]) -> Any:
        if called != operation:
            return call()
        answer: Any = {
            "Error": {"Code": code, "Message": CANARY},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        raise ClientError(answer, called)

    return intercepting(respond)


def test_the_names_of_the_outputs(page: TestClient, completed: tuple[str, str]) -> None:
    """Each has its file; the response has the folders and a link to S3, but no content."""
    path, run_id = completed
    answer = get(page, path)
    assert answer["folders"] == ["logs/", "out/"]
    assert (answer["files"], answer["truncated"]) == ([], False)
    assert answer["named"] == [
        {
            "name": "multiqc",
            "files": [{"name": "out/multiqc/multiqc report.html", "view": "frame"}],
            "more": 0,
            "others": 0,
        },
        {"name": "vcf", "files": [{"name": "out/vcf/sample.vcf"}], "more": 0, "others": 0},
    ]
    assert f"/s3/buckets/outputs?region=us-east-1&prefix=results%2F{run_id}%2F" in answer["link"]


def test_a_folder(page: TestClient, completed: tuple[str, str], put: Any) -> None:
    """The response has its files with their sizes, and those of no other folder."""
    path, run_id = completed
    put(run_id, "out/multiqc/", "out/multiqc/data/a.tsv", "out/multiqc/b.PDF")
    answer = get(page, f"{path}?folder=out/multiqc/")
    assert answer["folders"] == ["data/"]
    (pdf, report) = answer["files"]
    assert (report["name"], report["size"], report["view"]) == ("multiqc report.html", len(REPORT), "frame")
    assert (pdf["name"], pdf["view"]) == ("b.PDF", "tab")
    assert report["lastModified"].startswith("20")
    assert "prefix=results%2F" + run_id + "%2Fout%2Fmultiqc%2F" in answer["link"]
    assert "named" not in answer


def test_a_report(page: TestClient, completed: tuple[str, str]) -> None:
    """It is a frame without Airflow's origin, with a link that the browser opens itself."""
    path, run_id = completed
    answer = viewed(page, path, "out/multiqc/multiqc report.html")
    assert answer.status_code == 200
    assert CANARY not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    document = _Document(answer.text)
    assert document.scripts == 0
    (frame,) = document.frames
    assert (frame["sandbox"], frame["title"]) == ("allow-scripts", "multiqc report.html")
    link = urlsplit(frame["src"] or "")
    assert link.path == f"/results/{run_id}/out/multiqc/multiqc%20report.html"
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    assert query["response-content-type"] == "text/html"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == str(output_source.LINK_SECONDS)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; frame-src https://outputs.s3.amazonaws.com; style-src 'sha256-" in policy
    assert "frame-ancestors 'self'" in policy
    received = requests.get(frame["src"] or "", timeout=9)
    assert (received.text, received.headers["Content-Type"]) == (REPORT, "text/html")
    assert received.headers["Content-Disposition"] == "inline"


@pytest.mark.parametrize(
    ("name", "media_type", "sandbox"),
    [
        ("plot.png", "image/png", ""),
        ("plot.SVG", "image/svg+xml", ""),
        ("table.tsv", "text/plain; charset=utf-8", ""),
        ("report.htm", "text/html", "allow-scripts"),
    ],
)
def test_the_media_type_follows_the_suffix(
    page: TestClient, completed: tuple[str, str], put: Any, name: str, media_type: str, sandbox: str
) -> None:
    """Whatever type S3 has stored; only HTML may run scripts."""
    path, run_id = completed
    put(run_id, name)
    (frame,) = _Document(viewed(page, path, name).text).frames
    assert parse_qs(urlsplit(frame["src"] or "").query)["response-content-type"] == [media_type]
    assert frame["sandbox"] == sandbox


def test_a_name_is_text(page: TestClient, completed: tuple[str, str], put: Any) -> None:
    """Whatever characters it has, in the document too."""
    path, run_id = completed
    name = 'a"><script>alert(1)<b title=".html'
    put(run_id, name)
    document = _Document(viewed(page, path, name).text)
    assert document.scripts == 0
    assert [frame["title"] for frame in document.frames] == [name]


@pytest.mark.parametrize(
    ("name", "query", "media_type"),
    [("a.pdf", "", "application/pdf"), ("a.html", "&alone=true", "text/html")],
)
def test_a_new_tab(
    page: TestClient, completed: tuple[str, str], put: Any, name: str, query: str, media_type: str
) -> None:
    """It is redirected to S3: for a PDF, and for a file that is opened separately."""
    path, run_id = completed
    put(run_id, name)
    answer = page.get(f"{path}/view?path={name}{query}", follow_redirects=False)
    assert answer.status_code == 303
    link = urlsplit(answer.headers["Location"])
    assert (link.netloc, link.path) == ("outputs.s3.amazonaws.com", f"/results/{run_id}/{name}")
    assert parse_qs(link.query)["response-content-type"] == [media_type]


@pytest.mark.parametrize(
    "name",
    ["out/vcf/sample.vcf", "a.bam", "a.js", "a.html.gz", "a", "../8/a.txt", "out/./a.txt", "x/../a.txt"],
)
def test_files_that_are_not_shown(page: TestClient, completed: tuple[str, str], name: str) -> None:
    """They have no link: other types, and paths that leave the run's folder."""
    path, _ = completed
    with intercepting(lambda operation, call: pytest.fail(f"{operation} is called")):
        answer = viewed(page, path, name)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "X-Amz" not in answer.text


@pytest.mark.parametrize("path", ["results/8/a.txt", "/results/8/a.txt", "s3://other/a.txt", "..%2F8/a.txt"])
def test_other_places(page: TestClient, completed: tuple[str, str], put: Any, path: str) -> None:
    """They are not found: each path begins in the folder of the run."""
    outputs_path, _ = completed
    put("8", "a.txt")
    boto3.client("s3").create_bucket(Bucket="other")
    boto3.client("s3").put_object(Bucket="other", Key="a.txt", Body=b"x")
    answer = viewed(page, outputs_path, path)
    assert (answer.status_code, _Document(answer.text).frames) == (404, [])
    assert "The run has no such output." in answer.text
    assert get(page, f"{outputs_path}?folder={quote(path, safe='')}/")["files"] == []


@pytest.mark.parametrize(("folder", "status"), [("../8/", 404), ("out", 422), ("./", 404), ("x" * 1025, 422)])
def test_folders_that_are_not_listed(
    page: TestClient, completed: tuple[str, str], folder: str, status: int
) -> None:
    """They are outside of the run's folder, or do not exist."""
    assert page.get(f"{completed[0]}?folder={quote(folder, safe='')}").status_code == status


def test_the_run_of_another_task(
    page: TestClient, omics: Control, completed: tuple[str, str], started: Any
) -> None:
    """It has no outputs here, neither a list nor a link."""
    stranger = started()["id"]
    omics.advance("COMPLETED", run_id=stranger)
    other = completed[0].replace(completed[1], stranger)
    assert page.get(other).status_code == 404
    answer = viewed(page, other, "logs/engine.log")
    assert (answer.status_code, _Document(answer.text).frames) == (404, [])


def test_a_run_of_a_batch(page: TestClient, omics: Control, start_batch: Any, put: Any, clock: Clock) -> None:
    """It has outputs like any other; a run outside of the batch has none."""
    path, _ = start_batch()
    omics.advance_batch("INPROGRESS")
    run_id = omics.runs()[0]["id"]
    omics.advance("COMPLETED", run_id=run_id)
    put(run_id, "out/a.txt")
    assert [each["name"] for each in get(page, f"{path}/runs/{run_id}/outputs?folder=out/")["files"]] == [
        "a.txt"
    ]
    assert page.get(f"{path}/runs/1/outputs").status_code == 404


def test_the_list_is_bounded(
    page: TestClient, completed: tuple[str, str], put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page of S3 is listed, and the response says so."""
    path, run_id = completed
    assert output_source.MAX_ITEMS == 1_000
    monkeypatch.setattr(output_source, "MAX_ITEMS", 2)
    put(run_id, *(f"many/{number}.txt" for number in range(3)))
    answer = get(page, f"{path}?folder=many/")
    assert [each["name"] for each in answer["files"]] == ["0.txt", "1.txt"]
    assert answer["truncated"] is True


def test_a_second_request(page: TestClient, omics: Control, completed: tuple[str, str]) -> None:
    """It costs no call while the response is fresh."""
    path, _ = completed
    first = get(page, path)
    with intercepting(lambda operation, call: pytest.fail(f"{operation} is called")):
        assert get(page, path) == first
    before = calls_of(omics, "GetRun")
    get(page, f"{path}?folder=out/")
    assert calls_of(omics, "GetRun") == before


@pytest.mark.parametrize(
    ("role", "status"), [(None, 403), ("nobody", 401), ("VIEWER", 200), ("USER", 200), ("ADMIN", 200)]
)
def test_who_may_see_outputs(
    server: FastAPI, completed: tuple[str, str], role: str | None, status: int
) -> None:
    """Users who may read the task instance, its XComs and its logs."""
    client = TestClient(server, headers={} if role == "nobody" else headers(role))
    assert client.get(completed[0]).status_code == status
    answer = viewed(client, completed[0], "out/multiqc/multiqc report.html")
    assert (answer.status_code, len(_Document(answer.text).frames)) == (status, status == 200)


@pytest.mark.parametrize(
    "entity", [DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM, DagAccessEntity.TASK_LOGS]
)
def test_a_right_that_is_taken_away(
    page: TestClient,
    omics: Control,
    completed: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    entity: DagAccessEntity,
) -> None:
    """It hides the outputs, also those in the cache, and the page does not offer them."""
    path, _ = completed
    run = path.removesuffix("/outputs")
    assert get(page, run)["outputs"] is True
    get(page, path)
    deny(monkeypatch, entity)
    assert page.get(path).status_code == 403
    assert viewed(page, path, "out/multiqc/multiqc report.html").status_code == 403
    if entity is DagAccessEntity.TASK_LOGS:
        assert "outputs" not in get(page, run)


def test_turned_off(page: TestClient, completed: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no outputs, and the page does not offer them."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__PAGE_OUTPUTS", "False")
    path, _ = completed
    assert "outputs" not in get(page, path.removesuffix("/outputs"))
    answer = page.get(path)
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": "[healthomics] page_outputs turns outputs off."},
    )
    answer = viewed(page, path, "out/multiqc/multiqc report.html")
    assert (answer.status_code, _Document(answer.text).frames) == (404, [])
    assert "page_outputs" in answer.text


@pytest.mark.parametrize(("status", "offered"), [("RUNNING", False), ("FAILED", True), ("CANCELLED", False)])
def test_which_runs_have_outputs(
    page: TestClient, omics: Control, start: Any, status: str, offered: bool
) -> None:
    """Those that ended without being cancelled: a cancelled run exports none."""
    omics.plan_run(status="FAILED" if status == "FAILED" else "COMPLETED")
    path, run_id = start()
    if status == "CANCELLED":
        boto3.client("omics").cancel_run(id=run_id)
    omics.advance(status, run_id=run_id)
    assert get(page, path).get("outputs", False) is offered
    if status == "FAILED":
        answer = get(page, f"{path}/runs/{run_id}/outputs?folder=logs/")
        assert [each["name"] for each in answer["files"]] == ["engine.log"]


@pytest.mark.parametrize(
    ("operation", "code", "permission"),
    [("ListObjectsV2", "AccessDenied", "s3:ListBucket"), ("HeadObject", "403", "s3:GetObject")],
)
def test_a_missing_permission(
    page: TestClient, completed: tuple[str, str], operation: str, code: str, permission: str
) -> None:
    """The error names it, without AWS's own text, instead of the list or the link."""
    path, _ = completed
    with refusing(operation, code):
        listed, shown = page.get(path), viewed(page, path, "out/multiqc/multiqc report.html")
    refused = listed if permission == "s3:ListBucket" else shown
    assert refused.status_code == 502
    assert f"The IAM policy of the connection aws_default must allow {permission}." in refused.text
    assert CANARY not in refused.text


def test_names_without_the_permission_to_read_the_summary(
    page: TestClient, completed: tuple[str, str]
) -> None:
    """They are missing, and the list says why."""
    with refusing("GetObject", "AccessDenied"):
        answer = get(page, completed[0])
    assert answer["notices"] == ["The IAM policy of the connection aws_default must allow s3:GetObject."]
    assert answer["folders"] == ["logs/", "out/"]


def test_s3_is_slow(page: TestClient, completed: tuple[str, str]) -> None:
    """The page names the slow service."""
    with refusing("ListObjectsV2", "SlowDown", 503):
        answer = page.get(completed[0])
    assert answer.status_code == 503
    assert "S3 is temporarily unavailable" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "notice"),
    [
        ("[1]", "not the summary"),
        ("{", "not the summary"),
        ("[" * 100_000, "not the summary"),
        (" " * 1048577, "bytes"),
    ],
)
def test_an_invalid_summary(
    page: TestClient, completed: tuple[str, str], put: Any, body: str, notice: str
) -> None:
    """Only the names of the outputs are missing."""
    path, run_id = completed
    put(run_id, "logs/outputs.json", body=body)
    answer = get(page, path)
    assert notice in answer["notices"][0]
    assert answer["folders"] == ["logs/", "out/"]


def test_a_run_without_a_summary(page: TestClient, omics: Control, start: Any) -> None:
    """It still has a list: Nextflow writes no summary."""
    omics.add_workflow(WORKFLOW, engine="NEXTFLOW")
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    answer = get(page, f"{path}/runs/{run_id}/outputs")
    assert answer["folders"] == ["logs/", "out/"]
    assert "named" not in answer
    assert "notices" not in answer


def test_the_log_has_no_names(
    page: TestClient, completed: tuple[str, str], put: Any, logged: Callable[[], str]
) -> None:
    """Neither names of shown files nor of refused ones."""
    path, run_id = completed
    put(run_id, f"{CANARY}.txt")
    logged()
    assert viewed(page, path, f"{CANARY}.txt").status_code == 200
    with refusing("HeadObject", "403"):
        assert viewed(page, path, f"{CANARY}.txt").status_code == 502
    own = [line for line in logged().splitlines() if "airflow_healthomics" in line or "Run page" in line]
    assert not [line for line in own if CANARY in line]


def test_the_host_of_a_link(connection: Any) -> None:
    """It is that of the bucket's region, since a redirect from the global one would break the link."""
    connection()
    client = PollingHook(region_name="eu-west-1").s3_page_client
    link = client.generate_presigned_url("get_object", Params={"Bucket": "outputs", "Key": "a"})
    assert urlsplit(link).netloc == "outputs.s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"runOutputUri": "s3://outputs"},
        {"runOutputUri": "s3://outputs/"},
        {"runOutputUri": "https://outputs/x"},
        {"runOutputUri": "s3:///x"},
        {"runOutputUri": "s3://outputs/x", "outputUriPrefixMode": "NONE_WITH_OVERWRITE"},
    ],
)
def test_folders_that_do_not_belong_to_one_run(run: dict[str, str]) -> None:
    """They are not listed, since they may have files of others."""
    with pytest.raises(ValueError, match="output folder"):
        outputs.place_of(run)


@pytest.mark.parametrize(
    "uri", ["s3://outputs/results/7", "s3://outputs/results/7/", "s3://outputs//results/7//"]
)
def test_the_folder_of_a_run(uri: str) -> None:
    """It ends with a slash, so the folder of run 77 is not in that of run 7."""
    run = {"runOutputUri": uri, "outputUriPrefixMode": "SERVICE_DEFINED"}
    assert outputs.place_of(run).prefix.endswith("results/7/")


def test_the_summary_of_wdl_and_cwl() -> None:
    """It has names and files of the run; other values are counted, and absent ones are not."""
    base = "s3://outputs/results/7/out"
    summary = {
        "W.bams": [f"{base}/a.bam", [f"{base}/b.bam"]],
        "W.sample": CANARY,
        "W.pair": {"left": f"{base}/l.txt", "right": 3},
        "W.optional": None,
        "W.elsewhere": [
            "s3://outputs/results/77/x",
            "s3://outputs/results/7/../8/x",
            "s3://outputs/results/7/",
        ],
        "report": {
            "class": "File",
            "location": f"{base}/r.html",
            "basename": CANARY,
            "size": 7,
            "secondaryFiles": [{"class": "File", "location": f"{base}/r.idx"}],
        },
        "many": [f"{base}/{number}.txt" for number in range(outputs.MAX_FILES + 5)],
    }
    found = {each["name"]: each for each in outputs.named_outputs(json.dumps(summary).encode(), PLACE)}
    assert CANARY not in json.dumps(list(found.values()))
    files = {name: [file["name"] for file in each["files"]] for name, each in found.items()}
    assert files["W.bams"] == ["out/a.bam", "out/b.bam"]
    assert (files["W.sample"], found["W.sample"]["others"]) == ([], 1)
    assert (files["W.pair"], found["W.pair"]["others"]) == (["out/l.txt"], 1)
    assert (files["W.optional"], found["W.optional"]["others"]) == ([], 0)
    assert (files["W.elsewhere"], found["W.elsewhere"]["others"]) == ([], 3)
    assert (files["report"], found["report"]["others"]) == (["out/r.html", "out/r.idx"], 0)
    assert (len(files["many"]), found["many"]["more"]) == (outputs.MAX_FILES, 5)
