"""A loaded app on its way: it takes over, serves, hands over to another process, and is done."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from func_py.invocation import Invoker
from func_py.supervisor.protocol import Loaded, Ready
from func_py.web import HttpFrontEnd

_LOOK_S = 0.05

Step = Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Host:
    """An app that is loaded."""

    loaded: Loaded
    take_over: Callable[[socket.socket], Awaitable[Ready]]
    """Accept on the bound socket, own partitions, listen to triggers. Called once at most."""
    front_end: HttpFrontEnd
    invoker: Invoker
    hand_over_steps: list[Step] = field(default_factory=list)
    """Each has a source of work listen and own no more, and lets go on what runs."""
    cut_steps: list[Step] = field(default_factory=list)
    """Each ends what a source of work still runs."""
    _begun: set[asyncio.Task[None]] = field(default_factory=set)

    async def hand_over(self) -> None:
        """Accept, own and listen to nothing any more. What runs goes on."""
        await self.front_end.hand_over()
        await asyncio.gather(*(step() for step in self.hand_over_steps))

    async def begin(self, work: Coroutine[None, None, None]) -> None:
        """Run something up to where it waits, and let it go on by itself."""
        self._begun.add(asyncio.create_task(work))
        await asyncio.sleep(0)

    async def wait_unused(self, until: Awaitable[object]) -> None:
        """Wait until nothing runs and nobody is connected; after the drain time, cut what is left.

        A connection that a client keeps alive counts: it gets one more answer. `until`: it counts
        no longer when this has come.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.loaded.drain_s
        hurried = asyncio.ensure_future(until)
        try:
            while self.invoker.running or (self.front_end.connection_count and not hurried.done()):
                if loop.time() >= deadline:
                    for cut in self.cut_steps:
                        await cut()
                    return
                await asyncio.sleep(_LOOK_S)
        finally:
            hurried.cancel()
