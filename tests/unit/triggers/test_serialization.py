# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The serialization of each trigger."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from typing import Any

import pytest

from airflow_healthomics.triggers import (
    HealthOmicsJobTrigger,
    HealthOmicsRunBatchEventTrigger,
    HealthOmicsRunBatchTrigger,
    HealthOmicsRunEndTrigger,
    HealthOmicsRunEventTrigger,
    HealthOmicsRunTrigger,
)
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger

CONNECTION: dict[str, Any] = {
    "aws_conn_id": "my_aws",
    "region_name": "eu-west-1",
    "verify": "/etc/ca.pem",
    "botocore_config": {"connect_timeout": 5},
}
WAIT: dict[str, Any] = {
    "uuid": "96c57683-74bf-9d6d-ae7e-f09b097db14a",
    "waiter_delay": 30,
    "grace": 60.0,
    "is_deletion": True,
    "cancel_on_kill": True,
    **CONNECTION,
}

SEARCH: dict[str, Any] = {
    "statuses": ["FAILED"],
    "workflow_id": "7",
    "workflow_name": "germline",
    "run_group_id": "9",
    "run_name_pattern": "sample-*",
    "tags": {"lab": "a"},
    "poll_interval": 30,
    **CONNECTION,
}

WATCHING: dict[str, Any] = {
    "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/ends",
    "owns_queue": False,
    "reconcile_interval": 600,
    "lookback": 60,
}

#: Class path, all arguments, and the required ones.
TRIGGERS: dict[Any, tuple[str, dict[str, Any], dict[str, Any]]] = {
    HealthOmicsRunTrigger: (
        "airflow_healthomics.triggers.run.HealthOmicsRunTrigger",
        {
            "run_id": "1234567",
            "creation_time": "2026-11-22T03:04:05+00:00",
            "list_filter": ["runGroupId", "7"],
            **WAIT,
        },
        {"run_id": "1"},
    ),
    HealthOmicsRunBatchTrigger: (
        "airflow_healthomics.triggers.batch.HealthOmicsRunBatchTrigger",
        {"batch_id": "1234567", "report": {"success_policy": "95%", "folder": None}, **WAIT},
        {"batch_id": "1"},
    ),
    HealthOmicsJobTrigger: (
        "airflow_healthomics.triggers.job.HealthOmicsJobTrigger",
        {
            "kind": "read set export job",
            "store_id": "1234567890",
            "job_id": "1234567891",
            "grace": 60.0,
            "earlier": ["1234567889"],
            "waiter_delay": 30,
            **CONNECTION,
        },
        {"kind": "read set import job", "store_id": "1234567890", "job_id": "1234567891"},
    ),
    HealthOmicsRunEventTrigger: (
        "airflow_healthomics.triggers.run_event.HealthOmicsRunEventTrigger",
        {**SEARCH, **WATCHING},
        {},
    ),
    HealthOmicsRunBatchEventTrigger: (
        "airflow_healthomics.triggers.batch_event.HealthOmicsRunBatchEventTrigger",
        {
            **{name: value for name, value in SEARCH.items() if name != "run_name_pattern"},
            "batch_name_pattern": "nightly-*",
            **WATCHING,
        },
        {},
    ),
    HealthOmicsRunEndTrigger: (
        "airflow_healthomics.triggers.run_end.HealthOmicsRunEndTrigger",
        {**SEARCH, "since": "2026-11-22T03:04:05+00:00"},
        {"since": "2026-11-22T03:04:05+00:00", "statuses": ["FAILED"]},
    ),
    HealthOmicsStartTrigger: (
        "airflow_healthomics.triggers.start.HealthOmicsStartTrigger",
        {
            "targets": [{"kind": "run", "id": None, "uuid": None, "name": "a-run"}],
            "request": "sealed",
            "kind": "batch",
            "turns": 3,
            "conflict_turns": 2,
            "failures": 0,
            "since": 1764000000.5,
            **CONNECTION,
            "cancel_on_kill": False,
        },
        {"turns": 2},
    ),
    HealthOmicsStatusTrigger: (
        "airflow_healthomics.triggers.status.HealthOmicsStatusTrigger",
        {
            "kind": "workflow version",
            "resource_id": "1234567",
            "version_name": "1.2",
            "is_new": True,
            "is_deletion": True,
            "waiter_delay": 10,
            **CONNECTION,
        },
        {"kind": "configuration", "resource_id": "a-vpc"},
    ),
}

#: Arguments of base classes that a trigger does not accept: HealthOmics cannot cancel a job, nor a creation.
NOT_ACCEPTED: dict[Any, set[str]] = {
    HealthOmicsJobTrigger: {"cancel_on_kill"},
    HealthOmicsStatusTrigger: {"cancel_on_kill"},
}

EACH = pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: trigger.__name__)


@EACH
def test_its_class_path_never_moves(trigger: Any) -> None:
    """Users' databases contain it."""
    path, _, least = TRIGGERS[trigger]
    assert trigger(**least).serialize()[0] == path


@EACH
@pytest.mark.parametrize("which", ["all", "least", "no-verification"])
def test_it_survives_the_database(trigger: Any, which: str) -> None:
    """As JSON under its class path, with every argument."""
    _, every, least = TRIGGERS[trigger]
    arguments = {"all": every, "least": least, "no-verification": every | {"verify": False}}[which]
    path, kwargs = trigger(**arguments).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert arguments.items() <= kwargs.items()


@EACH
def test_every_argument_is_serialized(trigger: Any) -> None:
    """A missing argument would be lost in the triggerer."""
    _, every, _ = TRIGGERS[trigger]
    names = {
        name
        for base in trigger.__mro__
        if base.__module__.startswith("airflow_healthomics")
        for name in inspect.signature(base).parameters
    } - {"connection", "watching", *NOT_ACCEPTED.get(trigger, ())}
    assert set(trigger(**every).serialize()[1]) == names == set(every)
