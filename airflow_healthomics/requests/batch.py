# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Build and validate a StartRunBatch request from arguments, run settings and defaults.

Names, defaults, types and rules of the arguments are those of a single run
(:mod:`airflow_healthomics.requests.run`). Errors name a run setting by its index, ``run_settings[17]``,
counted from 0, because its id may identify a patient.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from botocore.model import StructureShape

from airflow_healthomics.requests.fields import (
    MAX_PARAMETERS_BYTES,
    MAX_TAGS,
    Problems,
    api_field,
    checked_fields,
    checked_id,
)
from airflow_healthomics.requests.json_values import BrokenTemplate, json_problems, json_size, type_name
from airflow_healthomics.requests.run import ARGUMENTS, FROM_SOMEWHERE, contradictions, new_run, without_none

#: Run settings in the request itself: the model's InlineSettings, and
#: https://docs.aws.amazon.com/omics/latest/api/API_BatchRunSettings.html
MAX_INLINE_SETTINGS: Final = 100
#: Run settings of a batch. They must be in S3 if they exceed the limit above: same page, and
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_SETTINGS: Final = 100_000

#: The fields of StartRunBatch about the batch rather than its runs.
_OF_THE_BATCH: Final = ("batch_name", "request_id", "tags")

#: The fields of StartRunBatch and of its defaultRunSetting, by argument name, except the run settings. A test
#: compares them with the installed botocore.
BATCH_ARGUMENTS: Final = (
    *_OF_THE_BATCH,
    "workflow_id",
    "workflow_type",
    "workflow_version_name",
    "workflow_owner_id",
    "role_arn",
    "output_uri",
    "output_bucket_owner_id",
    "requester_pays_enabled",
    "parameters",
    "name",
    "retention_mode",
    "storage_type",
    "storage_capacity",
    "scratch_storage_mode",
    "run_group_id",
    "priority",
    "cache_id",
    "cache_behavior",
    "networking_mode",
    "configuration_name",
    "engine_settings",
    "session_policy",
    "log_level",
    "run_tags",
)

#: The fields of a run setting, by argument name. A test compares them with the installed botocore.
SETTING_ARGUMENTS: Final = (
    "run_setting_id",
    "name",
    "output_uri",
    "output_bucket_owner_id",
    "parameters",
    "priority",
    "engine_settings",
    "run_tags",
)

_SETTING_FIELDS: Final[Mapping[str, str]] = {api_field(name): name for name in SETTING_ARGUMENTS}

#: The required form of ``run_settings``. An error has it once, whatever the number of wrong entries.
_FORM: Final = (
    f"run_settings must be a list of mappings, one for each run, with {SETTING_ARGUMENTS[0]} (unique in the "
    f"batch) and any of {', '.join(SETTING_ARGUMENTS[1:])}"
)

#: Maximum of form mistakes, and of ranges of rows, in a message.
_MAX_MISTAKES: Final = 10
_MAX_RANGES: Final = 8

_NO_DUPLICATES: Final = "is not possible: a batch starts new runs and cannot duplicate a run"


def checked_batch_id(operation: str, batch_id: Any) -> str:
    """
    Validate the id of a run batch.

    :param operation: API operation to name in errors
    :param batch_id: the argument after rendering
    :raises HealthOmicsRequestError: if it is not an id of a run batch
    """
    return checked_id(operation, "batch_id", batch_id)


