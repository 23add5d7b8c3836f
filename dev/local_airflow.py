# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A real Airflow on this machine, for the demo, the system tests and the benchmarks."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar
from urllib.parse import quote

import requests
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from dev.ports import free_port
from dev.sessions import Guard, kill

T = TypeVar("T")

#: The arguments of ``airflow`` by process name. Without log servers, since these would listen on every
#: address, and the API server can read the files.
PROCESSES: Final[Mapping[str, Sequence[str]]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}

ENDED_DAG_RUN: Final = frozenset({"success", "failed"})
ENDED_TASK: Final = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

#: Seconds. The limits are generous, because only a defect reaches them.
START_LIMIT: Final = 180
WAIT_LIMIT: Final = 300
#: A scheduler waits for its running tasks before it stops.
STOP_LIMIT: Final = 8

_NOBODYS_PORT: Final = 1

#: Variables that Airflow inherits. No proxies, no Python path, and nothing of AWS or another Airflow.
_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME")

_LOCAL_SETTINGS: Final = '''\
"""Shorten the poll intervals of this provider's tasks, hide host names, and extend timeouts."""


def task_policy(task):
    operator = getattr(task, "operator_class", type(task))
    if not operator.__module__.startswith("airflow_healthomics."):
        return
    name = "poke_interval" if hasattr(operator, "poke") else "waiter_delay"
    if hasattr(task, "partial_kwargs"):
        task.partial_kwargs[name] = {poll_seconds}
    else:
        setattr(task, name, {poll_seconds})


def hostname():
    return "127.0.0.1"


# With SQLite's default of 5 seconds, the scheduler may exit with "database is locked".
CONNECT_ARGS = {{"timeout": 60}}
'''


class LocalAirflowError(Exception):
    """A wait for Airflow failed; the message ends with the last lines of its logs."""


