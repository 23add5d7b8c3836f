# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outputs of a run: where they are, which of them the page shows, and their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from airflow_healthomics.compat import conf

#: Statuses in which HealthOmics has written outputs. A cancelled run has none:
#: https://docs.aws.amazon.com/omics/latest/dev/canceling-runs.html
WITH_OUTPUTS: Final = frozenset({"COMPLETED", "FAILED"})

#: Maximum number of files of a named output on the page.
MAX_FILES: Final = 20

#: Mode of ``outputUriPrefixMode`` in which each run has a separate folder. It is the default.
_SEPARATE: Final = "SERVICE_DEFINED"

_TEXT: Final = "text/plain; charset=utf-8"

#: Media types by suffix. All text but HTML is shown as plain text.
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".htm": "text/html",
    ".html": "text/html",
    ".pdf": "application/pdf",
    **dict.fromkeys(
        (".csv", ".err", ".json", ".log", ".md", ".out", ".tsv", ".txt", ".xml", ".yaml", ".yml"), _TEXT
    ),
}


class Place(NamedTuple):
    """
    The folder of a run in S3.

    :param bucket: its bucket
    :param prefix: common beginning of its keys, with a slash at its end
    """

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """URI of the folder."""
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True, kw_only=True)
class View:
    """
    How the browser shows a file.

    :param media_type: its media type, whatever S3 has stored
    :param in_frame: whether it is shown in the page, rather than in a new tab
    :param sandbox: permissions of the frame
    """

    media_type: str
    in_frame: bool = True
    sandbox: str = ""


def outputs_are_on() -> bool:
    """Whether ``[healthomics] page_outputs`` allows outputs on the page."""
    return bool(conf.getboolean("healthomics", "page_outputs", fallback=True))


def place_of(run: Mapping[str, Any]) -> Place:
    """
    Return the folder of a run.

    :param run: answer of GetRun
    :raises ValueError: if it has none, or one that may have files of other runs
    """
    uri = run.get("runOutputUri") or ""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not uri.startswith("s3://") or not bucket:
        raise ValueError("HealthOmics has recorded no output folder of this run.")
    if not prefix or run.get("outputUriPrefixMode", _SEPARATE) != _SEPARATE:
        raise ValueError(
            "The output folder of this run may have files of other runs, so the page does not list it."
        )
    return Place(bucket, f"{prefix}/")


def is_below(path: str) -> bool:
    """Whether a path stays in its folder. S3 keeps ``..`` in keys, but browsers resolve it in URLs."""
    return not {".", ".."} & set(path.split("/"))


def view_of(path: str) -> View | None:
    """
    Return how the browser shows a file, or None if the page does not show files of its type.

    :param path: path of the file
    """
    media_type = _MEDIA_TYPES.get(PurePosixPath(path).suffix.lower())
    if media_type is None:
        return None
    if media_type == "application/pdf":
        # Chromium has no PDF viewer in sandboxed frames, and Airflow's own frame is one.
        return View(media_type=media_type, in_frame=False)
    # Reports such as MultiQC's need scripts. Without allow-same-origin these run in an opaque origin: that of
    # the bucket is shared with reports of other patients, and so is its storage.
    return View(media_type=media_type, sandbox="allow-scripts" if media_type == "text/html" else "")


def listing_answer(
    listing: Mapping[str, Any],
    prefix: str,
    *,
    named: Sequence[Mapping[str, Any]],
    link: str | None,
    notices: Sequence[str],
) -> dict[str, Any]:
    """
    Return the page's answer for a folder.

    :param listing: answer of ListObjectsV2 with the delimiter ``/``
    :param prefix: of the folder
    :param named: named outputs of the run
    :param link: URL of the folder in the S3 console
    :param notices: messages about what is missing
    """
    answer: dict[str, Any] = {
        "folders": [each["Prefix"].removeprefix(prefix) for each in listing.get("CommonPrefixes", ())],
        "files": [
            _with_view(
                {
                    "name": each["Key"].removeprefix(prefix),
                    "size": each["Size"],
                    "lastModified": each["LastModified"],
                }
            )
            for each in listing.get("Contents", ())
            # The S3 console creates an empty object for a folder.
            if each["Key"] != prefix
        ],
        "truncated": bool(listing.get("IsTruncated")),
    }
    if named:
        answer["named"] = list(named)
    if link:
        answer["link"] = link
    if notices:
        answer["notices"] = list(notices)
    return answer


def named_outputs(summary: bytes, place: Place) -> list[dict[str, Any]]:
    """
    Return the outputs of a WDL or CWL run by name, with the paths of their files in the folder of the run.

    Other values are only counted, since they may identify a patient.

    :param summary: the output summary
    :param place: the folder of the run
    :raises ValueError: if the summary is not a JSON object
    """
    try:
        outputs = json.loads(summary)
    except RecursionError:
        raise ValueError("The summary is nested too deeply.") from None
    if not isinstance(outputs, Mapping):
        raise ValueError("The summary is not an object.")
    return [_named_output(name, value, place) for name, value in outputs.items()]


def _named_output(name: str, value: Any, place: Place) -> dict[str, Any]:
    values = list(_values(value))
    paths = [path for each in values if (path := _path_in(place, each)) is not None]
    return {
        "name": name,
        "files": [_with_view({"name": path}) for path in paths[:MAX_FILES]],
        "more": max(len(paths) - MAX_FILES, 0),
        "others": len(values) - len(paths),
    }


def _with_view(item: dict[str, Any]) -> dict[str, Any]:
    view = view_of(item["name"])
    return {**item, "view": "frame" if view.in_frame else "tab"} if view else item


def _values(value: Any) -> Iterator[Any]:
    """Yield the single values in a value; of a file or directory of CWL only the location."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, Mapping) and each.get("class") in ("File", "Directory"):
            yield each.get("location") or each.get("path")
            left += reversed([each.get("secondaryFiles"), each.get("listing")])
        elif isinstance(each, Mapping):
            left += reversed(list(each.values()))
        elif isinstance(each, list):
            left += reversed(each)
        elif each is not None:
            yield each


def _path_in(place: Place, value: Any) -> str | None:
    """Return the path of a URI in the folder of the run, or None for any other value."""
    if not isinstance(value, str) or not value.startswith(place.uri):
        return None
    path = value.removeprefix(place.uri)
    return path if path and is_below(path) else None