def build_run_batch(
    arguments: Mapping[str, Any],
    run_settings: Any,
    defaults: Mapping[str, Any],
    shape: StructureShape,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """
    Build and validate the request of a run batch without ``batchRunSettings``, and the run settings.

    :param arguments: arguments of the DAG author, by names in ``BATCH_ARGUMENTS``; None means not set
    :param run_settings: list of 1 to 100,000 mappings with keys in ``SETTING_ARGUMENTS``; None means not set.
        HealthOmics merges their ``parameters`` and ``run_tags`` with those of the arguments by top-level key;
        those of the run setting take precedence. Plain JSON is not copied.
    :param defaults: the connection's defaults, by argument name. Its ``tags`` apply to the batch and its
        runs. Defaults without meaning for batches are ignored.
    :param shape: StartRunBatch's input shape in botocore, the source of lengths, ranges and enums
    :return: the request, and the run settings by API name
    :raises HealthOmicsRequestError: with all problems
    """
    problems = Problems("StartRunBatch")
    request, chosen = _request(arguments, defaults, shape, problems)
    setting: Any = _member(shape, "batchRunSettings", "inlineSettings")
    reader = _SettingsReader(request["defaultRunSetting"], "output_uri" in chosen, setting.member, problems)
    settings = reader.read(run_settings)
    problems.refuse()
    return request, settings


def build_start_run_batch_request(
    arguments: Mapping[str, Any], defaults: Mapping[str, Any], shape: StructureShape
) -> dict[str, Any]:
    """
    Build and validate the request of a run batch with run settings in S3. These are not validated.

    :param arguments: as for :func:`build_run_batch`
    :param defaults: as for :func:`build_run_batch`
    :param shape: as for :func:`build_run_batch`
    :return: the request without ``batchRunSettings``
    :raises HealthOmicsRequestError: with all problems
    """
    problems = Problems("StartRunBatch")
    request, _ = _request(arguments, defaults, shape, problems)
    problems.refuse()
    return request


def settings_in_request(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return the ``batchRunSettings`` with the run settings inside the request.

    :param settings: from :func:`build_run_batch`
    :raises HealthOmicsRequestError: if they exceed the limit of a request
    """
    problems = Problems("StartRunBatch")
    if len(settings) > MAX_INLINE_SETTINGS:
        problems.add(
            f"run_settings has {len(settings):,} entries, but a request at most {MAX_INLINE_SETTINGS}: write "
            "them to S3 (airflow_healthomics.requests.batch.settings_json) and pass s3_uri_settings"
        )
    problems.refuse()
    return {"inlineSettings": list(settings)}


def settings_in_s3(s3_uri_settings: Any, shape: StructureShape) -> dict[str, Any]:
    """
    Return the ``batchRunSettings`` with the S3 URI of the run settings.

    :param s3_uri_settings: S3 URI of a JSON array, such as one from :func:`settings_json`
    :param shape: StartRunBatch's input shape in botocore
    :raises HealthOmicsRequestError: if it is not the S3 URI of an object
    """
    problems = Problems("StartRunBatch")
    where = checked_fields({"s3_uri_settings": s3_uri_settings}, _member(shape, "batchRunSettings"), problems)
    problems.refuse()
    return where


def settings_json(settings: Iterable[Mapping[str, Any]]) -> bytes:
    """
    Return the file for S3: a JSON array in UTF-8, with one run setting per line.

    The same settings in the same order yield the same bytes, so that a retry can write the file again. A
    batch fails if the ETag has changed. Parameters keep the order of their keys, as in a request.

    :param settings: from :func:`build_run_batch`
    """
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    file = io.BytesIO()
    separator = b"[\n"
    for setting in settings:
        file.write(separator)
        file.write(encode(setting).encode())
        separator = b",\n"
    file.write(b"\n]\n")
    return file.getvalue()


def _member(shape: Any, *names: str) -> Any:
    """Return the shape of a nested member. In botocore's type stubs, a shape has no members."""
    for name in names:
        shape = shape.members[name]
    return shape


def _request(
    arguments: Mapping[str, Any], defaults: Mapping[str, Any], shape: StructureShape, problems: Problems
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the valid parts of the request, without run settings, and the arguments including defaults."""
    given = without_none(arguments)
    for name in [name for name in given if name not in BATCH_ARGUMENTS]:
        problems.add(f"{name} {_why_not_of_a_batch(name)}")
        del given[name]
    chosen = new_run(given, _batch_defaults(defaults))
    own = {name: value for name, value in chosen.items() if name in _OF_THE_BATCH}
    common = {name: value for name, value in chosen.items() if name not in _OF_THE_BATCH}
    request = checked_fields(own, shape, problems)
    request["defaultRunSetting"] = checked_fields(common, _member(shape, "defaultRunSetting"), problems)
    if "workflow_id" not in chosen:
        problems.add("workflow_id is required")
    if "role_arn" not in chosen:
        problems.add(f"role_arn is required, {FROM_SOMEWHERE}")
    if chosen.get("workflow_type") == "READY2RUN":
        problems.add("workflow_type READY2RUN is not possible: a batch only runs private workflows")
    else:
        problems.add(*contradictions(given, chosen))
    return request, chosen


def _batch_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connection's defaults for batches. Its tags apply to the batch and to its runs."""
    known = {name: value for name, value in defaults.items() if name in BATCH_ARGUMENTS}
    if "tags" in known:
        known["run_tags"] = known["tags"]
    return known


def _why_not_of_a_batch(name: str) -> str:
    if name == "run_id":
        return _NO_DUPLICATES
    if name in ARGUMENTS:
        return "is only for single runs: StartRunBatch has no such field"
    return "is not an argument of a run batch"


class _SettingsReader:
    """
    Validates run settings, alone and in combination with the common settings.

    :param common: valid parts of the request's ``defaultRunSetting``
    :param has_output_uri: whether the arguments or defaults have an output URI, even an invalid one
    :param shape: of a run setting in botocore
    :param problems: collects problems
    """

    def __init__(
        self, common: Mapping[str, Any], has_output_uri: bool, shape: StructureShape, problems: Problems
    ) -> None:
        self._has_output_uri = has_output_uri
        self._shape = shape
        self._problems = problems
        self._tag_keys: Collection[str] = common.get("runTags", {}).keys()
        # For the size of merged parameters, without merging them.
        self._entry_sizes = {
            key: _entry_size(key, value) for key, value in common.get("parameters", {}).items()
        }
        self._entries_size = sum(self._entry_sizes.values())
        self._positions: dict[str, int] = {}
        self._rows_of: dict[str, list[int]] = {}

    def read(self, run_settings: Any) -> list[dict[str, Any]]:
        """Return the valid parts of the run settings, by API name."""
        if unfit := list(_unfit(run_settings)):
            self._problems.add(*unfit)
            return []
        settings = []
        lacking: list[int] = []
        for index, setting in enumerate(run_settings):
            path = f"run_settings[{index}]"
            if isinstance(setting, BrokenTemplate):
                self._problems.add(*json_problems(setting, path))
                continue
            if not isinstance(setting, Mapping):
                self._note(index, f" must be a mapping, not {type_name(setting)}")
                continue
            if setting.get("output_uri") is None and not self._has_output_uri:
                lacking.append(index)
            settings.append(self._setting(setting, index, path))
        if lacking:
            self._problems.add(_output_uri_problem(lacking, len(settings)))
        if self._rows_of:
            self._problems.add_first(_form_problem(self._rows_of))
        return settings

    def _note(self, index: int, mistake: str) -> None:
        """Record a mistake in the form. Many rows may have the same one."""
        self._rows_of.setdefault(mistake, []).append(index)

    def _setting(self, setting: Mapping[str, Any], index: int, path: str) -> dict[str, Any]:
        given = {name: value for name in SETTING_ARGUMENTS if (value := setting.get(name)) is not None}
        if len(given) < len(setting):
            for mistake in _unknown_keys(setting):
                self._note(index, mistake)
        fields = checked_fields(given, self._shape, self._problems, f"{path}.")
        if "run_setting_id" not in given:
            self._note(index, ".run_setting_id is required")
        if setting_id := fields.get("runSettingId"):
            first = self._positions.setdefault(setting_id, index)
            if first != index:
                self._problems.add(f"{path}.run_setting_id is the same as in run_settings[{first}]")
        self._check_merged(fields, path)
        return fields

    def _check_merged(self, fields: Mapping[str, Any], path: str) -> None:
        if self._entry_sizes and (parameters := fields.get("parameters")):
            replaced = sum(self._entry_sizes[key] for key in parameters if key in self._entry_sizes)
            # The first term includes the braces, and one comma less than entries.
            size = json_size(parameters) + self._entries_size - replaced
            if size > MAX_PARAMETERS_BYTES:
                self._problems.add(
                    f"{path}.parameters, together with the parameters of the batch, must be at most "
                    f"{MAX_PARAMETERS_BYTES:,} bytes of JSON, not {size:,}"
                )
        if self._tag_keys and (tags := fields.get("runTags")):
            count = len(self._tag_keys | tags.keys())
            if count > MAX_TAGS:
                self._problems.add(
                    f"{path}.run_tags, together with the run_tags of the batch, must be at most {MAX_TAGS}, "
                    f"not {count}"
                )


def _unfit(run_settings: Any) -> Iterator[str]:
    """Yield reasons why a value is not a list of run settings at all."""
    if isinstance(run_settings, BrokenTemplate):
        yield from json_problems(run_settings, "run_settings")
    elif not isinstance(run_settings, Sequence) or isinstance(run_settings, (str, bytes, bytearray)):
        yield f"{_FORM}: a list, not {type_name(run_settings)}"
    elif not len(run_settings):
        yield f"run_settings is empty: a batch has 1 to {MAX_SETTINGS:,} runs"
    elif len(run_settings) > MAX_SETTINGS:
        yield f"run_settings has {len(run_settings):,} entries: a batch has at most {MAX_SETTINGS:,} runs"


def _form_problem(rows_of: Mapping[str, Sequence[int]]) -> str:
    """
    Return a sentence with the required form, and the mistakes with their rows.

    :param rows_of: rows by mistake. The text of a mistake follows ``run_settings[rows]`` in the sentence.
    """
    mistakes = [f"run_settings[{_ranges(rows)}]{mistake}" for mistake, rows in rows_of.items()]
    more = len(mistakes) - _MAX_MISTAKES
    mistakes[_MAX_MISTAKES:] = [f"and {more:,} more mistakes"] if more > 0 else []
    return f"{_FORM}; {'; '.join(mistakes)}"


def _ranges(rows: Sequence[int]) -> str:
    """Return ascending row numbers as text, such as ``0, 2-5 and 7 more``."""
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and ranges[-1][1] == row - 1:
            ranges[-1][1] = row
        else:
            ranges.append([row, row])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_MAX_RANGES]]
    rest = sum(last - first + 1 for first, last in ranges[_MAX_RANGES:])
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _unknown_keys(setting: Mapping[str, Any]) -> Iterator[str]:
    for key in setting:
        if key in SETTING_ARGUMENTS:
            continue
        if not isinstance(key, str):
            yield f" has a key of type {type(key).__name__} instead of text"
        elif key == "run_id":
            yield f".{key} {_NO_DUPLICATES}"
        elif key == "tags":
            yield f".{key} is for the whole batch: for a run, use run_tags"
        elif key in BATCH_ARGUMENTS:
            yield f".{key} is for the whole batch: move it out of run_settings"
        elif key in _SETTING_FIELDS:
            yield f".{key} must be written {_SETTING_FIELDS[key]}"
        else:
            yield f".{key} is unknown"


def _output_uri_problem(lacking: Sequence[int], count: int) -> str:
    if len(lacking) == count:
        return f"output_uri is required, {FROM_SOMEWHERE}, or in every run setting"
    others = f" and {len(lacking) - 1:,} more have none" if len(lacking) > 1 else " has none"
    return f"output_uri is required: run_settings[{lacking[0]}]{others}, and there is no default"


def _entry_size(key: str, value: Any) -> int:
    """Return the number of bytes of an entry in a JSON object, with its comma, without the braces."""
    return json_size({key: value}) - 1
