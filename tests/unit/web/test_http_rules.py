# mypy: disable-error-code="untyped-decorator"
"""The official host's rules for routes, requests and responses, each over a real socket."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import aiohttp
import azure.functions as func
import pytest
from support.serving import Client, app_of, serving
from yarl import URL

DATE = "Thu, 12 Jan 2017 13:55:08 GMT"
GUID = "c9bf9e57-1685-4c89-bafb-ff5af830be8a"


async def values(req: func.HttpRequest) -> str:
    return json.dumps(dict(req.route_params))


async def get(client: Client, path: str) -> tuple[int, Any]:
    """Status and JSON (or text) of an answer; the path goes out as it stands here."""
    url = URL(client.base + path, encoded=True)
    async with client.session.get(url) as response:
        text = await response.text()
        return response.status, json.loads(text) if text[:1] == "{" else text


MATCHES: list[tuple[str, str, dict[str, str] | None]] = [
    # Literals: any case, decoded once, a slash at the end is nothing.
    ("hello", "/api/HELLO/", {}),
    ("a b", "/api/a%20b", {}),
    ("hello", "/api/hell", None),
    ("a/{{b}}", "/api/a/%7Bb%7D", {}),
    # Parameters.
    ("a/{x}", "/api/a/1", {"x": "1"}),
    ("a/{x}", "/api/a/%E4%BD%A0%25", {"x": "你%"}),
    ("a/{x}", "/api/a/x%2Fy", {"x": "x%2Fy"}),
    ("a/{x}", "/api/a", None),
    ("a/{x}/{y?}", "/api/a/1", {"x": "1"}),
    ("a/{x}/{y?}", "/api/a/1/2", {"x": "1", "y": "2"}),
    ("a/{x=5}", "/api/a", {"x": "5"}),
    ("a/{x=5}", "/api/a/6", {"x": "6"}),
    ("a/{x:int=5}", "/api/a", {"x": "5"}),
    ("a/{*rest}", "/api/a", {}),
    ("a/{*rest}", "/api/a/b/c%20d", {"rest": "b/c d"}),
    ("a/{**rest}", "/api/a/b/c", {"rest": "b/c"}),
    ("a/{*rest=none}", "/api/a", {"rest": "none"}),
    # Several in one segment.
    ("f/{name}.{ext}", "/api/f/a.b.c", {"name": "a.b", "ext": "c"}),
    ("f/{name}.{ext?}", "/api/f/a", {"name": "a"}),
    ("r/{from}-{to}", "/api/r/1-2", {"from": "1", "to": "2"}),
    ("v{major:int}.{minor:int}", "/api/v1.12", {"major": "1", "minor": "12"}),
    ("v{major:int}.{minor:int}", "/api/v1.x", None),
    # Constraints: the value stays text.
    ("{x:int}", "/api/-42", {"x": "-42"}),
    ("{x:int}", "/api/4.2", None),
    ("{x:int}", "/api/3000000000", None),
    ("{x:long}", "/api/3000000000", {"x": "3000000000"}),
    ("{x:bool}", "/api/True", {"x": "True"}),
    ("{x:bool}", "/api/yes", None),
    ("{x:datetime}", "/api/2026-01-31T12:00:00", {"x": "2026-01-31T12:00:00"}),
    ("{x:datetime}", "/api/12/31/2026", None),
    ("{x:datetime}", "/api/tomorrow", None),
    ("{x:decimal}", "/api/49.99", {"x": "49.99"}),
    ("{x:decimal}", "/api/1e", None),
    ("{x:double}", "/api/-1.5e3", {"x": "-1.5e3"}),
    ("{x:float}", "/api/one", None),
    ("{x:guid}", f"/api/{GUID}", {"x": GUID}),
    ("{x:guid}", f"/api/%7B{GUID}%7D", {"x": f"{{{GUID}}}"}),
    ("{x:guid}", "/api/c9bf", None),
    ("{x:minlength(3)}", "/api/ab", None),
    ("{x:maxlength(3)}", "/api/abcd", None),
    ("{x:length(3)}", "/api/abc", {"x": "abc"}),
    ("{x:length(2,3)}", "/api/a", None),
    ("{x:min(18)}", "/api/17", None),
    ("{x:max(18)}", "/api/18", {"x": "18"}),
    ("{x:range(1,5)}", "/api/6", None),
    ("{x:alpha}", "/api/abc", {"x": "abc"}),
    ("{x:alpha}", "/api/abc1", None),
    (r"{x:regex(^\d{{3}}-\d$)}", "/api/123-4", {"x": "123-4"}),
    (r"{x:regex(^\d{{3}}-\d$)}", "/api/12-4", None),
    ("{x:required}", "/api/x", {"x": "x"}),
    ("{*x:file}", "/api/a/b.txt", {"x": "a/b.txt"}),
    ("{*x:nonfile}", "/api/a/b.txt", None),
    ("{x:int:min(1):max(9)}", "/api/10", None),
    ("{x:int?}", "/api/5", {"x": "5"}),
    ("{x:int?}", "/api/five", None),
]


@pytest.mark.parametrize(("route", "path", "expected"), MATCHES)
async def test_route(route: str, path: str, expected: dict[str, str] | None) -> None:
    async with serving(app_of(values, route=route)) as client:
        assert await get(client, path) == ((404, "") if expected is None else (200, expected))


def named(app: func.FunctionApp, name: str, route: str, *methods: str) -> None:
    """Add a function that answers with its name."""

    async def answer(req: func.HttpRequest) -> str:
        return name

    app.function_name(name)(app.route(route=route, methods=methods or None)(answer))


async def test_order_of_names_decides_then_constraints_then_methods() -> None:
    app = func.FunctionApp()
    named(app, "c_any", "{*any}")
    named(app, "B_text", "items/{id}", "GET")
    named(app, "a_number", "items/{id:int}")
    async with serving(app) as client:
        assert await client.fetch("GET", "/api/items/1") == (200, "a_number")
        assert await client.fetch("GET", "/api/items/x") == (200, "B_text")
        assert await client.fetch("POST", "/api/items/x") == (200, "c_any")
        assert await client.fetch("GET", "/api/other/x") == (200, "c_any")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_function_without_methods_answers_every_method(method: str) -> None:
    async with serving(app_of(values, route="x")) as client:
        assert await client.fetch(method, "/api/x") == (200, "{}")


async def test_head_gets_the_headers_without_the_body() -> None:
    async with (
        serving(app_of(values, route="x")) as client,
        client.session.head(client.base + "/api/x") as response,
    ):
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Length"] == "2"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
async def test_method_that_is_not_listed_is_not_found(method: str) -> None:
    async with serving(app_of(values, route="x", methods=["GET"])) as client:
        assert await client.fetch(method, "/api/x") == (404, "")


# ---- requests ------------------------------------------------------------------------------


async def mirror(req: func.HttpRequest) -> str:
    return json.dumps(
        {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "params": dict(req.params),
            "body": req.get_body().decode(),
        }
    )


async def raw(client: Client, *lines: str, body: bytes = b"") -> tuple[bytes, bytes]:
    """Head and body of the answer to a request written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head, rest


