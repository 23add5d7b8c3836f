# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""An Airflow with several schedulers, triggerers and Celery workers, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dev.fab_airflow import FabAirflow
from dev.local_airflow import PROCESSES
from dev.services import PostgreSQL, Redis

#: Log line of a Celery worker that is ready for messages.
_WORKER_IS_READY: Final = " ready."


class DistributedAirflow(FabAirflow):
    """
    A real Airflow as in production: CeleryExecutor with Redis, PostgreSQL, FAB auth manager, and several
    schedulers, triggerers and workers.

    It requires apache-airflow[celery,fab,postgres] and celery[redis], and starts in about a minute.

    :param dags_folder: folder of the DAGs; they are unpaused
    :param postgresql: Airflow's database and Celery's result backend
    :param redis: Celery's broker
    :param schedulers: number of schedulers
    :param triggerers: number of triggerers
    :param workers: number of Celery workers
    :param worker_concurrency: concurrent tasks of a worker
    :param more: further arguments of :class:`FabAirflow`
    """

    def __init__(
        self,
        dags_folder: Path,
        *,
        postgresql: PostgreSQL,
        redis: Redis,
        schedulers: int = 2,
        triggerers: int = 2,
        workers: int = 2,
        worker_concurrency: int = 4,
        **more: Any,
    ) -> None:
        # Per scheduler. More than the workers' concurrency, since a task counts until its message is done,
        # and that is late after its worker was killed.
        super().__init__(dags_folder, parallelism=2 * workers * worker_concurrency, **more)
        self.postgresql = postgresql
        self.redis = redis
        self.worker_concurrency = worker_concurrency
        self._schedulers = _named("scheduler", schedulers)
        self._triggerers = _named("triggerer", triggerers)
        self._workers = _named("worker", workers)
        self.processes = {
            **{name: PROCESSES[name] for name in ("api-server", "dag-processor")},
            **{name: PROCESSES["scheduler"] for name in self._schedulers},
            **{name: PROCESSES["triggerer"] for name in self._triggerers},
            **{name: _worker_arguments(name) for name in self._workers},
        }

    def restart_process(self, name: str) -> None:
        """Kill a process and its children, like a machine failure, and start it again."""
        self.stop_process(name, gracefully=False)
        self.start_process(name)

    def _sections(self) -> dict[str, dict[str, object]]:
        sections = super()._sections()
        sections["core"]["executor"] = "CeleryExecutor"
        sections["database"]["sql_alchemy_conn"] = self.postgresql.url
        sections["celery"] = {
            "broker_url": self.redis.url,
            "result_backend": f"db+{self.postgresql.url}",
            "worker_concurrency": self.worker_concurrency,
        }
        return sections

    def _is_healthy(self) -> bool:
        return super()._is_healthy() and self._are_jobs_running() and self._are_workers_ready()

    def _are_jobs_running(self) -> bool:
        ((count,),) = self.postgresql.query(
            "SELECT count(*) FROM job"
            " WHERE state = 'running' AND job_type IN ('SchedulerJob', 'TriggererJob')"
        )
        return int(count) == len(self._schedulers) + len(self._triggerers)

    def _are_workers_ready(self) -> bool:
        return all(
            _WORKER_IS_READY in self._log_path(name).read_text(errors="replace") for name in self._workers
        )


def _named(component: str, count: int) -> list[str]:
    return [f"{component}-{number}" for number in range(1, count + 1)]


def _worker_arguments(name: str) -> Sequence[str]:
    return ("celery", "worker", "--skip-serve-logs", "--celery-hostname", name)
