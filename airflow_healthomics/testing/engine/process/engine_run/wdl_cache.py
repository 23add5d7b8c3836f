# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""miniwdl's configuration, and its call cache as the run cache of HealthOmics."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from WDL.runtime import cache as wdl_cache
from WDL.runtime import config as wdl_config

from .events import Events
from .tasks import TASKS


def configuration(logger: logging.Logger, cache: str | None = None) -> wdl_config.Loader:
    """
    Return a configuration that depends on no file.

    Tasks may ask for more CPUs and memory than this machine has. Plugins of the environment are not used,
    and nothing is downloaded.

    :param cache: Directory of a call cache.
    """
    used = cache is not None
    return wdl_config.Loader(
        logger,
        [],
        {
            "scheduler": {"container_backend": "host", "scatter_tag_max": "0"},
            "task_runtime": {"cpu_max": "-1", "memory_max": "-1"},
            "call_cache": {"get": str(used), "put": str(used), "dir": cache or os.devnull},
            "plugins": {"enable_patterns": '["WDL.*"]', "disable_patterns": '["WDL.runtime.download:*"]'},
        },
    )


class RunCache(wdl_cache.CallCache):
    """
    Finds the outputs of tasks in a run cache, and stores those of this run elsewhere.

    Whether they get into the run cache is decided at the end of the run. Outputs of whole workflows are never
    found, so that each task of them is seen to be a hit.

    :param tasks: Names of tasks by the first part of their keys.
    :param found: Directory of the run cache, if the run has one.
    :param stored: Directory for the outputs of this run.
    """

    def __init__(
        self,
        events: Events,
        tasks: Mapping[str, str],
        logger: logging.Logger,
        *,
        found: str | None,
        stored: str | None,
    ) -> None:
        super().__init__(configuration(logger, stored), logger)
        self._events, self._tasks = events, tasks
        self._found = wdl_cache.CallCache(configuration(logger, found), logger)
        self._directories = found, stored

    def get(self, key: str, inputs: Any, output_types: Any) -> Any:
        """Return the outputs of a task, or None."""
        outputs = self._found.get(key, inputs, output_types) if self._task(key) else None
        if outputs is not None:
            self._entry_add_paths[key] = self._found.get_add_paths(key)
            description = json.loads(Path(f"{self._directories[0]}/{key}.task").read_text())
            self._events.send("cached", key=key, **description)
        return outputs

    def put(self, key: str, outputs: Any, run_dir: str | None = None, **more: Any) -> None:
        """Store the outputs of a task. That completes the task."""
        super().put(key, outputs, run_dir=run_dir, **more)
        if (name := self._task(key)) and run_dir:
            description = TASKS.complete(run_dir, name)
            if stored := self._directories[1]:
                Path(f"{stored}/{key}.task").write_text(json.dumps(description))

    def _task(self, key: str) -> str | None:
        return self._tasks.get(key.rpartition("/")[0])