async def test_headers_come_lower_case_joined_and_empty_ones_too() -> None:
    async with serving(app_of(mirror)) as client:
        lines = ("X-Two: a", "X-TWO: b", "X-Empty:", "Accept: a/b", "accept: c/d")
        _, body = await raw(client, "GET /api/f HTTP/1.1", "Host: h", *lines)
        headers = json.loads(body)["headers"]
        assert (headers["x-two"], headers["x-empty"], headers["accept"]) == ("a,b", "", "a/b,c/d")


async def test_header_lookup_ignores_case() -> None:
    async def lookup(req: func.HttpRequest) -> str:
        return f"{req.headers['X-THING']} {req.headers.get('x-thing')} {'X-Thing' in req.headers}"

    async with serving(app_of(lookup)) as client:
        answer = await client.fetch("GET", "/api/f", headers={"x-Thing": "1"})
        assert answer == (200, "1 1 True")


async def test_url_is_what_the_client_sent() -> None:
    async with serving(app_of(mirror, route="a/{x}")) as client:
        _, body = await raw(client, "GET /api/a/x%20y?q=%C3%A4&q=2 HTTP/1.1", "Host: my.host:81")
        assert json.loads(body)["url"] == "http://my.host:81/api/a/x%20y?q=%C3%A4&q=2"


async def test_query_is_decoded_joined_and_without_empty_values() -> None:
    async with serving(app_of(mirror)) as client:
        _, answer = await get(client, "/api/f?a=1&b=&a=x%20y&c=%E4%BD%A0+z&code=k&flag")
        assert answer["params"] == {"a": "1,x y", "c": "你 z", "code": "k"}


