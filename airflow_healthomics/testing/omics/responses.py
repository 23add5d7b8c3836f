# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Parse requests, call the backend, and serialize the answers.

An operation needs no code here: :meth:`OmicsBackend.action` finds the method of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ConnectionClosedError
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import get_service_model

from airflow_healthomics.testing.faults import DroppedConnectionError
from airflow_healthomics.testing.local import LOCAL, RECORDED_MEMBERS, Call
from airflow_healthomics.testing.validation import violations

from .exceptions import (
    ConflictException,
    HealthOmicsError,
    NotImplementedHereError,
    ThrottlingException,
    ValidationException,
)
from .json_body import json_object
from .members import refuse_not_implemented
from .models import OmicsBackend, apply_due_transitions, omics_backends
from .unavailable import refusal

#: Seconds for which a call applies due transitions, alone and beside the thread of a server.
SECONDS_OF_CALL = 0.1
SECONDS_OF_SERVED_CALL = 0.01


def recorded_answer(call: Call, request: Any, answer: Callable[[], TYPE_RESPONSE]) -> TYPE_RESPONSE:
    """Record a call, and return its answer or error; raise an error if its connection is dropped."""
    with LOCAL.recording(call):
        try:
            status, headers, body = answer()
        except HealthOmicsError as error:
            status, headers, body = error.response()
            call.error = error.code
        except DroppedConnectionError:
            call.error = "DroppedConnection"
            raise _dropped_connection(request) from None
        call.status = status
        return status, headers, body


def _dropped_connection(request: Any) -> Exception:
    """Return an error that ends the connection: werkzeug closes the socket, or botocore raises it."""
    if request.from_wsgi_server:
        return ConnectionResetError("dropped by the local HealthOmics")
    error: Exception = ConnectionClosedError(endpoint_url=request.url)
    return error


class OmicsResponse(BaseResponse):
    """Answers requests to HealthOmics."""

    #: Parts of read sets are binary.
    use_raw_body = True

    def __init__(self) -> None:
        super().__init__("omics")

    @property
    def backend(self) -> OmicsBackend:
        """The backend of the caller's account and region."""
        return omics_backends[self.current_account][self.region]

    def call_action(self) -> TYPE_RESPONSE:
        """Answer a request: first faults and throttling, then rules of the model, then the operation."""
        operation = self._get_action_from_method_and_request_uri(self.normalized_request)
        if not operation:
            return NotImplementedHereError(f"HealthOmics has no {self.method} {self.path}").response()
        call = Call(
            operation=operation, account=self.current_account, region=self.region, time=LOCAL.clock.now()
        )
        status, headers, body = recorded_answer(call, self.normalized_request, lambda: self._answer(call))
        headers, body = self._enrich_response(headers, body)  # adds the request id
        return status, headers, body

    def _answer(self, call: Call) -> TYPE_RESPONSE:
        self._check_region()
        fields = self._fields(call.operation)
        call.ids = {name: fields[name] for name in RECORDED_MEMBERS if isinstance(fields.get(name), str)}
        with self._in_flight(call):
            LOCAL.faults.meet("before", call.operation, fields)
            with LOCAL.lock:
                self._check_rate(call)
                action = self.backend.action(call.operation)
                if action is None:
                    raise refusal(call.operation)
                params = self._checked(call.operation, fields)
                apply_due_transitions(SECONDS_OF_SERVED_CALL if LOCAL.served else SECONDS_OF_CALL)
                LOCAL.endpoint_url = self._endpoint_url()
                result = action(params)
                answer = self.serialized(EmptyResult() if result is None else ActionResult(result))
        LOCAL.faults.meet("after", call.operation, fields)
        return answer

    def _fields(self, operation: str) -> dict[str, Any]:
        """Return the unvalidated members of a request, without null values."""
        shape = get_service_model("omics").operation_model(operation).input_shape
        fields: dict[str, Any] = {}
        query = self.normalized_request.args
        for name, member in shape.members.items() if shape else ():
            location, key = member.serialization.get("location"), member.serialization.get("name", name)
            if location == "uri":
                fields[name] = self.uri_match.get(key)
            elif location == "querystring" and key in query:
                fields[name] = _typed(query.getlist(key), member.type_name)
            elif location == "header":
                fields[name] = self.normalized_request.headers.get(key)
        payload = shape.serialization.get("payload") if shape else None
        if payload is not None:
            fields[payload] = self.body or b""
        elif self.body:
            fields |= json_object(self.body)
        return {name: value for name, value in fields.items() if value is not None}

    def _checked(self, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
        shape = get_service_model("omics").operation_model(operation).input_shape
        broken = list(violations(shape, fields)) if shape else []
        if broken:
            plural = "s" if len(broken) > 1 else ""
            raise ValidationException(f"{len(broken)} validation error{plural}: {'; '.join(broken)}")
        if shape:
            refuse_not_implemented(shape, fields)
        return fields

    def _check_region(self) -> None:
        """Refuse a region without HealthOmics. AWS has no host there, and so no error for it."""
        if self.region not in omics_backends[self.current_account]:
            raise NotImplementedHereError(f"HealthOmics is not available in the region {self.region}")

    def _check_rate(self, call: Call) -> None:
        rate = LOCAL.options.rates.get(call.operation)
        if LOCAL.options.throttling and rate is not None:
            key = (call.account, call.region, call.operation)
            if not LOCAL.throttle.allows(key, rate, LOCAL.clock.now()):
                raise ThrottlingException("Rate exceeded")

    @contextmanager
    def _in_flight(self, call: Call) -> Iterator[None]:
        """Refuse to start a run or batch while another call with the same request id is in progress."""
        starts = call.operation in ("StartRun", "StartRunBatch")
        request_id = call.ids.get("requestId") if starts else None
        if request_id is None or not LOCAL.options.conflict_in_flight:
            yield
            return
        key = (call.account, call.region, call.operation, request_id)
        with LOCAL.lock:
            if key in LOCAL.in_flight:
                raise ConflictException("A request with this requestId is in progress")
            LOCAL.in_flight.add(key)
        try:
            yield
        finally:
            with LOCAL.lock:
                LOCAL.in_flight.discard(key)

    def _endpoint_url(self) -> str | None:
        """Return the URL of the server that received the request, or None without a server."""
        request = self.normalized_request
        return (
            f"{urlsplit(request.url)._replace(path='', query='').geturl()}"
            if request.from_wsgi_server
            else None
        )


def _typed(values: list[str], type_name: str) -> Any:
    """Convert a query value to its type, or return it unchanged, so that the validation reports it."""
    if type_name == "list":
        return values
    if type_name == "integer":
        try:
            return int(values[0])
        except ValueError:
            return values[0]
    if type_name == "boolean":
        return {"true": True, "false": False}.get(values[0], values[0])
    return values[0]
