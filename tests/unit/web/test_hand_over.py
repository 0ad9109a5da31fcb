"""A front end hands over to another one on the same socket, and no client notices."""

from __future__ import annotations

import asyncio
import socket

import azure.functions as func
import pytest
from support.apps import RecordedLog, functions
from support.serving import app_of

from func_py.invocation import Invoker
from func_py.web import HttpFrontEnd

REQUEST = b"GET /api/who HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def front_end_that_says(text: str, listener: socket.socket) -> HttpFrontEnd:
    async def who(req: func.HttpRequest) -> str:
        return text

    app = app_of(who, route="who")
    front_end = HttpFrontEnd(functions(app).values(), Invoker(RecordedLog()))
    await front_end.start(listener.dup())
    return front_end


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bool]:
    """The text of the answer, and whether it ends the connection."""
    writer.write(REQUEST)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return (await reader.readexactly(length)).decode(), b"connection: close" in head


async def test_a_kept_connection_gets_one_more_answer_and_the_next_one_reaches_the_heir() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        old = await front_end_that_says("old", listener)
        kept = await asyncio.open_connection("127.0.0.1", port)
        assert await ask(*kept) == ("old", False)

        await old.hand_over()
        heir = await front_end_that_says("heir", listener)
        fresh = await asyncio.open_connection("127.0.0.1", port)

        assert await ask(*fresh) == ("heir", False)
        assert old.connection_count == 1
        assert await ask(*kept) == ("old", True)
        assert await kept[0].read() == b""
        assert old.connection_count == 0
        for _, writer in (kept, fresh):
            writer.close()
        await old.stop(0)
        await heir.stop(0)


@pytest.mark.parametrize("rounds", range(4))
async def test_a_connection_that_is_being_accepted_is_answered(rounds: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        old = await front_end_that_says("old", listener)
        client = socket.create_connection(listener.getsockname())
        for _ in range(rounds):
            await asyncio.sleep(0)

        await old.hand_over()
        heir = await front_end_that_says("heir", listener)
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client)

        assert (await ask(reader, writer))[0] in ("old", "heir")
        writer.close()
        await old.stop(0)
        await heir.stop(0)