async def test_body_arrives_byte_for_byte_whatever_its_type() -> None:
    async def digest(req: func.HttpRequest) -> str:
        return hashlib.sha256(req.get_body()).hexdigest()

    body = b'{ "a":  1.0,\r\n\x00\xff}'
    async with serving(app_of(digest)) as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.fetch("POST", "/api/f", data=body, headers=headers)
        assert answer == (200, hashlib.sha256(body).hexdigest())


async def test_request_without_body_has_an_empty_one() -> None:
    async def check(req: func.HttpRequest) -> str:
        try:
            req.get_json()
        except ValueError:
            return repr(req.get_body())
        return "JSON"

    async with serving(app_of(check)) as client:
        assert await client.fetch("GET", "/api/f") == (200, "b''")


async def test_form_fields_and_files_are_parsed() -> None:
    async def form(req: func.HttpRequest) -> str:
        file = req.files["file"]
        with closing(file):
            return f"{req.form['a']} {file.filename} {file.read().decode()}"

    data = aiohttp.FormData({"a": "1"})
    data.add_field("file", b"content", filename="x.txt")
    async with serving(app_of(form)) as client:
        assert await client.fetch("POST", "/api/f", data=data) == (200, "1 x.txt content")


async def test_large_body_arrives_whole() -> None:
    async def size(req: func.HttpRequest) -> str:
        return str(len(req.get_body()))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(256 * 1024)

    async with serving(app_of(size)) as client:
        answer = await client.fetch("POST", "/api/f", data=chunks())
        assert answer == (200, str(16 * 1024 * 1024))


async def test_header_of_a_large_token_is_accepted() -> None:
    async def length(req: func.HttpRequest) -> str:
        return str(len(req.headers["authorization"]))

    async with serving(app_of(length)) as client:
        headers = {"Authorization": "x" * 20_000}
        assert await client.fetch("GET", "/api/f", headers=headers) == (200, "20000")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /api/f?q=" + "x" * 9000 + " HTTP/1.1", "Host: h"), 414),
        (("GET /api/f HTTP/1.1", "Host: h", "X: " + "y" * 40_000), 431),
        (("NO REQUEST",), 400),
        (("GET /api/f HTTP/1.1", "Host: h", "Content-Length: many"), 400),
    ],
    ids=["line", "header", "noise", "length"],
)
async def test_what_is_no_request_gets_an_empty_answer_and_no_line_in_the_log(
    lines: tuple[str, ...], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app_of(mirror)) as client:
        head, body = await raw(client, *lines)
    assert (int(head.split()[1]), body) == (status, b"")
    assert b"Server: func-py" in head
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def test_mistake_of_the_host_is_an_empty_500_with_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(request: object, function: object, level: str) -> bool:
        raise AssertionError("a bug")

    async with serving(app_of(mirror), authorizer=broken) as client:
        assert await client.fetch("GET", "/api/f") == (500, "")
    assert "A request failed in the host: /api/f" in caplog.text
    assert "AssertionError: a bug" in caplog.text


# ---- responses -----------------------------------------------------------------------------


