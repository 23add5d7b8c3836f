# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A server of HealthOmics and all of moto at one address, for any AWS client in any process."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from .activation import activated
from .control import ERRORS, PATH, Control, perform
from .local import LOCAL
from .omics.computations import COMPUTATIONS
from .omics.exceptions import NotImplementedHereError
from .omics.models import apply_all_due_transitions
from .omics.side_effects import forget_unread
from .options import Options

log = logging.getLogger(__name__)

#: The service in the Authorization header of a signed request.
SIGNED_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")

#: Seconds between applications of due transitions without calls; much shorter than the default states.
TICK_SECONDS = 0.05


class HealthOmicsServer:
    """
    A server of the local HealthOmics, in a thread of this process.

    It starts empty. A process can have only one, since moto's data is global.

    :param port: Port; 0 for a free one.
    :param host: Address to listen on.
    :param options: Fields of :class:`Options`.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", **options: Any) -> None:
        self.control = Control()
        self._port, self._host, self._options = port, host, Options(**options)
        self._server: BaseWSGIServer | None = None
        self._stopping = threading.Event()
        self._undo = ExitStack()

    @property
    def endpoint_url(self) -> str:
        """The URL of the server."""
        if self._server is None:
            raise RuntimeError("the server is not started")
        return f"http://{self._host}:{self._server.port}"

    @property
    def prefixable_endpoint_url(self) -> str:
        """
        The URL for clients that put a host prefix before the host, whatever the variables say.

        ``workflows-omics.localhost`` resolves only where all names below ``localhost`` do (RFC 6761), as with
        systemd-resolved.
        """
        return f"http://omics.localhost:{urlsplit(self.endpoint_url).port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables for AWS clients of the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            # Every HealthOmics operation has a host prefix, but there is no host "workflows-127.0.0.1".
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> HealthOmicsServer:
        """Start serving."""
        if self._server is not None:
            raise RuntimeError("the server is already started")
        if self._options.compute and not _is_loopback(self._host):
            raise ValueError(f"compute runs code on this machine, so host must be loopback, not {self._host}")
        with ExitStack() as undo:
            undo.enter_context(activated())
            server = make_server(
                self._host, self._port, _application(), threaded=True, request_handler=_QuietHandler
            )
            undo.callback(server.server_close)
            BackendDict.reset()
            LOCAL.reset(self._options)
            undo.callback(setattr, LOCAL, "served", False)
            LOCAL.served = True
            self._stopping.clear()
            self._run(undo, server.serve_forever, server.shutdown)
            self._run(undo, self._tick, self._stopping.set)
            undo.callback(COMPUTATIONS.end)
            undo.callback(LOCAL.faults.clear)
            undo.callback(forget_unread)
            self._server, self._undo = server, undo.pop_all()
        return self

    def stop(self) -> None:
        """Stop serving, and release held calls."""
        self._server = None
        self._undo.close()

    def __enter__(self) -> HealthOmicsServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _run(undo: ExitStack, target: Callable[[], None], end: Callable[[], None]) -> None:
        """Run a function in a thread until ``end`` is called."""
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        undo.callback(thread.join)
        undo.callback(end)

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            try:
                with LOCAL.lock:
                    apply_all_due_transitions()
            except Exception:  # Without further ticks, all runs would keep their state.
                log.exception("A due transition failed")


class _QuietHandler(MotoRequestHandler):
    """A request handler that does not log to stderr."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """Close the socket of a dropped connection."""
        self.close_connection = True


def _application() -> Callable[..., Iterable[bytes]]:
    moto = DomainDispatcherApplication(_service_application)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if LOCAL.options.compute and "HTTP_ORIGIN" in environ:
            # Browsers send it with every POST. No web page may run code here, and no AWS client sends it.
            return Response("requests of browsers are refused", 403)(environ, start_response)
        if environ["PATH_INFO"].startswith(PATH):
            return _control(Request(environ))(environ, start_response)
        answer: Iterable[bytes] = moto(environ, start_response)
        return answer

    return application


def _service_application(service: Any) -> Any:
    """Return the application of a service; that of None, a service that moto does not have, refuses."""
    return _refuse_service if service is None else create_backend_app(service)


def _refuse_service(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    signed = SIGNED_SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
    name = f"service {signed[1]}" if signed else "service of this request"
    error = NotImplementedHereError(f"moto does not have the {name}")
    status, headers, _ = error.response()
    # In the forms of the protocols with JSON.
    body = json.dumps({"__type": error.code, "message": error.message})
    return Response(body, status, headers)(environ, start_response)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _control(request: Request) -> Response:
    """Perform a verb of :class:`Control` for another process."""
    try:
        arguments = json.loads(request.get_data() or b"{}")
        answer, status = {"result": perform(request.path.removeprefix(PATH), arguments)}, 200
    except tuple(ERRORS.values()) as error:
        name = next(name for name, known in ERRORS.items() if isinstance(error, known))
        answer, status = {"error": name, "message": str(error)}, 400
    return Response(json.dumps(answer), status, mimetype="application/json")
