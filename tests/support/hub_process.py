"""A host in a process of its own, for tests of what only processes can show.

`HubProcess` starts `python -m support.hub_process DIRECTORY` and speaks to it in lines: a JSON
array (a verb and its arguments) in, a JSON array (null or an error, and a result) out.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
from support.durable_values import NOON, at, make_start, make_turn, raised, scheduled
from support.sqlite_harness import SqliteHarness

from func_py.durable import faults
from func_py.durable.model import new_id
from func_py.durable.storage.base import REUSE_FINISHED, HostRecord, Lease
from func_py.errors import FuncPyError

_TESTS = Path(__file__).parents[1]


class HubProcessError(Exception):
    """The verb raised in the process."""


class HubProcess:
    """The process as seen from the test.

    Args:
        directory: Of the hub files.
        crash_at: A crash point (`func_py.durable.faults`) at which the process kills itself.
    """

    def __init__(self, directory: Path, *, crash_at: str = "") -> None:
        self._directory = directory
        self._crash_at = crash_at
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> HubProcess:
        """Start the process; it has opened nothing yet."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.hub_process",
            str(self._directory),
            self._crash_at,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_TESTS)},
        )
        return self

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The started process."""
        assert self._process is not None
        return self._process

    async def do(self, verb: str, *arguments: object) -> Any:
        """Carry out a verb; its result. Raises HubProcessError, EOFError when the process died."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(msgspec.json.encode([verb, *arguments]) + b"\n")
        line = await asyncio.wait_for(stdout.readline(), 20)
        if not line:
            raise EOFError(await self.process.wait())
        error, result = msgspec.json.decode(line)
        if error is not None:
            raise HubProcessError(error)
        return result

    async def kill(self) -> None:
        """End the process with SIGKILL."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """Let it end by itself, if it has not yet and is not stuck."""
        if self._process is not None and self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                await self.kill()


class _Host:
    """The verbs."""

    def __init__(self, directory: Path) -> None:
        self._hub = SqliteHarness(directory).hub()
        self._leases: list[Lease] = []

    async def create_hub(self) -> None:
        await self._hub.create_hub()

    async def open(self) -> str:
        host_id = new_id()
        await self._hub.open(HostRecord(host_id=host_id, started_at=NOON))
        return host_id

    async def close(self) -> None:
        await self._hub.close()

    async def own(self) -> int:
        """Acquire and recover all that is free; how many partitions."""
        leases = await self._hub.acquire(range(4))
        for lease in leases:
            await self._hub.recover(lease, at(0))
        self._leases += leases
        return len(leases)

    async def create(self, instance_id: str) -> str:
        state, start = make_start(instance_id)
        await self._hub.create_instance(state, start, REUSE_FINISHED)
        return start.id

    async def send(self, instance_id: str, message_id: str, size: int = 1) -> None:
        await self._hub.send([raised(instance_id, id=message_id, input='"' + "x" * size + '"')])

    async def send_many(self, instance_id: str, count: int) -> None:
        """One call after the other."""
        for _ in range(count):
            await self._hub.send([raised(instance_id)])

    async def turn(self, instance_id: str) -> str:
        """Commit a turn of one event; what the hub answers."""
        loaded = await self._hub.load(instance_id)
        assert loaded is not None
        partition = (await self._hub.receive())[0].partition
        [lease] = [lease for lease in self._leases if lease.partition == partition]
        turn = make_turn(lease, loaded.token, loaded.state, events=scheduled(1))
        [answer] = await self._hub.commit([turn])
        return type(answer).__name__

    async def receive(self, count: int) -> list[str]:
        """Ids of the next messages."""
        ids: list[str] = []
        while len(ids) < count:
            ids += [mail.message.id for mail in await self._hub.receive()]
        return ids

    async def hold(self, key: str) -> bool:
        """Hold a record."""
        return await self._hub.hold_record(key)

    async def write(self, key: str, value: str) -> bool:
        """Write a record over what is there."""
        found = await self._hub.read_record(key)
        return await self._hub.write_record(key, value, found.version if found else 0)

    async def fork(self) -> int:
        """Leave a forked child behind, as user code may; its process id."""
        child = os.fork()
        if child == 0:
            # The pipes to the test, which waits for their end.
            os.close(0)
            os.close(1)
            signal.pause()
            os._exit(0)
        return child

    async def limit_files(self, size: int) -> None:
        """Let no file grow beyond this size, as on a full disk; 0 lifts it."""
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size or resource.RLIM_INFINITY, hard))


async def _serve(directory: Path) -> None:
    host = _Host(directory)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        verb, *arguments = msgspec.json.decode(line)
        answer: list[object]
        try:
            answer = [None, await getattr(host, verb)(*arguments)]
        except FuncPyError as error:
            answer = [f"{type(error).__name__}: {error}", None]
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    faults.arm(sys.argv[2])
    asyncio.run(_serve(Path(sys.argv[1])))
