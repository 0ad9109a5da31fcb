"""The HTTP trigger and output: requests to `func.HttpRequest`, results to responses.

Knows no server: the front end fills an `IncomingRequest` and sends an `OutgoingResponse`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import azure.functions as func
from azure.functions import _abc as sdk_abc
from azure.functions._http import HttpRequestHeaders
from azure.functions.http import HttpRequest as SdkHttpRequest

from func_py_bindings.contract import BindingSpec, BindingType, FunctionSpec
from func_py_bindings.cookies import set_cookie_header
from func_py_bindings.http_streaming import is_stream_request
from func_py_bindings.json_data import json_properties
from func_py_bindings.route_template import RouteTemplate

AuthLevel = Literal["anonymous", "function", "admin"]
_AUTH_LEVELS: tuple[AuthLevel, ...] = ("anonymous", "function", "admin")

Headers = list[tuple[str, str]]

_COMPUTED_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})
_TEXT = ("Content-Type", "text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where an HTTP function answers. `route` has no prefix; empty `methods` means every method."""

    route: str
    methods: frozenset[str]
    auth_level: AuthLevel


@dataclass(slots=True)
class IncomingRequest:
    """A request as the server received it.

    `url` is absolute, with scheme and Host header. `headers` and `query` keep their order and
    repeated names; query values are decoded. `route_params` are the decoded values of the route.
    """

    method: str
    url: str
    headers: Iterable[tuple[str, str]]
    query: Collection[tuple[str, str]]
    route_params: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class OutgoingResponse:
    """What to send. `headers` holds the content type and may repeat names."""

    status: int
    headers: Headers
    body: bytes


def endpoint_of(spec: FunctionSpec) -> HttpEndpoint | None:
    """The endpoint of a function with an HTTP trigger, or None for any other."""
    if spec.trigger.type.lower() != "httptrigger":
        return None
    route = spec.trigger.get("route")
    level = str(spec.trigger.get("authLevel") or "function").lower()
    return HttpEndpoint(
        route=spec.name if route is None else str(route).strip("/"),
        methods=_methods(spec.trigger),
        auth_level=level if level in _AUTH_LEVELS else "function",
    )


class _Request(SdkHttpRequest):  # type: ignore[misc]  # SDK is untyped
    """The SDK's request, except that headers are only put together when code asks for them."""

    def __init__(self, request: IncomingRequest) -> None:
        params = _joined(request.query) if request.query else {}
        super().__init__(
            method=request.method,
            url=request.url,
            headers={},
            params={k: v for k, v in params.items() if v} if params else params,
            route_params=request.route_params,
            body_type="bytes",
            body=request.body,
        )
        self._received: Iterable[tuple[str, str]] = request.headers
        self._headers: HttpRequestHeaders | None = None

    @property
    def headers(self) -> HttpRequestHeaders:
        """The request's headers, found in any case."""
        if self._headers is None:
            received = ((name.lower(), value) for name, value in self._received)
            self._headers = HttpRequestHeaders(_joined(received))
        return self._headers


def http_request(request: IncomingRequest) -> func.HttpRequest:
    """The object that user code receives.

    Repeated headers and query keys are joined with commas, empty query values are dropped: as the
    official host does.
    """
    return _Request(request)


def http_data(request: IncomingRequest) -> Mapping[str, object]:
    """What binding expressions may refer to: parts of the route win over the query, and that over
    properties of a JSON body."""
    query = _joined((name, value) for name, value in request.query if name.lower() != "code")
    return {
        **json_properties(request.body),
        "Query": query,
        "Headers": _joined(request.headers),
        **query,
        **request.route_params,
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


class HttpResult:
    """Makes the response of one function out of what its code returned or set."""

    def __init__(self, spec: FunctionSpec) -> None:
        self._name = spec.name
        returned = spec.return_binding
        self._returns_response = returned is not None and returned.type.lower() == "http"
        self._has_return = returned is not None
        self._out_name = next(
            (b.name for b in spec.bindings if b.type.lower() == "http" and b is not returned), None
        )

    def response(self, value: object, outputs: Mapping[str, object]) -> OutgoingResponse:
        """The response for a returned value and the values of named outputs.

        Raises:
            TypeError: The value cannot be a response.
            ValueError: A header or cookie of the response is unusable.
        """
        if self._returns_response:
            return self._encode(value)
        if value is not None and not self._has_return:
            raise TypeError(
                f"function '{self._name}' without a $return binding returned a non-None value "
                f"of type '{type(value).__name__}'"
            )
        if self._out_name is not None:
            value = outputs.get(self._out_name)
            if value is not None:
                return self._encode(value)
        return OutgoingResponse(204, [], b"")

    def _encode(self, value: object) -> OutgoingResponse:
        if isinstance(value, str):
            return OutgoingResponse(200, [_TEXT], value.encode("utf-8"))
        if isinstance(value, func.HttpResponse):
            status = int(value.status_code)
            if not 200 <= status <= 999:
                raise ValueError(f"function '{self._name}' returned the status code {status}.")
            return OutgoingResponse(status, _response_headers(value), value.get_body())
        hint = " Is a 'return' missing?" if value is None else ""
        raise TypeError(
            f"function '{self._name}' returned a value of type '{type(value).__name__}'; an HTTP "
            f"function must return azure.functions.HttpResponse or str.{hint}"
        )


def _response_headers(response: func.HttpResponse) -> Headers:
    headers: Headers = []
    has_type = False
    for name, value in response.headers.items() if response.headers else ():
        lowered = name.lower()
        if lowered == "set-cookie":
            headers.extend(("Set-Cookie", cookie) for cookie in set_cookie_header(value))
        elif lowered not in _COMPUTED_HEADERS:
            has_type = has_type or lowered == "content-type"
            headers.append((name, value))
    if not has_type:
        mimetype = response.mimetype
        is_text = mimetype.startswith("text/")
        headers.append(
            ("Content-Type", f"{mimetype}; charset={response.charset}" if is_text else mimetype)
        )
    return headers


def _methods(binding: BindingSpec) -> frozenset[str]:
    methods = binding.get("methods") or ()
    if isinstance(methods, str):  # A generic trigger takes any value.
        methods = methods.split(",")
    return frozenset(str(method).strip().upper() for method in methods)


def _check_trigger(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    route = str(binding.get("route") or "").strip("/")
    if re.match("admin|runtime", route, re.IGNORECASE):
        yield (
            f"the route '{route}' conflicts with one or more built in routes: it must not start "
            "with 'admin' or 'runtime'."
        )
    try:
        RouteTemplate(route)
    except ValueError as exc:
        yield f"the route '{route}': {exc}."
    level = str(binding.get("authLevel") or "function").lower()
    if level not in _AUTH_LEVELS:
        yield f"the authLevel '{level}' is none of {', '.join(_AUTH_LEVELS)}."


def _accepts_request(annotation: object) -> bool:
    return is_stream_request(annotation) or (
        isinstance(annotation, type) and issubclass(annotation, sdk_abc.HttpRequest)
    )


def _accepts_response(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, (sdk_abc.HttpResponse, str))


TYPES = (
    BindingType(
        "httpTrigger",
        directions=frozenset({"in"}),
        is_trigger=True,
        accepts=_accepts_request,
        check=_check_trigger,
    ),
    BindingType("http", directions=frozenset({"out"}), accepts=_accepts_response),
)
