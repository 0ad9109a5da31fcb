# mypy: disable-error-code="untyped-decorator"
"""Which keys open what, and where a request may show them."""

from __future__ import annotations

from pathlib import Path

import azure.functions as func
import pytest
from aiohttp import web
from support.web_client import serving

from func_py.keys import HOST, SYSTEM, KeyStore, of_function
from func_py.web import Mount
from func_py.web.keys import KeyGuard

KEYS = ["none", "wrong", "own", "other", "host", "system", "master"]


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path)
    store.put(of_function("function"), "mine", "own")
    store.put(of_function("elsewhere"), "mine", "other")
    store.put(HOST, "default", "host")
    store.put(SYSTEM, "durabletask_extension", "system")
    store.put(SYSTEM, "_master", "master")
    return store


def app_of_all_levels() -> func.FunctionApp:
    app = func.FunctionApp()
    for level in func.AuthLevel:

        async def hello(req: func.HttpRequest) -> str:
            return "hello"

        name = level.value.lower()
        app.function_name(name)(app.route(route=f"for/{name}", auth_level=level)(hello))
    return app


@pytest.mark.parametrize(
    ("path", "opening"),
    [
        ("/api/for/anonymous", set(KEYS)),
        ("/api/for/function", {"own", "host", "master"}),
        ("/api/for/admin", {"master"}),
        ("/hook/x", {"system", "master"}),
    ],
)
async def test_each_level_is_opened_by_its_keys(
    store: KeyStore, path: str, opening: set[str]
) -> None:
    guard = KeyGuard(store)

    async def hook(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="hook")

    mount = Mount("/hook", guard.webhook("durabletask_extension", hook))
    async with serving(app_of_all_levels(), lambda *_: [mount], authorizer=guard) as client:
        answers = {key: await client.send("GET", path, params={"code": key}) for key in KEYS[1:]}
        answers["none"] = await client.send("GET", path)

    assert {key for key, answer in answers.items() if answer.status == 200} == opening
    for key in set(KEYS) - opening:
        assert (answers[key].status, answers[key].text) == (401, "")
        assert answers[key].headers["Content-Length"] == "0"


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [
        ("own", None, 200),
        (None, {"code": "own"}, 200),
        (None, {"CODE": "own"}, 200),
        (None, [("code", "own"), ("code", "wrong")], 200),
        (None, [("code", "wrong"), ("code", "own")], 401),
        ("wrong", {"code": "own"}, 401),
        ("own", {"code": "wrong"}, 200),
        ("", {}, 401),
        ("\xff", {}, 401),
    ],
)
async def test_the_header_is_looked_at_before_the_query(
    store: KeyStore, header: str | None, query: object, status: int
) -> None:
    headers = {} if header is None else {"X-Functions-Key": header}
    async with serving(app_of_all_levels(), authorizer=KeyGuard(store)) as client:
        answer = await client.send("GET", "/api/for/function", params=query, headers=headers)

    assert answer.status == status


async def test_an_unknown_path_is_not_found_whatever_the_key(store: KeyStore) -> None:
    async with serving(app_of_all_levels(), authorizer=KeyGuard(store)) as client:
        assert (await client.send("GET", "/api/for/nowhere")).status == 404


async def test_a_key_that_was_replaced_opens_nothing_more(store: KeyStore) -> None:
    async with serving(app_of_all_levels(), authorizer=KeyGuard(store)) as client:
        assert (await client.send("GET", "/api/for/function?code=own")).status == 200

        store.put(of_function("function"), "mine", "new")

        assert (await client.send("GET", "/api/for/function?code=own")).status == 401
        assert (await client.send("GET", "/api/for/function?code=new")).status == 200


async def test_files_that_cannot_be_read_open_nothing_and_say_so_once(
    store: KeyStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "host.json").write_text("{")
    async with serving(app_of_all_levels(), authorizer=KeyGuard(store)) as client:
        statuses = [
            (await client.send("GET", "/api/for/admin?code=master")).status for _ in range(3)
        ]

    assert statuses == [401, 401, 401]
    assert [record.message for record in caplog.records] == [
        (
            f"No key opens anything: {tmp_path / 'host.json'}: is not valid JSON: "
            "Expecting property name enclosed in double quotes (line 1, column 2)"
        )
    ]


async def test_a_disabled_function_is_found_by_an_admin_only(store: KeyStore) -> None:
    async with serving(
        app_of_all_levels(), authorizer=KeyGuard(store), disabled=["Function", "anonymous"]
    ) as client:
        assert (await client.send("GET", "/api/for/anonymous")).status == 404
        assert (await client.send("GET", "/api/for/function?code=own")).status == 404
        assert (await client.send("GET", "/api/for/function?code=master")).status == 200


async def test_in_development_everybody_is_an_admin() -> None:
    async with serving(app_of_all_levels(), disabled=["function"]) as client:
        assert (await client.send("GET", "/api/for/function")).status == 200