class LocalAirflow:
    """
    A real Airflow in separate processes: API server, scheduler, DAG processor and triggerer.

    It writes only to a temporary directory, listens on a free port of the loopback address, and inherits no
    settings of AWS or another Airflow. It starts in about half a minute.

    :param dags_folder: folder of the DAGs; they are unpaused
    :param environment: variables of all processes, such as ``HealthOmicsServer.environ`` or
        ``AIRFLOW__SECTION__KEY``
    :param connections: connections by id, in Airflow's JSON form
    :param poll_seconds: ``waiter_delay`` and ``poke_interval`` of all tasks of this provider, overriding the
        DAGs
    :param parallelism: concurrent tasks of the LocalExecutor
    :param separate_execution_api: whether tasks use a separate API server. With a shared one, a change by
        REST waits on the event loop for SQLite's lock (Airflow's action_logging). A task may hold this lock
        while its request waits for the same event loop, until both fail.
    :param other_users: roles of further users by name; "" for a user without permissions
    :param python: interpreter of an environment with Airflow; by default this one
    :param modules: modules to run with ``python -m`` instead of ``airflow``, by component
    :param say: called with a text for each step
    :ivar processes: arguments of ``airflow`` by process name; :meth:`start` starts all of them
    :ivar home: AIRFLOW_HOME; removed by :meth:`stop`
    :ivar passwords: by user name
    """

    username: Final = "admin"

    def __init__(
        self,
        dags_folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        poll_seconds: float = 1.0,
        parallelism: int = 4,
        separate_execution_api: bool = False,
        other_users: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
        modules: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.dags_folder = dags_folder
        self.poll_seconds = poll_seconds
        self.parallelism = parallelism
        self.separate_execution_api = separate_execution_api
        self.python = str(python)
        self.modules = dict(modules or {})
        self._roles = {self.username: "admin", **(other_users or {})}
        # Airflow masks the password everywhere in its logs, so it must not be a common word.
        self.passwords = {username: secrets.token_urlsafe(9) for username in self._roles}
        self.password = self.passwords[self.username]
        self._secret = secrets.token_hex(32)
        self.processes: Mapping[str, Sequence[str]] = PROCESSES
        self.home = Path()
        self.url = ""
        self._execution_url = ""
        self._environment = dict(environment or {})
        self._connections = dict(connections or {})
        self._say = say
        self._guard: Guard | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._sending = threading.Lock()
        self._http = requests.Session()
        # Ignore proxies of the machine.
        self._http.trust_env = False

    # --- processes ---

    def start(self) -> Self:
        """Migrate the database, start the processes, and wait until all are healthy."""
        self.home = Path(tempfile.mkdtemp(prefix="airflow-"))
        self.url = f"http://127.0.0.1:{free_port()}"
        if self.separate_execution_api:
            port = free_port()
            self._execution_url = f"http://127.0.0.1:{port}"
            arguments = ("api-server", "--apps", "execution", "--port", str(port))
            self.processes = {**self.processes, "execution-api": arguments}
        self._guard = Guard()
        try:
            self._write_settings()
            self._say("Creating Airflow's database")
            self._create_database()
            self._say(f"Starting Airflow: {', '.join(self.processes)}")
            for name in self.processes:
                self.start_process(name)
            self._until(self._is_healthy, "Airflow is healthy", START_LIMIT)
            self._log_in()
            self._say(f"Airflow is healthy: {self.url}")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all processes, and remove all files of Airflow."""
        try:
            for process in self._processes.values():
                process.terminate()
            deadline = time.monotonic() + STOP_LIMIT
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, deadline - time.monotonic()))
        finally:
            # Also after an interrupt.
            if self._guard is not None:
                self._guard.close()
                self._guard = None
            for process in self._processes.values():
                process.wait()
            self._processes.clear()
            self._http.close()
            if self.home.name:
                shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_process(self, name: str, *, component: str | None = None) -> None:
        """
        Start a process.

        :param name: unique name, such as ``triggerer`` or ``triggerer-2``
        :param component: one of :attr:`processes`; the name by default
        """
        with self._log_path(name).open("ab") as log:
            self._processes[name] = self._spawn(self.processes[component or name], log)

    def stop_process(self, name: str, *, gracefully: bool = True) -> None:
        """
        Stop a process and its children.

        :param name: its name
        :param gracefully: whether to send SIGTERM and wait first; otherwise it is killed immediately
        """
        process = self._processes[name]
        if gracefully:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT)
        self._kill(process)
        del self._processes[name]

    def process_id(self, name: str) -> int:
        """Return the id of a process. It is the leader of its session."""
        return self._processes[name].pid

    def run_cli(self, *arguments: str) -> str:
        """
        Run a command of ``airflow`` and return its standard output.

        :raises LocalAirflowError: if it fails or hangs
        """
        with tempfile.TemporaryFile() as output, self._log_path("cli").open("ab") as log:
            process = self._spawn(arguments, output, log)
            try:
                code: int | str = process.wait(START_LIMIT)
            except subprocess.TimeoutExpired:
                code = f"nothing in {START_LIMIT} seconds"
            finally:
                self._kill(process)
            output.seek(0)
            text = output.read().decode()
        if code:
            raise LocalAirflowError(
                f"airflow {' '.join(arguments)} ended with {code}\n{text}\n{self.log_tails()}"
            )
        return text

    def log_tails(self, lines: int = 25) -> str:
        """Return the last lines of every process's log."""
        tails = []
        for path in sorted(self.home.glob("process-*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            tails.append("\n".join([f"--- {path.stem.removeprefix('process-')} ---", *tail]))
        return "\n".join(tails)

    # --- REST ---

    def trigger_dag(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, *, run_id: str | None = None
    ) -> str:
        """Wait for a DAG, trigger it, and return the id of the DAG run."""
        self._until(lambda: self._has_dag(dag_id), f"DAG {dag_id} is parsed", WAIT_LIMIT)
        run_id = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        # With a fixed id, a repeated request after an error of SQLite does not start a second run.
        with self._sending:
            response = self._request("POST", f"dags/{dag_id}/dagRuns", json=body)
        if response.status_code != requests.codes.conflict:
            self._checked(response)
        return run_id

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a DAG run."""
        run: dict[str, Any] = self.get(_run_path(dag_id, run_id))
        return run

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a DAG run."""
        found: list[dict[str, Any]] = self.get(_run_path(dag_id, run_id, "taskInstances"))["task_instances"]
        return found

    def mark_dag_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Set a DAG run to success or failed, like a user."""
        self.send("PATCH", _run_path(dag_id, run_id), {"state": state})

    def delete_dag_run(self, dag_id: str, run_id: str) -> None:
        """Delete a finished DAG run."""
        self.send("DELETE", _run_path(dag_id, run_id))

    def mark_task(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Set a task instance to success, failed or skipped, like a user."""
        self.send("PATCH", _run_path(dag_id, run_id, "taskInstances", task_id), {"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task instance, so that it runs again."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self.send("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task instance."""
        path = _run_path(
            dag_id, run_id, "taskInstances", task_id, *([str(map_index)] if map_index >= 0 else [])
        )
        found: dict[str, Any] = self.get(path)
        return found

    def wait_for_dag_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        look: Callable[[], object] = lambda: None,
        limit: float = WAIT_LIMIT,
    ) -> str:
        """
        Wait for the end of a DAG run, and return its state.

        :param look: called at every poll
        """

        def ended() -> str | None:
            look()
            state = str(self.dag_run(dag_id, run_id)["state"])
            return state if state in ENDED_DAG_RUN else None

        return self._until(ended, f"DAG run {run_id} of {dag_id} has ended", limit)

    def wait_for_task_state(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *states: str,
        map_index: int = -1,
        limit: float = WAIT_LIMIT,
    ) -> str:
        """
        Wait until a task instance has one of the states, and return it.

        :raises LocalAirflowError: after the limit, or if the task instance ends in another state
        """

        def reached() -> str | None:
            state = self.task_instance(dag_id, run_id, task_id, map_index)["state"]
            if state in ENDED_TASK and state not in states:
                log = self.task_log(dag_id, run_id, task_id, map_index=map_index)
                raise LocalAirflowError(f"{dag_id}.{task_id} is {state}, not {' or '.join(states)}\n{log}")
            return str(state) if state in states else None

        return self._until(reached, f"{dag_id}.{task_id} is {' or '.join(states)}", limit)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1
    ) -> Any:
        """Return the stored value of an XCom. The API would deserialize a text of digits to a number."""
        path = _run_path(dag_id, run_id, "taskInstances", task_id, "xcomEntries", key)
        return self.get(path, map_index=map_index)["value"]

    def links(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, str | None]:
        """Return the extra links of a task instance: URLs by name, or None for missing ones."""
        path = _run_path(dag_id, run_id, "taskInstances", task_id, "links")
        links: dict[str, str | None] = self.get(path, map_index=map_index)["extra_links"]
        return links

    def wait_for_links(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, limit: float = WAIT_LIMIT
    ) -> dict[str, str]:
        """Wait for all extra links of a task instance, and return them."""

        def complete() -> dict[str, str] | None:
            links = self.links(dag_id, run_id, task_id, map_index=map_index)
            there = {name: url for name, url in links.items() if url}
            return there if there.keys() == links.keys() else None

        return self._until(complete, f"{dag_id}.{task_id} has all its links", limit)

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int | None = None, map_index: int = -1
    ) -> str:
        """Return the log of a task instance, one event per line, including error messages."""
        if try_number is None:
            try_number = self.task_instance(dag_id, run_id, task_id, map_index)["try_number"]
        path = _run_path(dag_id, run_id, "taskInstances", task_id, "logs", str(try_number))
        content = self.get(path, map_index=map_index, full_content=True)["content"]
        return "\n".join(line for event in content for line in _log_lines(event))

    def token(self, username: str) -> str:
        """Return a token of a user for Airflow's API."""
        login = {"username": username, "password": self.passwords[username]}
        answer = self._checked(self._http.post(f"{self.url}/auth/token", json=login, timeout=30))
        return str(answer.json()["access_token"])

    def get(self, path: str, **query: Any) -> Any:
        """
        Ask the REST API.

        :param path: below ``/api/v2/``
        :param query: its query parameters
        """
        return self._checked(self._request("GET", path, params=query)).json()

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        """
        Change something by the REST API.

        :param method: POST, PATCH or DELETE
        :param path: below ``/api/v2/``
        :param body: sent as JSON
        """
        # One at a time: concurrent changes wait for SQLite's lock, and block all other requests.
        with self._sending:
            self._checked(self._request(method, path, json=body))

    def wait_until(self, probe: Callable[[], T | None], what: str, limit: float = WAIT_LIMIT) -> T:
        """
        Wait until a probe returns a true value, and return it.

        :param probe: called at every poll
        :param what: condition, to name in the error
        :raises LocalAirflowError: after the limit, or if a process of Airflow died
        """
        return self._until(probe, what, limit)

    # --- inside ---

    def _environ(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        connections = {
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in self._connections.items()
        }
        settings = {
            f"AIRFLOW__{section}__{key}".upper(): str(value)
            for section, values in self._sections().items()
            for key, value in values.items()
        }
        # HOME, too, so that no ~/.aws is read.
        home = {"HOME": str(self.home), "AIRFLOW_HOME": str(self.home)}
        return {**inherited, **home, **settings, **connections, **self._environment}

    def _sections(self) -> dict[str, dict[str, object]]:
        """Return Airflow's settings by section."""
        sections: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self.dags_folder.resolve(),
                "executor": "LocalExecutor",
                "parallelism": self.parallelism,
                "load_examples": False,
                "dags_are_paused_at_creation": False,
                "execution_api_server_url": f"{self._execution_url or self.url}/execution/",
                "simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in self._roles.items()),
                "simple_auth_manager_passwords_file": self.home / "passwords.json",
                "hostname_callable": "airflow_local_settings.hostname",
            },
            "api": {
                "host": "127.0.0.1",
                "port": self.url.rpartition(":")[2],
                "base_url": self.url,
                "secret_key": self._secret,
            },
            "api_auth": {"jwt_secret": self._secret},
            "dag_processor": {"refresh_interval": 5, "dag_bundle_storage_path": self.home / "bundles"},
            "database": {},
            "logging": {
                "base_log_folder": self.home / "logs",
                "colored_console_log": False,
                # Log lines of requests would bury the rest.
                "namespace_levels": "http.access=WARNING",
                # Besides reading the file, the API server requests the log of an unfinished task from this
                # port. Nothing may listen there, such as another Airflow on the default port.
                "trigger_log_server_port": _NOBODYS_PORT,
                "worker_log_server_port": _NOBODYS_PORT,
            },
        }
        if self._execution_url:
            sections["database"]["sql_alchemy_connect_args"] = "airflow_local_settings.CONNECT_ARGS"
        return sections

    def _create_database(self) -> None:
        self.run_cli("db", "migrate")

    def _write_settings(self) -> None:
        config = self.home / "config"
        config.mkdir()
        (config / "airflow_local_settings.py").write_text(
            _LOCAL_SETTINGS.format(poll_seconds=float(self.poll_seconds))
        )
        (self.home / "passwords.json").write_text(json.dumps(self.passwords))

    def _spawn(
        self, arguments: Sequence[str], stdout: IO[bytes], stderr: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self.python, "-m", self.modules.get(arguments[0], "airflow"), *arguments],
            cwd=self.home,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr or subprocess.STDOUT,
            start_new_session=True,
        )
        if self._guard is not None:
            self._guard.watch(process.pid)
        return process

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        kill(process.pid)
        process.wait()
        if self._guard is not None:
            self._guard.forget(process.pid)

    def _log_path(self, name: str) -> Path:
        return self.home / f"process-{name}.log"

    def _is_healthy(self) -> bool:
        try:
            response = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=10)
        except requests.RequestException:
            return False
        health = response.json() if response.ok else {}
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def _log_in(self) -> None:
        self._http.headers["Authorization"] = f"Bearer {self.token(self.username)}"

    def _has_dag(self, dag_id: str) -> bool:
        response = self._request("GET", f"dags/{dag_id}")
        if response.status_code != requests.codes.not_found:
            self._checked(response)
            return True
        if errors := self.get("importErrors")["import_errors"]:
            raise LocalAirflowError("\n".join(error["stack_trace"] for error in errors))
        return False

    def _request(self, method: str, path: str, **more: Any) -> requests.Response:
        # SQLite allows one writer at a time, and Airflow answers 500 to the second.
        retrying = Retrying(
            retry=retry_if_exception_type((requests.ConnectionError, requests.Timeout))
            | retry_if_result(lambda response: response.status_code >= requests.codes.server_error),
            wait=wait_fixed(0.5),
            stop=stop_after_delay(60),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        response: requests.Response = retrying(
            self._http.request, method, f"{self.url}/api/v2/{path}", timeout=30, **more
        )
        return response

    def _checked(self, response: requests.Response) -> requests.Response:
        if not response.ok:
            request = response.request
            raise LocalAirflowError(f"{request.method} {request.url}: {response.status_code} {response.text}")
        return response

    def _until(self, probe: Callable[[], T | None], what: str, limit: float) -> T:
        """Probe until the answer is true, while all processes live."""

        def attempt() -> T | None:
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if dead:
                raise LocalAirflowError(f"{', '.join(dead)} ended unexpectedly\n{self.log_tails()}")
            return probe()

        retrying = Retrying(
            retry=retry_if_result(lambda answer: not answer),
            wait=wait_fixed(0.5),
            stop=stop_after_delay(limit),
        )
        try:
            answer = retrying(attempt)
        except RetryError:
            raise LocalAirflowError(f"Not within {limit} seconds: {what}\n{self.log_tails()}") from None
        return answer  # type: ignore[return-value]  # not None, or it would still be retried


def _run_path(dag_id: str, run_id: str, *more: str) -> str:
    return "/".join(("dags", dag_id, "dagRuns", *(quote(part, safe="") for part in (run_id, *more))))


def _log_lines(event: dict[str, Any] | str) -> list[str]:
    if isinstance(event, str):
        return [event]
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in event.get("error_detail") or ()]
    return [str(event["event"]), *errors]
