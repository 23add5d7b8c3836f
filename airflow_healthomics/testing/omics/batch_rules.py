# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The rules of run batches and their settings (user guide, page "workflows-batch")."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.utils import get_service_model

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.validation import violations

from .exceptions import ValidationException, error_of
from .members import refuse_not_implemented
from .run_rules import MAX_TAGS, check_request
from .s3_objects import S3_URI, stored_object

#: Maximum number of runs of a batch. The model limits inline settings to 100.
MAX_RUNS = 100_000


class BadSettingsError(Exception):
    """The run settings are invalid as a whole: the batch fails with this text as failureReason."""


def check_batch(params: Mapping[str, Any]) -> None:
    """Refuse a StartRunBatch request with invalid common fields."""
    defaults = params["defaultRunSetting"]
    if defaults.get("workflowType") == "READY2RUN":
        raise ValidationException("batch runs are not supported with READY2RUN workflows")
    if len(params.get("tags", {})) > MAX_TAGS:
        raise ValidationException(f"tags must have at most {MAX_TAGS} entries")
    check_request(merged(defaults, {}))


def merged(defaults: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the StartRun request of one run. Fields of its setting take precedence.

    ``parameters`` and ``runTags`` are merged by top-level key. JSON null counts as absent.
    """
    own = {name: value for name, value in setting.items() if name != "runSettingId" and value is not None}
    request = {**defaults, **own}
    for name in ("parameters", "runTags"):
        common = defaults.get(name)
        if isinstance(common, Mapping) and isinstance(own.get(name), Mapping):
            request[name] = {**common, **own[name]}
    tags = request.pop("runTags", None)
    if tags is not None:
        request["tags"] = tags
    return request


def check_setting(setting: Mapping[str, Any]) -> None:
    """Refuse an invalid setting from S3. Inline settings are validated with the request."""
    shape = get_service_model("omics").shape_for("InlineSetting")
    given = {name: value for name, value in setting.items() if value is not None}
    if broken := list(violations(shape, given)):
        raise ValidationException("; ".join(broken))
    refuse_not_implemented(shape, given)


def check_settings(settings: Sequence[Mapping[str, Any]]) -> None:
    """
    Refuse settings that are bad as a whole, in the words of the user guide's "batch-level failures".

    :raises BadSettingsError: with the batch's failureReason.
    """
    if len(settings) > MAX_RUNS:
        raise BadSettingsError(f"Batch has {len(settings)} runs but {MAX_RUNS} runs is the max.")
    unique = len({setting["runSettingId"] for setting in settings})
    if unique != len(settings):
        raise BadSettingsError(f"Expected {len(settings)} unique runSettingIds but there were {unique}")


def etag_of(uri: str, account: str, partition: str) -> str:
    """
    Return the ETag of the object with the run settings.

    "HealthOmics validates access to the file during the synchronous API call", so StartRunBatch fails with an
    unreadable file. AWS does not document the error.
    """
    if S3_URI.fullmatch(uri) is None:
        raise ValidationException("s3UriSettings must be the S3 URI of an object, s3://bucket/key")
    stored = stored_object(uri, account, partition)
    if stored is None:
        raise error_of(LOCAL.options.batch_settings_error, f"s3UriSettings {uri} cannot be read")
    return _bare(stored.etag)


def read_settings(uri: str, etag: str, account: str, partition: str) -> list[dict[str, Any]]:
    """
    Read the run settings, which must be unchanged since the start of the batch.

    :raises BadSettingsError: if they have changed, or are not a list of settings. AWS does not document the
        error for an empty list or an entry without a runSettingId; here it is the same.
    """
    stored = stored_object(uri, account, partition)
    present = None if stored is None else _bare(stored.etag)
    if stored is None or present != etag:
        raise BadSettingsError(
            f'Expected s3UriConfigs etag: "{etag}" but was: "{present}". '
            "s3UriConfigs have changed since calling StartRunBatch"
        )
    try:
        settings = json.loads(stored.value)
    except ValueError:
        settings = None
    if (
        not isinstance(settings, list)
        or not settings
        or not all(
            isinstance(entry, dict) and isinstance(entry.get("runSettingId"), str) for entry in settings
        )
    ):
        raise BadSettingsError("Invalid JSON format in run configurations")
    return settings


def _bare(etag: str) -> str:
    return etag.strip('"')
