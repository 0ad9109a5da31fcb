"""Every method of the SDK's client, each with its good and its bad ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions import OrchestrationRuntimeStatus as Status

PATIENCE_S = 20.0


class Calls:
    """Makes calls and notes what came of each, under a label."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.called: set[str] = set()
        self.told: dict[str, Any] = {}

    async def call(self, method: str, *arguments: Any, **more: Any) -> Any:
        """One call, unnoted."""
        self.called.add(method)
        result = getattr(self._client, method)(*arguments, **more)
        return await result if asyncio.iscoroutine(result) else result

    async def tell(self, label: str, method: str, *arguments: Any, **more: Any) -> Any:
        """One call; its result or the text of what it raised is noted."""
        try:
            result = await self.call(method, *arguments, **more)
        except Exception as error:  # noqa: BLE001 - the SDK has no narrower class
            self.told[label] = f"{type(error).__name__}: {error}"
            return None
        if isinstance(result, dict):
            result = result["id"]
        self.told[label] = getattr(result, "instances_deleted", result)
        return result

    async def until(self, instance_id: str, *wanted: Status) -> Any:
        """Poll the status of an instance until it is one of those."""
        return await self.poll(
            lambda status: status.runtime_status in wanted, "get_status", instance_id
        )

    async def poll(self, is_enough: Callable[[Any], bool], method: str, *arguments: Any) -> Any:
        """Repeat a call until its result is enough."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while not is_enough(result := await self.call(method, *arguments)):
            if loop.time() > deadline:
                raise AssertionError(f"waited in vain for {method}{arguments}: {result}")
            await asyncio.sleep(0.005)
        return result


async def every_call(calls: Calls, req: func.HttpRequest, name: str) -> None:
    """Make all calls; `name` keeps the instances of two callers apart."""
    began = datetime.now(UTC) - timedelta(minutes=1)
    await _starts(calls, name)
    await _life(calls, name)
    await _rewinds_and_restarts(calls, name)
    await _entities(calls, name)
    await _answers(calls, req, name)
    await _queries_and_purges(calls, name, began)


async def _starts(calls: Calls, name: str) -> None:
    told = calls.told
    await calls.tell("start", "start_new", "waiter", f"{name}-a", {"n": 1})
    await calls.until(f"{name}-a", Status.Running)
    await calls.tell("start a running id", "start_new", "waiter", f"{name}-a")
    await calls.tell("start a stranger", "start_new", "waitr")
    await calls.tell("start under a bad id", "start_new", "waiter", "@a")
    made = await calls.call("start_new", "waiter", None, None, "1.0")
    told["made id"] = [len(made), made.isalnum()]
    await calls.until(made, Status.Running)
    await calls.tell("terminate", "terminate", made, "no use for it")
    ended = await calls.until(made, Status.Terminated)
    told["terminated"] = ended.output
    await calls.tell("purge", "purge_instance_history", made)
    await calls.tell("purge of nothing", "purge_instance_history", made)


async def _life(calls: Calls, name: str) -> None:
    told, one = calls.told, f"{name}-a"
    status = await calls.call("get_status", one)
    told["running"] = [status.name, status.instance_id == one, status.custom_status, status.output]
    told["input"] = status.input_
    await calls.tell("suspend", "suspend", one, "a pause")
    await calls.until(one, Status.Suspended)
    await calls.tell("resume", "resume", one, "go on")
    await calls.until(one, Status.Running)
    await calls.tell("purge of what runs", "purge_instance_history", one)
    await calls.tell("event without a name", "raise_event", one, "")
    await calls.tell("event", "raise_event", one, "Go", {"x": 1})
    await calls.until(one, Status.Completed)
    full = await calls.call(
        "get_status", one, show_history=True, show_history_output=True, show_input=True
    )
    told["completed"] = full.output
    told["history"] = [entry["EventType"] for entry in full.history]
    for method, more in (
        ("raise_event", ("Go",)),
        ("terminate", ("why",)),
        ("suspend", ("why",)),
        ("resume", ("why",)),
        ("rewind", ("why",)),
    ):
        await calls.tell(f"{method} of what has ended", method, one, *more)
        await calls.tell(f"{method} of nothing", method, "nobody", *more)
    nothing = await calls.call("get_status", "nobody")
    told["status of nothing"] = bool(nothing)


async def _rewinds_and_restarts(calls: Calls, name: str) -> None:
    told, one = calls.told, f"{name}-f"
    await calls.call("start_new", "failing", one)
    failed = await calls.until(one, Status.Failed)
    told["failed"] = failed.output.splitlines()[0]
    await calls.tell("restart of what failed", "restart", one, False)
    await calls.until(one, Status.Completed)
    await calls.tell("restart of nothing", "restart", "nobody")
    again = await calls.call("restart", one)
    told["restarted under a new id"] = again["id"] not in ("", one)
    await calls.until(again["id"], Status.Failed)
    await calls.tell("rewind", "rewind", again["id"], "mended")
    await calls.until(again["id"], Status.Completed)
    await calls.call("start_new", "waiter", f"{name}-w")
    await calls.until(f"{name}-w", Status.Running)
    await calls.tell("restart of what runs", "restart", f"{name}-w", False)
    await calls.tell("rewind of what runs", "rewind", f"{name}-w", "why")


async def _entities(calls: Calls, name: str) -> None:
    told, meter = calls.told, df.EntityId("Meter", name)
    before = await calls.call("read_entity_state", meter)
    told["entity before"] = [before.entity_exists, before.entity_state]
    await calls.tell("signal", "signal_entity", meter, "add", 5)
    await calls.tell("signal of nothing", "signal_entity", meter, "add", 0)
    after = await calls.poll(lambda each: bool(each.entity_state), "read_entity_state", meter)
    told["entity after"] = [after.entity_exists, after.entity_state]
    await calls.tell("signal a stranger", "signal_entity", df.EntityId("Metr", "k"), "add", 1)


async def _answers(calls: Calls, req: func.HttpRequest, name: str) -> None:
    told, one, running = calls.told, f"{name}-a", f"{name}-w"
    links = await calls.call("create_http_management_payload", one)
    told["links"] = sorted(links)
    own = await calls.call("get_client_response_links", None, one)
    told["links without a request"] = own == links
    seen = await calls.call("get_client_response_links", req, one)
    told["links of the request"] = seen["statusQueryGetUri"].startswith(req.url.split("/api/")[0])
    answer = await calls.call("create_check_status_response", req, one)
    told["check status"] = [answer.status_code, answer.headers["Retry-After"]]
    told["check status leads to"] = answer.headers["Location"] == seen["statusQueryGetUri"]
    wait = "wait_for_completion_or_create_check_status_response"
    done = await calls.call(wait, req, one, 1000, 10)
    told["wait for what has ended"] = [done.status_code, done.get_body().decode()]
    late = await calls.call(wait, req, running, 20, 10)
    told["wait in vain"] = late.status_code
    await calls.tell("wait less than a poll", wait, req, running, 10, 20)


async def _queries_and_purges(calls: Calls, name: str, began: datetime) -> None:
    told = calls.told
    mine = [f"{name}-a", f"{name}-f", f"{name}-w"]
    everyone = await calls.call("get_status_all")
    told["all"] = sorted(s.instance_id for s in everyone if s.instance_id in mine) == mine
    found = await calls.call(
        "get_status_by", began, datetime.now(UTC) + timedelta(minutes=1), [Status.Running], name
    )
    told["by status"] = [each.instance_id == f"{name}-w" for each in found]
    by = "purge_instance_history_by"
    now = datetime.now(UTC)
    await calls.tell("purge by status", by, began, now, [Status.Completed])
    await calls.tell("purge by status once more", by, began, now, [Status.Completed])
    await calls.tell("purge without a begin", by)
    await calls.call("terminate", f"{name}-w", "the end")
