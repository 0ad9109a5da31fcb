"""Why an instance has not ended: each reason, on a host that runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.durable_functions import EntityId, RetryOptions
from support.engine import Host, until
from support.hubs import sqlite_hub
from support.postgres_harness import PostgresHarness
from support.postgres_server import PostgresServer

from func_py.clock import RealClock
from func_py.durable.engine import EngineOptions, Misfits, VersionFailure
from func_py.durable.engine.in_hand import InHand
from func_py.durable.model import (
    EntityRequest,
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    InstanceState,
    LockTarget,
    LongTimers,
    Message,
    RuntimeStatus,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
    encode_request,
    new_id,
    partition_of,
    pending_state,
)
from func_py.durable.storage.base import HostRecord, InstanceQuery, Whereabouts
from func_py.errors import StorageUnavailable
from func_py.management.api import DurableApi
from func_py.management.calls import ApiRequest
from func_py.management.why import Explanation, OtherHosts
from func_py.management.why.facts import Facts
from func_py.management.why.reasons import reasons
from func_py.management.why.side_channel import Blocked, HostAnswer

Orchestration = Generator[Any, Any, Any]


def digs(context: Any) -> Orchestration:
    yield context.call_activity("dig", 1)


def digs_often(context: Any) -> Orchestration:
    yield context.task_all([context.call_activity("dig", each) for each in range(20)])


def approves(context: Any) -> Orchestration:
    due = context.current_utc_datetime + timedelta(days=1)
    yield context.task_any([context.create_timer(due), context.wait_for_external_event("Approval")])


def sleeps(context: Any) -> Orchestration:
    yield context.create_timer(context.current_utc_datetime + timedelta(days=10))


def approves_edited(context: Any) -> Orchestration:
    yield context.call_activity("dig", 1)


def parent(context: Any) -> Orchestration:
    yield context.call_sub_orchestrator("approves", None, "the-child")


def yields_nothing(context: Any) -> Orchestration:
    yield None


def asks_entity(context: Any) -> Orchestration:
    return (yield context.call_entity(EntityId("slow", "one"), "add", 1))


def echo(context: Any) -> Any:
    return context.get_input()


ORCHESTRATORS = {
    function.__name__: function
    for function in (digs, digs_often, approves, parent, yields_nothing, asks_entity, echo)
}


class Site:
    """A hub, an app on it, and what its activities wait for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dug = asyncio.Event()

    async def _dig(self, depth: int) -> int:
        await self.dug.wait()
        return depth

    @asynccontextmanager
    async def host(self, **more: Any) -> AsyncIterator[Host]:
        """A host that runs, and whose activities end when it stops."""
        orchestrators = more.pop("orchestrators", ORCHESTRATORS)
        host = Host(sqlite_hub(self.directory), orchestrators, {"dig": self._dig}, **more)
        try:
            async with host:
                try:
                    yield host
                finally:
                    self.dug.set()
        finally:
            self.dug.clear()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def explained(host: Host, instance_id: str) -> Explanation:
    found = await host.explainer.explain(instance_id)
    assert found is not None
    return found


async def until_said(
    host: Host, instance_id: str, *texts: str, kinds: Sequence[str] | None = None
) -> Explanation:
    """Wait until the reasons say all of these, and are of these kinds where it matters."""
    last = ""

    async def said() -> Explanation | None:
        nonlocal last
        found = await host.explainer.explain(instance_id)
        last = "" if found is None else "\n".join(reason.text for reason in found.reasons)
        if found is None or not all(text in last for text in texts):
            return None
        return found if kinds is None or [r.kind for r in found.reasons] == kinds else None

    try:
        return await until(said, "")
    except AssertionError:
        raise AssertionError(f"wanted {texts}, but last it said:\n{last}") from None


