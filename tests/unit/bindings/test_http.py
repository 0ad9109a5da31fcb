# mypy: disable-error-code="untyped-decorator"
"""HTTP values: requests as user code sees them, responses as clients get them."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import pytest
from support.apps import functions

from func_py_bindings.http import HttpResult, IncomingRequest, http_request


def request(**changes: Any) -> func.HttpRequest:
    values: dict[str, Any] = {
        "method": "GET",
        "url": "http://localhost/api/x",
        "headers": [],
        "query": [],
        "route_params": {},
        "body": b"",
    }
    return http_request(IncomingRequest(**(values | changes)))


def result(**route: Any) -> HttpResult:
    app = func.FunctionApp()
    name = route.get("binding_arg_name", "$return")
    if name == "$return":

        @app.route(**route)
        def f(req: func.HttpRequest) -> func.HttpResponse: ...

    else:

        @app.route(**route)
        def f(req: func.HttpRequest, resp: func.Out[func.HttpResponse]) -> None: ...

    return HttpResult(functions(app)["f"])


def test_repeated_headers_are_joined_and_found_in_any_case() -> None:
    headers = [("X-A", "1"), ("x-a", "2"), ("Empty", "")]
    got = request(headers=headers).headers
    assert dict(got) == {"x-a": "1,2", "empty": ""}
    assert got["X-a"] == "1,2"


def test_repeated_query_keys_are_joined_and_empty_ones_dropped() -> None:
    query = [("a", "1"), ("b", ""), ("a", "2")]
    assert dict(request(query=query).params) == {"a": "1,2"}


def test_body_that_is_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="valid JSON"):
        request(body=b"{").get_json()


def test_form_fields_are_parsed() -> None:
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    assert request(method="post", headers=headers, body=b"a=1&b=2").form["b"] == "2"


def test_text_is_sent_unchanged_as_plain_text() -> None:
    response = result().response('{"body": 1}', {})
    assert (response.status, response.body) == (200, b'{"body": 1}')
    assert response.headers == [("Content-Type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "text/plain; charset=utf-8"),
        ({"mimetype": "text/html", "charset": "latin-1"}, "text/html; charset=latin-1"),
        ({"mimetype": "application/json"}, "application/json"),
        ({"headers": {"content-type": "image/png"}}, "image/png"),
    ],
)
def test_content_type_comes_from_header_or_mimetype(arguments: Any, expected: str) -> None:
    headers = result().response(func.HttpResponse("x", **arguments), {}).headers
    assert [value for name, value in headers if name.lower() == "content-type"] == [expected]


def test_a_response_can_be_sent_twice() -> None:
    response = func.HttpResponse("x", headers={"Set-Cookie": "a=b"})
    maker = result()
    assert maker.response(response, {}) == maker.response(response, {})


def test_length_and_encoding_of_the_transfer_are_left_to_the_server() -> None:
    response = func.HttpResponse("x", headers={"Content-Length": "9", "Transfer-Encoding": "gzip"})
    assert [name for name, _ in result().response(response, {}).headers] == ["Content-Type"]


@pytest.mark.parametrize("value", [None, b"bytes", {"a": 1}, 5, ("a", 200)])
def test_other_values_are_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match=f"'f' returned a value of type '{type(value).__name__}'"):
        result().response(value, {})


def test_named_output_is_the_response() -> None:
    maker = result(binding_arg_name="resp")
    assert maker.response(None, {"resp": func.HttpResponse("x", status_code=201)}).status == 201


def test_named_output_never_set_is_no_content() -> None:
    assert result(binding_arg_name="resp").response(None, {"resp": None}).status == 204


def test_value_without_return_binding_is_refused() -> None:
    with pytest.raises(TypeError, match="without a \\$return binding returned a non-None value"):
        result(binding_arg_name="resp").response("x", {"resp": None})


def cookies(*values: str) -> list[str]:
    response = func.HttpResponse("x")
    for value in values:
        response.headers.add("Set-Cookie", value)
    return [v for name, v in result().response(response, {}).headers if name == "Set-Cookie"]


def test_cookie_attributes_come_in_the_hosts_order() -> None:
    text = (
        "foo3=42; Domain=example.com; Expires=Thu, 12-Jan-2017 13:55:08 GMT; Path=/; "
        "Max-Age=10000000; Secure; HttpOnly"
    )
    (header,) = cookies(text)
    assert header == (
        "foo3=42; expires=Thu, 12 Jan 2017 13:55:08 GMT; max-age=10000000; domain=example.com; "
        "path=/; secure; httponly"
    )


def test_each_cookie_keeps_its_own_header() -> None:
    assert cookies("a=1", "b=2") == ["a=1; domain=; path=", "b=2; domain=; path="]


def test_cookie_values_are_escaped() -> None:
    assert cookies('a="x y"; SameSite=Lax') == ["a=x%20y; domain=; path=; samesite=lax"]


def test_empty_cookie_header_sends_nothing() -> None:
    assert cookies("") == []


def test_cookie_whose_max_age_is_no_number_is_dropped() -> None:
    assert cookies("a=1; Max-Age=soon") == []


def test_cookie_with_a_bad_date_is_an_error() -> None:
    with pytest.raises(ValueError, match="'Thu, 99-Jan-2017 13:55:08 GMT' of 'expires'"):
        cookies("a=1; expires=Thu, 99-Jan-2017 13:55:08 GMT")
