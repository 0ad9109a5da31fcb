# mypy: disable-error-code="untyped-decorator"
"""Cross-origin requests as a browser sends them."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import pytest
from support.web_client import serving

from func_py.errors import UserError
from func_py.web.cors import Cors

PAGE = "http://page:3000"


def options_for(cors: Cors) -> dict[str, Any]:
    return {"wrappers": [cors.around], "decorators": [cors.decorate]}


def app_that_varies() -> func.FunctionApp:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="hello", methods=["GET"])
    async def hello(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("hello", headers={"Vary": "Accept"})

    return app


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-one, x-two",
    }


async def test_a_listed_page_may_read_the_answer() -> None:
    async with serving(app_that_varies(), **options_for(Cors([PAGE, "http://b"]))) as client:
        answer = await client.send("GET", "/api/hello", headers={"Origin": PAGE})

    assert answer.text == "hello"
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Accept, Origin"


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://stranger"}])
async def test_others_get_the_answer_without_leave(headers: dict[str, str]) -> None:
    async with serving(app_that_varies(), **options_for(Cors([PAGE]))) as client:
        answer = await client.send("GET", "/api/hello", headers=headers)

    assert (answer.status, answer.text) == (200, "hello")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Accept, Origin"


async def test_any_page_is_a_star() -> None:
    async with serving(app_that_varies(), **options_for(Cors(["*"]))) as client:
        answer = await client.send("GET", "/api/hello", headers={"Origin": "http://stranger"})

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Vary"] == "Accept"


async def test_credentials_are_allowed_when_configured() -> None:
    async with serving(app_that_varies(), **options_for(Cors([PAGE], credentials=True))) as client:
        answer = await client.send("GET", "/api/hello", headers={"Origin": PAGE})

    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_credentials_for_any_page_are_refused() -> None:
    with pytest.raises(UserError, match="cannot be combined with the origin"):
        Cors(["*"], credentials=True)


@pytest.mark.parametrize("path", ["/api/hello", "/admin/host/status", "/nowhere"])
async def test_a_preflight_never_reaches_a_function(path: str) -> None:
    async with serving(app_that_varies(), **options_for(Cors([PAGE]))) as client:
        answer = await client.send("OPTIONS", path, headers=preflight(PAGE))

        assert client.log.lines == []
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Methods"] == "PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-one, x-two"


async def test_a_preflight_of_a_stranger_is_answered_with_nothing() -> None:
    async with serving(app_that_varies(), **options_for(Cors([PAGE]))) as client:
        answer = await client.send("OPTIONS", "/api/hello", headers=preflight("http://x"))

    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_an_options_request_that_is_no_preflight_is_routed_like_any_other() -> None:
    async with serving(app_that_varies(), **options_for(Cors([PAGE]))) as client:
        answer = await client.send("OPTIONS", "/api/hello", headers={"Origin": PAGE})

    assert answer.status == 404
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