async def test_an_event_that_is_waited_for_is_named(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")

        await until_said(
            host,
            "one",
            "it waits for the event 'Approval', which has not come",
            "timer #0 until ",
            ", in ",
            "nothing is wrong: it goes on by itself",
            kinds=["event", "timer", "fine"],
        )


async def test_a_part_of_a_long_timer_names_the_end_of_the_whole(site: Site) -> None:
    event = ExecutionStarted(
        timestamp=datetime.now(UTC),
        name="sleeps",
        execution_id="first",
        long_timers=LongTimers(longest=timedelta(days=6), interval=timedelta(days=3)),
    )
    start = Message(id="first", instance_id="one", execution_id="first", event=event)
    async with site.host(orchestrators={"sleeps": sleeps}) as host:
        await host.hub.create_instance(pending_state("one", event), start, ())

        await until_said(
            host, "one", "timer #0 until ", ", in 2 d 23 h, part of a timer until ", " UTC"
        )


async def test_an_event_with_nearly_the_name_is_named_first(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.client.raise_event("one", "Zebra", "1")
        await host.client.raise_event("one", "Aproval", "1")

        found = await until_said(
            host,
            "one",
            "the event 'Aproval' has come, but the code waits for 'Approval'",
            "events that have come and that it does not wait for now: 'Zebra'",
        )

    assert (found.reasons[0].kind, found.as_json()["needsAttention"]) == ("name", True)


async def test_what_waits_in_no_memory_is_known_too(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.wait_for("one", RuntimeStatus.RUNNING)

    async with site.host() as host:
        await until_said(host, "one", "it waits for the event 'Approval', which has not come")


async def test_an_activity_that_runs_is_named_with_its_time_and_process(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("digs", instance_id="one")

        await until_said(host, "one", "activity 'dig' (#0) runs for ", " in process ")


async def test_activities_beyond_the_limit_say_so_in_one_line(site: Site) -> None:
    async with site.host(options=EngineOptions(max_activities=2)) as host:
        await host.client.start("digs_often", instance_id="one")

        found = await until_said(
            host,
            "one",
            "activity 'dig' (#1) runs",
            "activity 'dig' (#2) and 17 more calls wait",
            "2 activities run in process",
            "which is the limit (maxConcurrentActivityFunctions), and no calls come before it",
        )

    assert [reason.kind for reason in found.reasons] == ["activity", "activity", "limit", "fine"]


async def test_a_wide_fan_out_does_not_fill_the_screen(site: Site) -> None:
    async with site.host(options=EngineOptions(max_activities=20)) as host:
        await host.client.start("digs_often", instance_id="one")

        await until_said(host, "one", "activity 'dig' (#9) runs", "… and 10 more")


async def test_a_call_that_will_be_retried_says_so(site: Site) -> None:
    def retries(context: Any) -> Orchestration:
        options = RetryOptions(
            first_retry_interval_in_milliseconds=60_000, max_number_of_attempts=3
        )
        yield context.call_activity_with_retry("fails", options, 1)

    async with site.host(orchestrators={"retries": retries}) as host:
        host.activities.functions["fails"] = lambda _: 1 / 0
        await host.client.start("retries", instance_id="one")

        await until_said(host, "one", "timer #1 until ", " UTC, in ", ", to retry activity 'fails'")


async def test_a_child_is_named_with_its_status(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("parent", instance_id="one")

        await until_said(
            host,
            "one",
            "sub-orchestration 'approves', instance 'the-child': Running; "
            "`func-py why the-child` says what that waits for",
        )


async def test_code_that_waits_for_nothing_is_told_where_it_stands(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("yields_nothing", instance_id="one")

        place = f"test_why.py:{yields_nothing.__code__.co_firstlineno + 1}"
        await until_said(host, "one", "nothing: the code yielded None at ", place)


async def test_an_entity_is_told_with_what_it_does_and_what_waits(site: Site) -> None:
    release = asyncio.Event()

    def slow(context: Any) -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        context.set_state(1)

    loop = asyncio.get_running_loop()
    async with site.host(entities={"slow": slow}) as host:
        await host.client.start("asks_entity", instance_id="one")
        await until_said(
            host,
            "one",
            "it waits for the answer of '@slow@one' to 'add'",
            "`func-py why @slow@one` says what that does",
        )
        # Its first operation is not stored yet, and so neither is the entity.
        await until_said(host, "@slow@one", "operation 'add' is in hand for ", " in slow: ")
        await host.client.signal_entity("slow", "one", "reset", None)
        await until_said(host, "@slow@one", "operations that wait for their turn: 'reset'")

        release.set()
        await until_said(host, "@slow@one", "nothing is wrong: all that was asked of it")


async def test_a_locked_entity_says_who_has_its_lock(site: Site) -> None:
    """Orchestrations of other kinds of hosts lock entities."""
    lock = EntityRequest(id="l", parent="its-holder", lock_set=(LockTarget("slow", "one"),))
    event = EventRaised(
        timestamp=RealClock().now(), message_id=new_id(), name="op", input=encode_request(lock)
    )
    async with site.host(entities={"slow": lambda context: None}) as host:
        await host.hub.send([Message(id=event.message_id, instance_id="@slow@one", event=event)])
        await until_said(host, "@slow@one", "it is locked by 'its-holder'")

        await host.client.signal_entity("slow", "one", "add", None)
        await until_said(
            host, "@slow@one", "it is locked by", "operations that wait for their turn: 'add'"
        )


async def test_entities_beyond_the_limit_say_so(site: Site) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(context: Any) -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    options = EngineOptions(max_entities=1)
    async with site.host(entities={"slow": slow}, options=options) as host:
        await host.client.signal_entity("slow", "a", "add", None)
        await until_said(host, "@slow@a", "operation 'add' is in hand")
        await host.client.signal_entity("slow", "b", "add", None)

        await until_said(
            host, "@slow@b", "1 entities run there, which is the limit (maxConcurrentEntity"
        )
        release.set()


async def test_a_history_that_the_code_does_not_fit_is_told_before_it_fails(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.wait_for("one", RuntimeStatus.RUNNING)

    async with site.host(orchestrators={"approves": approves_edited}) as host:
        found = await until_said(
            host,
            "one",
            "its history cannot be replayed, and its next turn fails it: Non-Deterministic",
            "activity 'dig' (#0)",
        )

    assert [reason.kind for reason in found.reasons] == ["held", "timer"]


async def test_an_instance_held_for_other_code_says_so(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.wait_for("one", RuntimeStatus.RUNNING)

    edited = {"approves": approves_edited}
    async with site.host(orchestrators=edited, misfits=Misfits()) as host:
        await until_said(
            host, "one", "it does not fit the code and is held until code that fits is saved: "
        )


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (VersionFailure.REJECT, "it waits for a host of its version: "),
        (VersionFailure.FAIL, "its next turn fails it: "),
    ],
)
async def test_an_instance_of_another_version_says_so(
    site: Site, failure: VersionFailure, text: str
) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one", version="2.0")
        await host.wait_for("one", RuntimeStatus.RUNNING)

    options = EngineOptions(default_version="1.0", version_failure=failure)
    async with site.host(options=options) as host:
        await until_said(host, "one", text, "'2.0' is greater than the host's '1.0'")


async def test_an_orchestrator_that_no_host_has_is_told_with_the_nearest_name(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.wait_for("one", RuntimeStatus.RUNNING)

    async with site.host(orchestrators={"aproves": approves}) as host:
        found = await until_said(host, "one", "'approves' doesn't exist", "mean 'aproves'?")

    assert [reason.kind for reason in found.reasons] == ["function", "timer"]


async def test_an_orchestrator_that_only_another_host_has_is_told(site: Site) -> None:
    # The older of two hosts keeps the first partitions.
    one = next(f"n{n}" for n in range(100) if partition_of(f"n{n}", 4) == 0)
    async with site.host() as host:
        await host.client.start("approves", instance_id=one)
        await host.wait_for(one, RuntimeStatus.RUNNING)

    other = sqlite_hub(site.directory)
    async with site.host(orchestrators={"echo": echo}) as host:
        record = HostRecord(
            host_id="other",
            started_at=RealClock().now(),
            functions=["orchestrator:approves"],
        )
        await other.open(record)
        try:
            await until_said(host, one, "it waits until a host owns it that has the function: ")
        finally:
            await other.close()


async def test_a_suspended_instance_says_so_with_the_reason(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.client.suspend("one", "lunch")

        await until_said(host, "one", "it is suspended (lunch): `func-py durable resume`")


async def test_an_end_is_told_with_the_failure(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.client.terminate("one", "enough")
        await host.wait_for("one", RuntimeStatus.TERMINATED)

        found = await explained(host, "one")

    assert [reason.kind for reason in found.reasons] == ["ended"]
    assert "enough" in found.reasons[0].text


async def test_a_store_that_does_not_answer_the_host_is_the_reason(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.wait_for("one", RuntimeStatus.RUNNING)
        commit, is_away = host.hub.commit, True

        def refuse(turns: Any) -> Any:
            if is_away:
                raise StorageUnavailable("the disk is full")
            return commit(turns)

        host.hub.commit = refuse  # type: ignore[method-assign]
        await host.client.raise_event("one", "Approval", "1")

        found = await until_said(host, "one", "the task hub does not answer the host that runs it")
        assert found.as_json()["needsAttention"]
        is_away = False
        await host.wait_for("one", RuntimeStatus.COMPLETED)


async def test_a_history_that_cannot_be_read_is_the_reason(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await host.wait_for("one", RuntimeStatus.RUNNING)
    async with site.host() as host:
        whole = host.hub.load

        async def load(instance_id: str, *, history: bool = True) -> Any:
            if history:
                raise ValueError("byte 7 is damaged")
            return await whole(instance_id, history=False)

        host.hub.load = load  # type: ignore[method-assign]

        await until_said(host, "one", "it cannot be read: ValueError: byte 7 is damaged")


async def test_a_turn_that_has_no_room_is_told_with_the_limit(site: Site) -> None:
    async with site.host(options=EngineOptions(max_orchestrators=1)) as host:
        commit, stored = host.hub.commit, asyncio.Event()

        async def wait(turns: Any) -> Any:
            await stored.wait()
            return await commit(turns)

        host.hub.commit = wait  # type: ignore[method-assign]
        await host.client.start("approves", instance_id="one")
        await until_said(host, "one", "a turn of it is under way")
        await host.client.start("approves", instance_id="two")

        await until_said(
            host,
            "two",
            "1 orchestrations are at a turn in process ",
            "which is the limit (maxConcurrentOrchestratorFunctions): it waits for its turn",
        )
        stored.set()
        await until_said(host, "two", "it waits for the event 'Approval'")


async def test_work_that_killed_the_process_again_and_again_is_named(
    site: Site, tmp_path: Path
) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        state = await host.wait_for("one", RuntimeStatus.RUNNING)
    hands = tmp_path / "hands"
    noted = InHand.open(hands, "x", activities=1)
    noted.begin_turn("one", state.execution_id)
    content = (hands / "x").read_bytes()
    noted.close()
    for dead in ("a", "b", "c"):
        (hands / dead).write_bytes(content)

    async with site.host(hand_dir=hands) as host:
        await until_said(host, "one", "was running each of the last three times the host process")


async def test_a_durable_http_call_is_told_with_its_address(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/slow"

        def calls(context: Any) -> Orchestration:
            yield context.call_http("GET", address)

        async with site.host(orchestrators={"calls": calls}) as host:
            await host.client.start("calls", instance_id="one")
            await until_said(host, "one", f"it waits for HTTP GET {address} (#0) for ")
            await host.client.terminate("one", None)
            await host.wait_for("one")
            silent.close()


async def test_the_lease_of_a_host_that_died_is_told_with_its_end(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    harness = PostgresHarness(postgres_server.uri, f"{tmp_path.name}.")
    dead = Host(harness.hub(), ORCHESTRATORS)
    await dead.__aenter__()
    try:
        await dead.client.start("approves", instance_id="one")
        await dead.wait_for("one", RuntimeStatus.RUNNING)
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(tmp_path / f"{dead.host_id}.4711"))
        async with Host(harness.hub(), {}, sockets_dir=tmp_path) as host:
            found = await until_said(
                host,
                "one",
                "that ran it (process 4711) has died: others take it over at 2",
            )
    finally:
        await dead.__aexit__(None, None, None)

    assert [reason.kind for reason in found.reasons[:2]] == ["host", "lease"]


async def test_activities_that_wait_for_a_thread_are_told_with_the_limit(site: Site) -> None:
    async with site.host() as host:
        host.activities.thread_limit = lambda name: 2  # type: ignore[method-assign]
        await host.client.start("digs_often", instance_id="one")

        await until_said(
            host,
            "one",
            "activity 'dig' (#1) runs",
            "activity 'dig' (#2) and 17 more wait for a thread",
            "2 plain functions run in process ",
            "which is the limit (PYTHON_THREADPOOL_THREAD_COUNT)",
        )


def digging(now: datetime) -> InstanceState:
    """An instance of `digs`."""
    return InstanceState(
        instance_id="one",
        execution_id="x",
        name="digs",
        status=RuntimeStatus.RUNNING,
        created_at=now,
        last_updated_at=now,
    )


@pytest.mark.parametrize(
    ("blocked", "text"),
    [
        (None, "the host (process 7) does not answer: it is stopped, or code written in C"),
        (
            Blocked(stack=["a.py:1 in slow: sleep()"], function="slow", seconds=12.4),
            "has done nothing else for 12 s or longer: code in 'slow' blocks its event loop. As a",
        ),
        (
            Blocked(stack=["a.py:1 in o: sleep()"], orchestrator="o", instance_id="i", seconds=1.0),
            "orchestrator 'o' (instance 'i') blocks its event loop. What waits or computes",
        ),
        (Blocked(stack=["x.py:1 in f: g()"], seconds=1.0), "something blocks its event loop"),
    ],
)
def test_a_host_that_cannot_answer_is_the_first_reason(blocked: Blocked | None, text: str) -> None:
    now = RealClock().now()
    functions = ["orchestrator:digs", "activity:dig"]
    found = reasons(
        Facts(
            state=digging(now),
            events=[TaskScheduled(timestamp=now, task_id=0, name="dig", input=None)],
            hosts=OtherHosts([HostRecord(host_id="h", started_at=now, functions=functions)]),
            answers=[HostAnswer(host_id="h", process=7, blocked=blocked)],
            whereabouts=Whereabouts(owner="h", activities={0: "h"}),
            children={},
            now=now,
        )
    )

    assert text in found[0].text
    assert found[0].text.endswith(blocked.stack[0] if blocked else "holds its interpreter")
    assert [reason.kind for reason in found] == ["blocked", "activity"]
    assert found[1].text.endswith("; it runs or waits in process 7")


def test_of_a_host_that_cannot_be_asked_what_is_stored_is_told() -> None:
    now = RealClock().now()
    due = now + timedelta(hours=2)
    events: list[HistoryEvent] = [
        TaskScheduled(timestamp=now, task_id=0, name="dgi", input=None),
        TaskScheduled(timestamp=now, task_id=1, name="dig", input=None),
        TimerCreated(timestamp=now, task_id=2, fire_at=due),
        SubOrchestrationCreated(timestamp=now, task_id=3, name="c", instance_id="ch", input=None),
    ]
    functions = ["orchestrator:digs", "activity:dig"]
    hosts = OtherHosts([HostRecord(host_id="h", started_at=now, functions=functions)])

    found = reasons(
        Facts(
            state=digging(now),
            events=events,
            hosts=hosts,
            answers=[],
            whereabouts=Whereabouts(owner="h", owner_until=due, activities={1: "h"}),
            children={},
            now=now,
        )
    )

    assert [reason.kind for reason in found] == [
        *("function", "elsewhere", "activity", "timer", "child"),
    ]
    assert "activity 'dgi' (#0): The function 'dgi' doesn't exist" in found[0].text
    assert "Did you mean 'dig'?" in found[0].text
    assert "it is run by host h, which cannot be asked from here" in found[1].text
    assert "Should that host be dead, others take it over at 2" in found[1].text
    assert "activity 'dig' (#1) was asked for 0 s ago (2" in found[2].text
    assert found[3].text.endswith(", in 2 h")
    assert found[4].text == "sub-orchestration 'c', instance 'ch': not there (purged?)"


async def test_nothing_is_changed_by_asking(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        before = await host.wait_for("one", RuntimeStatus.RUNNING)
    async with site.host() as host:
        await until_said(host, "one", "it waits for the event 'Approval'")
        await host.client.raise_event("one", "Approval", "1")
        after = await host.wait_for("one", RuntimeStatus.COMPLETED)
        everything = await host.client.query(InstanceQuery())

    assert before.execution_id == after.execution_id
    assert len(everything.items) == 1


async def test_the_api_gives_the_reasons(site: Site) -> None:
    async with site.host() as host:
        await host.client.start("approves", instance_id="one")
        await until_said(host, "one", "it waits for the event 'Approval'")

        answer = await _get(host, "instances/one/why")

    assert answer.status == 200
    assert (answer.body["instanceId"], answer.body["name"]) == ("one", "approves")
    assert (answer.body["runtimeStatus"], answer.body["needsAttention"]) == ("Running", False)
    assert answer.body["reasons"][0] == {
        "kind": "event",
        "text": "it waits for the event 'Approval', which has not come",
    }


@pytest.mark.parametrize("instance_id", ["nobody", "@slow@nobody"])
async def test_the_api_knows_no_reason_for_what_does_not_exist(
    site: Site, instance_id: str
) -> None:
    async with site.host() as host:
        assert (await _get(host, f"instances/{instance_id}/why")).status == 404


async def _get(host: Host, path: str) -> Any:
    api = DurableApi(host.client, host.explainer, "TestHub")
    return await api.handle(ApiRequest(method="GET", path=path))
