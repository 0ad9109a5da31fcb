"""Asking a host of this machine what it does, also while user code blocks its event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.engine import Host, until
from support.hubs import sqlite_hub

from func_py.durable.engine.live import LiveInstance
from func_py.durable.model import RuntimeStatus
from func_py.management.why.side_channel import HostAnswer, SideChannel, ask_hosts

Orchestration = Generator[Any, Any, Any]


def approves(context: Any) -> Orchestration:
    yield context.wait_for_external_event("Approval")


class Block:
    """Blocks the event loop until somebody has asked about that."""

    def __init__(self, sockets: Path, host_id: str) -> None:
        self._sockets = sockets
        self._host_id = host_id
        self._entered = threading.Event()
        self._asked = threading.Event()

    def block(self) -> None:
        """To be called where the loop is."""
        self._entered.set()
        self._asked.wait(20)

    def ask(self) -> Sequence[HostAnswer]:
        """To be called in another thread."""
        self._entered.wait(20)
        try:
            return asyncio.run(ask_hosts(self._sockets, "one", [self._host_id]))
        finally:
            self._asked.set()


@contextmanager
def answering(host: Host, sockets: Path) -> Iterator[None]:
    """The channel of a host, which calls its loop blocked after a blink."""
    engine = host.engine
    channel = SideChannel(
        sockets, host.host_id, engine.look, lambda: engine.turn, loop_patience_s=0.02
    )
    channel.open()
    try:
        yield
    finally:
        channel.close()


async def test_an_orchestrator_that_blocks_the_loop_is_named_with_its_stack(tmp_path: Path) -> None:
    def blocks(context: Any) -> Orchestration:
        block.block()
        yield context.wait_for_external_event("Approval")

    host = Host(sqlite_hub(tmp_path), {"blocks": blocks, "approves": approves})
    block = Block(tmp_path / "sockets", host.host_id)
    async with host:
        with answering(host, tmp_path / "sockets"):
            asking = asyncio.create_task(asyncio.to_thread(block.ask))
            await host.client.start("blocks", instance_id="guilty")
            (answer,) = await asking

    blocked = answer.blocked
    assert blocked is not None
    assert (blocked.orchestrator, blocked.instance_id) == ("blocks", "guilty")
    (place,) = [line for line in blocked.stack if " in blocks: " in line]
    line = blocks.__code__.co_firstlineno + 1
    assert place.endswith(f"test_side_channel.py:{line} in blocks: block.block()")


async def test_other_code_that_blocks_the_loop_is_told_by_its_stack(tmp_path: Path) -> None:
    host = Host(sqlite_hub(tmp_path), {"approves": approves})
    block = Block(tmp_path / "sockets", host.host_id)
    async with host:
        with answering(host, tmp_path / "sockets"):
            asking = asyncio.create_task(asyncio.to_thread(block.ask))
            await asyncio.sleep(0)
            block.block()
            (answer,) = await asking

    blocked = answer.blocked
    assert blocked is not None
    assert blocked.orchestrator == ""
    assert blocked.function.startswith("test_other_code_that_blocks")
    assert any(" in block: self._asked.wait(20)" in line for line in blocked.stack)


async def test_a_host_that_does_not_answer_at_all_is_known_by_its_process(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "a-host.4711"))
        stopped.listen()

        (answer,) = await ask_hosts(tmp_path, "one", ["a-host"], patience_s=0.02)

    assert answer == HostAnswer(host_id="a-host", process=4711)


async def test_a_host_that_does_not_live_is_not_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as forked:
        forked.bind(str(tmp_path / "a-host.4711"))
        forked.listen()

        assert await ask_hosts(tmp_path, "one", ["another"]) == []


async def _look(instance_id: str) -> LiveInstance:
    return LiveInstance(pending=len(instance_id))


async def test_a_socket_is_found_below_a_folder_of_any_depth(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    channel = SideChannel(deep, "a-host", _look, lambda: None)
    channel.open()

    (answer,) = await ask_hosts(deep, "one", ["a-host"])
    channel.close()

    assert answer.seen is not None
    assert (answer.seen.pending, answer.process) == (3, os.getpid())
    assert os.listdir(deep) == []


async def test_the_socket_of_a_killed_host_is_cleared_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "killed.4711"))
        killed.listen()
    channel = SideChannel(tmp_path, "a-host", _look, lambda: None)

    channel.open()
    names = os.listdir(tmp_path)
    channel.close()

    assert names == [f"a-host.{os.getpid()}"]


async def test_the_socket_of_a_host_that_is_just_starting_is_left_alone(tmp_path: Path) -> None:
    channel = SideChannel(tmp_path, "a-host", _look, lambda: None)
    with socket.socket(socket.AF_UNIX) as starting:
        starting.bind(str(tmp_path / ".another.4711"))

        channel.open()
        names = os.listdir(tmp_path)
        channel.close()

    assert sorted(names) == [".another.4711", f"a-host.{os.getpid()}"]


async def test_only_the_same_user_may_ask(tmp_path: Path) -> None:
    channel = SideChannel(tmp_path, "a-host", _look, lambda: None)
    channel.open()
    modes = [os.stat(tmp_path / name).st_mode & 0o777 for name in os.listdir(tmp_path)]
    channel.close()

    assert modes == [0o600]


async def test_a_host_without_a_place_for_its_socket_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    channel = SideChannel(tmp_path / "file", "a-host", _look, lambda: None)

    channel.open()
    channel.close()

    assert await ask_hosts(tmp_path / "file", "one", ["a-host"]) == []


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("sockets", "it waits for the event 'Approval', which has not come"),
        (
            "elsewhere",
            ", which cannot be asked from here; this is what is stored. ",
        ),
    ],
)
async def test_another_host_of_the_hub_says_what_it_can_find_out(
    tmp_path: Path, folder: str, text: str
) -> None:
    owner = Host(sqlite_hub(tmp_path), {"approves": approves})
    # Without functions it owns nothing.
    other = Host(sqlite_hub(tmp_path), {}, sockets_dir=tmp_path / folder)
    async with owner:
        await owner.client.start("approves", instance_id="one")
        await owner.wait_for("one", RuntimeStatus.RUNNING)
        with answering(owner, tmp_path / "sockets"):
            async with other:

                async def is_said() -> bool:
                    found = await other.explainer.explain("one")
                    return found is not None and text in found.reasons[0].text

                await until(is_said, text)
