# mypy: disable-error-code="untyped-decorator"
"""Headers that host.json adds to responses."""

from __future__ import annotations

from datetime import timedelta

import azure.functions as func
import pytest
from aiohttp import web
from support.web_client import serving

from func_py.web import Mount
from func_py.web.extra_headers import custom_headers, strict_transport


def app_with_a_header() -> func.FunctionApp:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="hello")
    async def hello(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("hello", headers={"X-Mine": "function"})

    return app


async def streamed(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"streamed")
    await response.write_eof()
    return response


@pytest.mark.parametrize("path", ["/api/hello", "/nowhere", "/", "/stream"])
async def test_every_response_gets_the_custom_headers(path: str) -> None:
    async with serving(
        app_with_a_header(),
        lambda *_: [Mount("/stream", streamed)],
        decorators=[custom_headers({"X-Content-Type-Options": "nosniff"})],
    ) as client:
        answer = await client.send("GET", path)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_header_of_the_function_is_kept() -> None:
    async with serving(
        app_with_a_header(), decorators=[custom_headers({"x-mine": "host"})]
    ) as client:
        answer = await client.send("GET", "/api/hello")

    assert answer.headers["X-Mine"] == "function"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"X-Forwarded-Proto": "https", "Host": "example.org:443"},
            "max-age=60; includeSubDomains; preload",
        ),
        ({"X-Forwarded-Proto": "https", "Host": "localhost:7071"}, None),
        ({"Host": "example.org"}, None),
    ],
)
async def test_strict_transport_is_told_over_https_to_hosts_that_are_not_excluded(
    headers: dict[str, str], expected: str | None
) -> None:
    decorate = strict_transport(
        timedelta(minutes=1),
        include_sub_domains=True,
        preload=True,
        excluded_hosts=["LocalHost"],
    )
    async with serving(app_with_a_header(), decorators=[decorate]) as client:
        answer = await client.send("GET", "/api/hello", headers=headers)

    assert answer.headers.get("Strict-Transport-Security") == expected
