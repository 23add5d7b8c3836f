# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and Redis for a local Airflow: Debian's packages, with temporary data and free ports."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Self

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from dev.ports import free_port
from dev.sessions import Guard, kill

#: Seconds.
START_LIMIT: Final = 60
STOP_LIMIT: Final = 10
QUERY_LIMIT: Final = 60

HOST: Final = "127.0.0.1"


class ServiceError(Exception):
    """A service did not start, or rejected a query; the message ends with its output."""


class Service(ABC):
    """A server on the loopback address that starts empty and removes its data when it stops."""

    #: Debian's package.
    package: ClassVar[str]
    #: Programs that must be installed.
    programs: ClassVar[Sequence[str]]

    def __init__(self) -> None:
        self.port = 0
        self.password = secrets.token_hex(16)
        self.directory = Path()
        self._guard: Guard | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def is_installed(cls) -> bool:
        """Whether all programs are installed."""
        return all(_find(program) for program in cls.programs)

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, with the password."""

    def start(self) -> Self:
        """Start the server, and wait until it answers."""
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.package}-"))
        self.port = free_port()
        self._guard = Guard()
        try:
            self._process = self._launch()
            self._guard.watch(self._process.pid)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server, and remove its data."""
        try:
            if self._process is not None:
                # PostgreSQL's "fast" shutdown: disconnects its clients instead of waiting for them.
                self._process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_LIMIT)
        finally:
            if self._process is not None:
                kill(self._process.pid)
                self._process.wait()
                self._process = None
            if self._guard is not None:
                self._guard.close()
                self._guard = None
            if self.directory.name:
                shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]:
        """Start the server's process."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers."""

    def _environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def _owner(self) -> Mapping[str, Any]:
        """Return arguments of Popen for the user of the process."""
        return {}

    def _popen(
        self, program: str, *arguments: str, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        with self._log() as log:
            return subprocess.Popen(
                [_find(program) or program, *arguments],
                cwd=self.directory,
                env=self._environ(),
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._owner(),
            )

    def _log(self) -> IO[bytes]:
        return (self.directory / "output").open("ab")

    def _output(self) -> str:
        return (self.directory / "output").read_text(errors="replace")

    def _wait_until_ready(self) -> None:
        def attempt() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise ServiceError(f"{self.package} ended with {self._process.returncode}\n{self._output()}")
            return self._is_ready()

        retrying = Retrying(
            retry=retry_if_result(lambda ready: not ready),
            wait=wait_fixed(0.1),
            stop=stop_after_delay(START_LIMIT),
        )
        try:
            retrying(attempt)
        except RetryError:
            raise ServiceError(
                f"{self.package} did not answer within {START_LIMIT} seconds\n{self._output()}"
            ) from None


class PostgreSQL(Service):
    """A PostgreSQL cluster with one database and one user."""

    package = "postgresql"
    programs = ("initdb", "postgres", "psql")
    user: Final = "airflow"
    database: Final = "postgres"

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy."""
        return f"postgresql+psycopg2://{self.user}:{self.password}@{HOST}:{self.port}/{self.database}"

    def query(self, statement: str) -> list[list[str]]:
        """
        Return the rows of a query, with all values as text.

        :raises ServiceError: if PostgreSQL rejects it
        """
        done = self._psql(statement)
        if done.returncode:
            raise ServiceError(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def _psql(self, statement: str) -> subprocess.CompletedProcess[str]:
        where = {"PGHOST": HOST, "PGPORT": str(self.port), "PGUSER": self.user, "PGPASSWORD": self.password}
        return subprocess.run(
            [
                _find("psql") or "psql",
                *("--no-psqlrc", "--no-align", "--tuples-only", "--field-separator=\t"),
                f"--dbname={self.database}",
                f"--command={statement}",
            ],
            env={**self._environ(), **where},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=QUERY_LIMIT,
        )

    def _launch(self) -> subprocess.Popen[bytes]:
        password = self.directory / "password"
        password.write_text(self.password)
        if owner := self._owner():
            for path in (self.directory, password):
                shutil.chown(path, owner["user"], owner["group"])
        data = str(self.directory / "data")
        initdb = self._popen(
            "initdb",
            *("--pgdata", data, "--username", self.user, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-sync"),
        )
        if code := initdb.wait(START_LIMIT):
            raise ServiceError(f"initdb ended with {code}\n{self._output()}")
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            # Each process of Airflow has a pool of connections.
            "max_connections": "300",
            # Several times faster, and safe unless the machine crashes.
            "fsync": "off",
            "full_page_writes": "off",
        }
        return self._popen("postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items()))

    def _is_ready(self) -> bool:
        return self._psql("SELECT 1").returncode == 0

    def _owner(self) -> Mapping[str, Any]:
        # PostgreSQL refuses to run as root. Debian's package creates a user.
        return {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.geteuid() == 0 else {}


class Redis(Service):
    """A Redis without persistence."""

    package = "redis-server"
    programs = ("redis-server",)

    @property
    def url(self) -> str:
        """The URL for Celery."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {
            "bind": HOST,
            "port": self.port,
            "requirepass": self.password,
            "dir": self.directory,
            "save": '""',
        }
        # Standard input keeps the password out of process listings.
        process = self._popen("redis-server", "-", stdin=subprocess.PIPE)
        if process.stdin is not None:
            with process.stdin as config:
                config.write("".join(f"{name} {value}\n" for name, value in settings.items()).encode())
        return process

    def _is_ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def _find(program: str) -> str | None:
    # Debian does not put PostgreSQL's server programs on PATH.
    folders = [os.environ["PATH"], *sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return shutil.which(program, path=os.pathsep.join(folders))
