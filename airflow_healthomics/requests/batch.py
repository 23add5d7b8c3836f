# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
From arguments, run settings and defaults to a StartRunBatch request, or to one clear error.

Names, defaults, typing and rules of the arguments are those of a single run
(:mod:`airflow_healthomics.requests.run`). A run setting is named by its position, ``run_settings[17]``,
counted from 0 as Python does: its id may be a patient's.
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
#: Run settings of a batch, which stand in S3 if they are more than the request may have: same page, and
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_SETTINGS: Final = 100_000

#: The fields of StartRunBatch that are about the batch itself.
_OF_THE_BATCH: Final = ("batch_name", "request_id", "tags")

#: Every field of StartRunBatch and of its defaultRunSetting, as an argument; a test holds them against the
#: installed botocore. The run settings stand apart.
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

#: Every field of a run setting. A test holds them against the installed botocore.
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

#: What ``run_settings`` must look like; said once, however many of them do not.
_FORM: Final = (
    f"run_settings must be a list of mappings, one for each run, with {SETTING_ARGUMENTS[0]} (which no other "
    f"run of the batch has) and any of {', '.join(SETTING_ARGUMENTS[1:])}"
)

#: Mistakes in the form, and ranges of rows, that a message names.
_MAX_MISTAKES: Final = 10
_MAX_RANGES: Final = 8

_NO_DUPLICATES: Final = "is not possible: a batch has new runs only, and cannot duplicate one"


def checked_batch_id(operation: str, batch_id: Any) -> str:
    """
    Return the id of a run batch as the API wants it.

    :param operation: API operation that it is for
    :param batch_id: the argument after rendering
    :raises HealthOmicsRequestError: if it cannot be the id of a run batch
    """
    return checked_id(operation, "batch_id", batch_id)


