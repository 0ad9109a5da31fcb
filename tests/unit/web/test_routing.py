"""Route templates and the choice of a route."""

from __future__ import annotations

import pytest

from func_py.web.routing import RouteTable
from func_py_bindings.route_template import RouteTemplate


def match(template: str, path: str) -> dict[str, str] | None:
    """What a single route makes of a path."""
    found = RouteTable([(RouteTemplate(template), frozenset(), "f")]).find("GET", path)
    return None if found is None else dict(found[1])


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("api/hello", "/api/hello", {}),
        ("api/hello", "/API/Hello/", {}),
        ("api/hello", "/api/hello/x", None),
        ("api/hello", "/hello", None),
        ("", "/", {}),
        ("/api//hello/", "/api/hello", {}),
        ("api/caf\u00e9", "/api/caf%C3%A9", {}),
        ("a/{{x}}", "/a/{x}", {}),
        ("a/{b}", "/a/1", {"b": "1"}),
        ("a/{b}", "/a/x%20y%25", {"b": "x y%"}),
        ("a/{b}", "/a/x%2Fy", {"b": "x%2Fy"}),
        ("a/{b}", "/a", None),
        ("a/{b}", "/a/1/2", None),
        ("a/{b?}", "/a", {}),
        ("a/{b?}", "/a/1", {"b": "1"}),
        ("a/{b=5}", "/a", {"b": "5"}),
        ("a/{b=5}/{c?}", "/a/1/2", {"b": "1", "c": "2"}),
        ("a/{*rest}", "/a", {}),
        ("a/{*rest}", "/a/b/c", {"rest": "b/c"}),
        ("{**rest}", "/a/b", {"rest": "a/b"}),
        ("{*rest}", "/", {}),
        ("files/{name}.{ext}", "/files/a.b.c", {"name": "a.b", "ext": "c"}),
        ("files/{name}.{ext?}", "/files/a.b.c", {"name": "a.b", "ext": "c"}),
        ("files/{name}.{ext?}", "/files/a", {"name": "a"}),
        ("x/{a}-{b}", "/x/1-2-3", {"a": "1-2", "b": "3"}),
        ("v{n}/x", "/v2/x", {"n": "2"}),
        ("a/{id:int}", "/a/-7", {"id": "-7"}),
        ("a/{id:int}", "/a/x", None),
        ("a/{id:int}", "/a/9999999999", None),
        ("a/{id:long}", "/a/9999999999", {"id": "9999999999"}),
        ("a/{id:int?}", "/a", {}),
        ("a/{id:int=3}", "/a", {"id": "3"}),
        ("a/{id:int:min(5)}", "/a/4", None),
        ("a/{id:int:min(5)}", "/a/5", {"id": "5"}),
        ("a/{id:range(1,5)}", "/a/6", None),
        ("a/{id:Max(5)}", "/a/5", {"id": "5"}),
        ("a/{x:bool}", "/a/TRUE", {"x": "TRUE"}),
        ("a/{x:bool}", "/a/1", None),
        ("a/{x:guid}", "/a/c9bf9e57-1685-4c89-bafb-ff5af830be8a", "same"),
        ("a/{x:guid}", "/a/c9bf", None),
        ("a/{x:datetime}", "/a/2026-01-31", {"x": "2026-01-31"}),
        ("a/{x:datetime}", "/a/soon", None),
        ("a/{x:double}", "/a/1.5e3", {"x": "1.5e3"}),
        ("a/{x:decimal}", "/a/1.5", {"x": "1.5"}),
        ("a/{x:decimal}", "/a/one", None),
        ("a/{x:alpha}", "/a/abC", {"x": "abC"}),
        ("a/{x:alpha}", "/a/ab1", None),
        ("a/{x:length(2)}", "/a/abc", None),
        ("a/{x:length(2,3)}", "/a/abc", {"x": "abc"}),
        ("a/{x:minlength(2)}", "/a/a", None),
        ("a/{x:maxlength(2)}", "/a/abc", None),
        ("a/{*x:file}", "/a/b/c.txt", {"x": "b/c.txt"}),
        ("a/{*x:nonfile}", "/a/b/c.txt", None),
        (r"a/{x:regex(^\d{{2}}(a|b)$)}", "/a/12b", {"x": "12b"}),
        (r"a/{x:regex(^\d{{2}}(a|b)$)}", "/a/123", None),
        (r"a/{x:regex(^[^/:]+$)}", "/a/b", {"x": "b"}),
    ],
)
def test_template_matches_path(
    template: str, path: str, expected: dict[str, str] | str | None
) -> None:
    if expected == "same":
        expected = {"x": path.rpartition("/")[2]}
    assert match(template, path) == expected


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("a/{b", "'{' without '}'"),
        ("a/b}", "'}' without '{'"),
        ("a/{}", "bad parameter"),
        ("a/{b?}/c", "must be the last"),
        ("a/{*b}/c", "only be the last"),
        ("a/x{*b}", "segment of its own"),
        ("a/{b}{c}", "text between"),
        ("a/{b}/{B}", "appears twice"),
        ("a/{b:colour}", "'colour' is unknown; known: int"),
        ("a/{b:min(x)}", "wrong arguments"),
        ("a/{b:min(}", "lacks its"),
        ("a/{b:regex([)}", "does not compile"),
        ("a/{b}x{c?}", "can only end a route"),
    ],
)
def test_bad_template_says_what_is_wrong(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        RouteTemplate(template)


def table(*routes: tuple[str, str]) -> RouteTable[str]:
    """Routes in the given order: (template, methods); the target is the template."""
    return RouteTable(
        (RouteTemplate(template), frozenset(methods.split()), template)
        for template, methods in routes
    )


def found(routes: RouteTable[str], method: str, path: str) -> str | None:
    result = routes.find(method, path)
    return None if result is None else result[0]


def test_first_route_wins_even_when_a_later_one_is_more_precise() -> None:
    assert found(table(("{*any}", ""), ("b/exact", "")), "GET", "/b/exact") == "{*any}"
    assert found(table(("b/exact", ""), ("{*any}", "")), "GET", "/b/exact") == "b/exact"


def test_method_mismatch_tries_the_next_route() -> None:
    routes = table(("a/{x}", "POST"), ("a/b", "PUT"), ("a/{y}", "GET"))
    assert found(routes, "GET", "/a/b") == "a/{y}"
    assert found(routes, "PUT", "/a/b") == "a/b"
    assert found(routes, "DELETE", "/a/b") is None


def test_constraint_mismatch_tries_the_next_route() -> None:
    routes = table(("a/{x:int}", ""), ("a/{x}", ""))
    assert found(routes, "GET", "/a/b") == "a/{x}"


def test_route_without_methods_answers_every_method() -> None:
    assert found(table(("a", "")), "OPTIONS", "/a") == "a"
