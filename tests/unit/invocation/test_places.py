# mypy: disable-error-code="untyped-decorator"
"""Where the code of invocations stands that have not ended."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import azure.durable_functions as df
import pytest
from support.apps import RecordedLog, functions

from func_py.durable.model import ActivityTask
from func_py.invocation import ActivityCalls, Invoker


class App:
    """Activities that wait, in a thread and in the loop, until they are let go."""

    def __init__(self) -> None:
        app = df.DFApp()
        loop = asyncio.get_running_loop()
        self.started = asyncio.Event()
        self.release = threading.Event()
        self.go = asyncio.Event()

        @app.activity_trigger(input_name="x")
        def plain(x: Any) -> None:
            loop.call_soon_threadsafe(self.started.set)
            self.release.wait(20)

        async def deeper() -> None:
            self.started.set()
            await self.go.wait()

        @app.activity_trigger(input_name="x")
        async def waiting(x: Any) -> None:
            await deeper()

        self.invoker = Invoker(RecordedLog())
        self.calls = ActivityCalls(functions(app).values(), self.invoker)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("plain", " in plain: self.release.wait(20)"),
        ("waiting", " in deeper: await self.go.wait()"),
    ],
)
async def test_the_place_is_that_of_the_users_code(name: str, place: str) -> None:
    app = App()
    task = ActivityTask(instance_id="i", execution_id="e", task_id=0, name=name, input=None)
    running = asyncio.create_task(app.calls.run(task))
    await app.started.wait()

    # The thread may just have called us, and not wait yet.
    async with asyncio.timeout(20):
        while True:
            [(cause, found)] = app.invoker.places(lambda cause: cause is task)
            if found.endswith(place):
                break
            await asyncio.sleep(0)

    assert cause is task
    assert list(app.invoker.places(lambda _: False)) == []
    app.release.set()
    app.go.set()
    await running
    assert list(app.invoker.places(lambda _: True)) == []
