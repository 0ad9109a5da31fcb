"""Headers that host.json adds to every response: `customHeaders` and strict transport security."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from aiohttp import hdrs, web

Decorator = Callable[[web.BaseRequest, web.StreamResponse], None]
"""Puts headers on a response that is about to be sent, also on a streamed one."""


def custom_headers(configured: Mapping[str, str]) -> Decorator:
    """A decorator that adds headers to the responses that do not have them."""

    def decorate(request: web.BaseRequest, response: web.StreamResponse) -> None:
        for name, value in configured.items():
            response.headers.setdefault(name, value)

    return decorate


def strict_transport(
    max_age: timedelta,
    *,
    include_sub_domains: bool,
    preload: bool,
    excluded_hosts: Collection[str],
) -> Decorator:
    """A decorator that tells browsers to come by HTTPS only.

    Requests that came by plain HTTP are not told, because browsers ignore it there; a proxy that
    ends TLS in front of us says so with `X-Forwarded-Proto`.
    """
    directives = [f"max-age={int(max_age.total_seconds())}"]
    if include_sub_domains:
        directives.append("includeSubDomains")
    if preload:
        directives.append("preload")
    value = "; ".join(directives)
    excluded = {host.lower() for host in excluded_hosts}

    def decorate(request: web.BaseRequest, response: web.StreamResponse) -> None:
        scheme = request.headers.get("X-Forwarded-Proto", request.scheme)
        if scheme.lower() == "https" and _host(request) not in excluded:
            response.headers.setdefault(hdrs.STRICT_TRANSPORT_SECURITY, value)

    return decorate


def _host(request: web.BaseRequest) -> str:
    """The host a request was sent to, without its port, in lower case."""
    host = request.headers.get(hdrs.HOST, "").lower()
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host