async def response_of(returned: object) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body that a returned value becomes."""

    async def f(req: func.HttpRequest):  # type: ignore[no-untyped-def]
        return returned

    async with (
        serving(app_of(f), development=False) as client,
        client.session.get(client.base + "/api/f") as response,
    ):
        headers = {name.lower(): value for name, value in response.headers.items()}
        return response.status, headers, await response.read()


@pytest.mark.parametrize(
    ("returned", "status", "content_type", "body"),
    [
        ("text", 200, "text/plain; charset=utf-8", b"text"),
        ("", 200, "text/plain; charset=utf-8", b""),
        ('{"a":  1}', 200, "text/plain; charset=utf-8", b'{"a":  1}'),
        ("ä", 200, "text/plain; charset=utf-8", "ä".encode()),
        (func.HttpResponse(), 200, "text/plain; charset=utf-8", b""),
        (func.HttpResponse("x", status_code=418), 418, "text/plain; charset=utf-8", b"x"),
        (func.HttpResponse(b"\x00\xff"), 200, "text/plain; charset=utf-8", b"\x00\xff"),
        (
            func.HttpResponse("{}", mimetype="application/json"),
            200,
            "application/json",
            b"{}",
        ),
        (
            func.HttpResponse("é", mimetype="text/html", charset="latin-1"),
            200,
            "text/html; charset=latin-1",
            b"\xe9",
        ),
        (
            func.HttpResponse("x", headers={"content-TYPE": "text/csv"}, mimetype="text/html"),
            200,
            "text/csv",
            b"x",
        ),
        (func.HttpResponse("x", status_code=599), 599, "text/plain; charset=utf-8", b"x"),
    ],
)
async def test_returned_value_becomes_a_response(
    returned: object, status: int, content_type: str, body: bytes
) -> None:
    found, headers, content = await response_of(returned)
    assert (found, headers["content-type"], content) == (status, content_type, body)
    assert headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    "returned", [None, b"bytes", {"a": 1}, [1], 5, ("text", 200), func.HttpResponse(status_code=99)]
)
async def test_value_that_is_no_response_is_an_empty_500(returned: object) -> None:
    status, headers, body = await response_of(returned)
    assert (status, body, headers["content-length"]) == (500, b"", "0")


@pytest.mark.parametrize("status", [204, 304])
async def test_status_without_content_sends_none(status: int) -> None:
    found, _, body = await response_of(func.HttpResponse("dropped", status_code=status))
    assert (found, body) == (status, b"")


async def test_headers_that_the_server_computes_are_not_taken_from_the_function() -> None:
    wrong = {"Content-Length": "9999", "Transfer-Encoding": "chunked", "X-Own": "1"}
    _, headers, body = await response_of(func.HttpResponse("abc", headers=wrong))
    assert (headers["content-length"], headers["x-own"], body) == ("3", "1", b"abc")
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("foo=bar", ["foo=bar; domain=; path="]),
        (
            f"foo3=42; Domain=x.com; Expires={DATE}; Path=/; Max-Age=100; Secure; HttpOnly",
            [f"foo3=42; expires={DATE}; max-age=100; domain=x.com; path=/; secure; httponly"],
        ),
        (
            "a=1; Expires=Thu, 12-Jan-2017 13:55:08 GMT; Domain=x.com; Path=/",
            [f"a=1; expires={DATE}; domain=x.com; path=/"],
        ),
        ("foo=bar; SameSite=Lax", ["foo=bar; domain=; path=; samesite=lax"]),
        ("foo=a%20b", ["foo=a%2520b; domain=; path="]),
        ("foo=bar; Max-Age=soon", []),
        ("", []),
    ],
)
async def test_cookie_is_sent_in_the_hosts_form(cookie: str, expected: list[str]) -> None:
    async def f(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("x", headers={"Set-Cookie": cookie})

    async with (
        serving(app_of(f)) as client,
        client.session.get(client.base + "/api/f") as response,
    ):
        assert response.status == 200
        assert response.headers.getall("Set-Cookie", []) == expected


async def test_cookie_that_expires_at_no_date_is_an_error() -> None:
    async def f(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("x", headers={"Set-Cookie": "foo=bar; Expires=never"})

    async with serving(app_of(f)) as client:
        assert (await client.fetch("GET", "/api/f"))[0] == 500
        assert "invalid format" in client.log.errors[0]


async def test_function_without_an_http_output_gives_no_content() -> None:
    app = func.FunctionApp()

    @app.generic_trigger(arg_name="req", type="httpTrigger", route="f", methods="GET,POST")
    async def f(req: func.HttpRequest) -> None: ...

    async with serving(app) as client:
        assert await client.fetch("GET", "/api/f") == (204, "")
        assert await client.fetch("POST", "/api/f") == (204, "")
        assert await client.fetch("PUT", "/api/f") == (404, "")


async def test_value_without_a_return_binding_is_an_error_that_says_so() -> None:
    app = func.FunctionApp()

    @app.generic_trigger(arg_name="req", type="httpTrigger", route="f")
    async def f(req: func.HttpRequest):  # type: ignore[no-untyped-def]
        return "lost"

    async with serving(app) as client:
        assert (await client.fetch("GET", "/api/f"))[0] == 500
        assert "without a $return binding returned a non-None value" in client.log.errors[0]


@pytest.mark.parametrize("value", [None, "text", func.HttpResponse("text")])
async def test_response_may_be_a_named_output(value: object) -> None:
    app = func.FunctionApp()

    @app.route(route="f", binding_arg_name="resp")
    async def f(req: func.HttpRequest, resp: func.Out[func.HttpResponse]) -> None:
        if value is not None:
            resp.set(value)

    async with serving(app) as client:
        expected = (204, "") if value is None else (200, "text")
        assert await client.fetch("GET", "/api/f") == expected