def build_run_batch(
    arguments: Mapping[str, Any],
    run_settings: Any,
    defaults: Mapping[str, Any],
    shape: StructureShape,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """
    Build and validate the request of a run batch, without ``batchRunSettings``, and its run settings.

    :param arguments: what the DAG author gave, by names of ``BATCH_ARGUMENTS``; None counts as not given
    :param run_settings: a list of 1 to 100,000 mappings by names of ``SETTING_ARGUMENTS``; None in one counts
        as not given. HealthOmics merges ``parameters`` and ``run_tags`` with those of the arguments, key by
        key at the top level, and the run's own win. What is plain JSON already is not copied.
    :param defaults: the connection's defaults, by argument name. Its ``tags`` are for the batch and its runs;
        what batches do not have is left out.
    :param shape: StartRunBatch's input shape of the installed botocore, the home of lengths, ranges and enums
    :return: the request, and the run settings by the API's names
    :raises HealthOmicsRequestError: with everything that breaks a rule
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
    Build and validate the request of a run batch whose run settings stand in S3, unseen.

    :param arguments: as for :func:`build_run_batch`
    :param defaults: as for :func:`build_run_batch`
    :param shape: as for :func:`build_run_batch`
    :return: the request without ``batchRunSettings``
    :raises HealthOmicsRequestError: with everything that breaks a rule
    """
    problems = Problems("StartRunBatch")
    request, _ = _request(arguments, defaults, shape, problems)
    problems.refuse()
    return request


def settings_in_request(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return the ``batchRunSettings`` that hold the run settings themselves.

    :param settings: as :func:`build_run_batch` returns them
    :raises HealthOmicsRequestError: if they are more than a request may have
    """
    problems = Problems("StartRunBatch")
    if len(settings) > MAX_INLINE_SETTINGS:
        problems.add(
            f"run_settings has {len(settings):,} entries, and a request at most {MAX_INLINE_SETTINGS}: write "
            "them to S3 (airflow_healthomics.requests.batch.settings_json) and give s3_uri_settings"
        )
    problems.refuse()
    return {"inlineSettings": list(settings)}


def settings_in_s3(s3_uri_settings: Any, shape: StructureShape) -> dict[str, Any]:
    """
    Return the ``batchRunSettings`` that say where the run settings stand.

    :param s3_uri_settings: S3 URI of a JSON array, such as :func:`settings_json` makes one
    :param shape: StartRunBatch's input shape of the installed botocore
    :raises HealthOmicsRequestError: if it is no S3 URI of an object
    """
    problems = Problems("StartRunBatch")
    where = checked_fields({"s3_uri_settings": s3_uri_settings}, _member(shape, "batchRunSettings"), problems)
    problems.refuse()
    return where


def settings_json(settings: Iterable[Mapping[str, Any]]) -> bytes:
    """
    Return the file for S3: a JSON array in UTF-8, one run setting a line.

    The same settings in the same order give the same bytes, so that a retry can write the file again: a batch
    fails if the ETag has changed. Parameters keep the order of their keys, as in a request.

    :param settings: as :func:`build_run_batch` returns them
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
    """Return the shape of a member of a member; the type stubs of botocore do not know which have any."""
    for name in names:
        shape = shape.members[name]
    return shape


def _request(
    arguments: Mapping[str, Any], defaults: Mapping[str, Any], shape: StructureShape, problems: Problems
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the request without run settings, as far as it is right, and the arguments with defaults."""
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
        problems.add("workflow_type READY2RUN is not possible: a batch has runs of private workflows only")
    else:
        problems.add(*contradictions(given, chosen))
    return request, chosen


def _batch_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connection's defaults for batches. Its tags mark all that is started through it."""
    known = {name: value for name, value in defaults.items() if name in BATCH_ARGUMENTS}
    if "tags" in known:
        known["run_tags"] = known["tags"]
    return known


def _why_not_of_a_batch(name: str) -> str:
    if name == "run_id":
        return _NO_DUPLICATES
    if name in ARGUMENTS:
        return "is for single runs only: StartRunBatch has no such field"
    return "is no argument of a run batch"


class _SettingsReader:
    """
    Reads run settings, and checks them by themselves and with what all runs have in common.

    :param common: the request's ``defaultRunSetting``, as far as it is right
    :param has_output_uri: whether the arguments or defaults have an output URI, right or wrong
    :param shape: of a run setting in the installed botocore
    :param problems: takes what is wrong
    """

    def __init__(
        self, common: Mapping[str, Any], has_output_uri: bool, shape: StructureShape, problems: Problems
    ) -> None:
        self._has_output_uri = has_output_uri
        self._shape = shape
        self._problems = problems
        self._tag_keys: Collection[str] = common.get("runTags", {}).keys()
        # By these the size of merged parameters is found without merging them.
        self._entry_sizes = {
            key: _entry_size(key, value) for key, value in common.get("parameters", {}).items()
        }
        self._entries_size = sum(self._entry_sizes.values())
        self._positions: dict[str, int] = {}
        self._rows_of: dict[str, list[int]] = {}

    def read(self, run_settings: Any) -> list[dict[str, Any]]:
        """Return the run settings by the API's names, as far as they are right."""
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
        """Take note of a mistake in the form, which may be the same in many rows."""
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
                self._problems.add(f"{path}.run_setting_id is the same as that of run_settings[{first}]")
        self._check_merged(fields, path)
        return fields

    def _check_merged(self, fields: Mapping[str, Any], path: str) -> None:
        if self._entry_sizes and (parameters := fields.get("parameters")):
            replaced = sum(self._entry_sizes[key] for key in parameters if key in self._entry_sizes)
            # Braces are in the size of the run's own, and so is one comma less than there are entries.
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
    """Yield why something is no list of run settings at all."""
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
    Return the form of run settings, and which rows break it in which way.

    :param rows_of: rows by mistake, which follows ``run_settings[rows]`` in the sentence
    """
    mistakes = [f"run_settings[{_ranges(rows)}]{mistake}" for mistake, rows in rows_of.items()]
    more = len(mistakes) - _MAX_MISTAKES
    mistakes[_MAX_MISTAKES:] = [f"and {more:,} more mistakes"] if more > 0 else []
    return f"{_FORM}; {'; '.join(mistakes)}"


def _ranges(rows: Sequence[int]) -> str:
    """Return ascending row numbers as text, such as ``0, 2-5``, and how many more there are."""
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
            yield f" has a key that is not text, of type {type(key).__name__}"
        elif key == "run_id":
            yield f".{key} {_NO_DUPLICATES}"
        elif key == "tags":
            yield f".{key} is for the whole batch: the tags of a run are its run_tags"
        elif key in BATCH_ARGUMENTS:
            yield f".{key} is for the whole batch: give it beside run_settings, not in one"
        elif key in _SETTING_FIELDS:
            yield f".{key} is written {_SETTING_FIELDS[key]} here"
        else:
            yield f".{key} is unknown"


def _output_uri_problem(lacking: Sequence[int], count: int) -> str:
    if len(lacking) == count:
        return f"output_uri is required, {FROM_SOMEWHERE}, or in every run setting"
    others = f" and {len(lacking) - 1:,} more have none" if len(lacking) > 1 else " has none"
    return f"output_uri is required: run_settings[{lacking[0]}]{others}, and there is no default for it"


def _entry_size(key: str, value: Any) -> int:
    """Return the bytes of an entry in a JSON object: with its comma, without the braces."""
    return json_size({key: value}) - 1
