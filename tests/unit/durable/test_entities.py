"""Entities on the engine: on the embedded hub and on one that may lose turns and delivers twice."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Generator
from typing import Any

import azure.durable_functions as df
import pytest
from support.engine import Host, until
from support.hubs import HubFactory
from support.weak_hub import WeakHub

from func_py.clock import RealClock
from func_py.durable.client import DurableClient, EntityQuery
from func_py.durable.engine import EngineOptions
from func_py.durable.model import (
    EntityRequest,
    EventRaised,
    EventSent,
    LockTarget,
    Message,
    RuntimeStatus,
    decode_request,
    encode_request,
    new_id,
)
from func_py.durable.replay import verify
from func_py.durable.storage.base import Committed, Lost, LostReason
from func_py.errors import FunctionNotRegistered, InvalidInstanceId

Orchestration = Generator[Any, Any, Any]


def counter(context: Any) -> None:
    value = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            context.set_state(value + context.get_input())
            context.set_result(context.get_state())
        case "get":
            context.set_result(value)
        case "fail":
            raise ValueError("cannot count that")
        case "delete":
            context.destruct_on_exit()
        case _:
            pass


def journal(context: Any) -> None:
    """Keeps what it was told, in order."""
    if context.operation_name == "read":
        context.set_result(context.get_state(list))
    else:
        context.set_state([*context.get_state(list), context.get_input()])


ENTITIES = {"Counter": counter, "Journal": journal}


def adds(context: Any) -> Orchestration:
    entity = df.EntityId("Counter", context.instance_id)
    first = yield context.call_entity(entity, "add", 5)
    second = yield context.call_entity(entity, "add", 6)
    return [first, second]


def signals(context: Any) -> Orchestration:
    """Signals in order, then a call that must see all of them."""
    entity = df.EntityId("Journal", "book")
    for number in range(context.get_input()):
        context.signal_entity(entity, "tell", [context.instance_id, number])
    return (yield context.call_entity(entity, "read"))


def catches(context: Any) -> Orchestration:
    try:
        yield context.call_entity(df.EntityId("Counter", "k"), "fail")
    except Exception as error:  # noqa: BLE001 - the SDK raises just that
        return [type(error).__name__, str(error)]


def between(context: Any) -> Orchestration:
    """Calls of which the second sets no result, in one batch."""
    entity = df.EntityId("Counter", "shared")
    tasks = [context.call_entity(entity, name, 1) for name in ("add", "silent", "add", "get")]
    return (yield context.task_all(tasks))


def misspelt(context: Any) -> Orchestration:
    return (yield context.call_entity(df.EntityId("Cuonter", "k"), "get"))


ORCHESTRATORS = {
    "adds": adds,
    "signals": signals,
    "catches": catches,
    "between": between,
    "misspelt": misspelt,
}


def host(
    hub_factory: HubFactory,
    more: dict[str, Callable[[Any], None]] | None = None,
    options: EngineOptions | None = None,
) -> Host:
    """A host with the functions above, and more entities or others of the same names."""
    entities = {**ENTITIES, **(more or {})}
    return Host(hub_factory(), ORCHESTRATORS, entities=entities, options=options)


def sdk_input(value: Any) -> str:
    """What the SDK's client sends."""
    return json.dumps(json.dumps(value))


async def until_state(h: Host, name: str, key: str, state: str | None) -> None:
    async def reached() -> bool:
        entity = await h.client.read_entity(name, key)
        return (None if entity is None else entity.state) == state

    await until(reached, f"entity {name}@{key} to have the state {state}")


# ---- calls -------------------------------------------------------------------------------------


async def test_calls_of_an_orchestrator_are_answered_and_change_the_state(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("adds")
        entity = await h.client.read_entity("counter", state.instance_id)
        history = await h.client.history(state.instance_id)

    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "[5, 11]")
    assert entity is not None
    assert entity.state == "11"
    sent = [decode_request(e.input) for e in history if isinstance(e, EventSent)]
    assert [(r.operation, r.is_signal, r.parent) for r in sent if r is not None] == [
        ("add", False, state.instance_id)
    ] * 2
    assert verify(adds, state.instance_id, history) is None


async def test_an_exception_of_an_entity_is_raised_in_the_caller(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("catches")

    assert json.loads(state.output or "") == ["Exception", "cannot count that"]


async def test_a_call_without_result_gets_none_also_behind_one_that_has_one(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("between")

    assert json.loads(state.output or "") == [1, None, 2, 2]


async def test_a_misspelt_entity_fails_its_callers_with_the_nearest_name(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("misspelt")
        assert await h.client.read_entity("cuonter", "k") is None

    assert state.status is RuntimeStatus.FAILED
    assert "Did you mean 'Counter'?" in (state.output or "")


# ---- signals -----------------------------------------------------------------------------------


async def test_signals_of_clients_are_applied_once_and_in_order(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        for number in range(30):
            await h.client.signal_entity("Journal", "k", "tell", sdk_input(number))
        await until_state(h, "journal", "k", json.dumps(list(range(30))))


async def test_signals_of_an_orchestrator_come_in_order_before_its_later_call(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        ids = [await h.client.start("signals", input="20") for _ in range(3)]
        states = [await h.wait_for(instance_id) for instance_id in ids]

    for state in states:
        told = json.loads(state.output or "")
        mine = [number for sender, number in told if sender == state.instance_id]
        assert mine == list(range(20))


async def test_a_failing_signal_harms_no_other_and_keeps_the_entity_running(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        for operation in ("add", "fail", "add"):
            await h.client.signal_entity("Counter", "k", operation, sdk_input(1))
        await until_state(h, "counter", "k", "2")


async def test_raw_json_is_an_input_as_it_is(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        await h.client.signal_entity("Journal", "k", "tell", '{"a": 1}')
        await h.client.signal_entity("Journal", "k", "tell", None)
        await until_state(h, "journal", "k", '[{"a": 1}, null]')


async def test_a_signal_to_an_entity_that_is_not_registered_is_refused(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        with pytest.raises(FunctionNotRegistered, match="Did you mean 'Counter'"):
            await h.client.signal_entity("Counte", "k", "add", "1")


async def test_a_signal_to_an_unusable_key_is_refused(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        with pytest.raises(InvalidInstanceId):
            await h.client.signal_entity("Counter", "a/b", "add", "1")


async def test_stored_signals_to_an_entity_that_nobody_has_are_dropped_with_a_line(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with host(hub_factory) as h:
        unchecked = DurableClient(h.hub, RealClock())
        with caplog.at_level(logging.ERROR, "func_py.durable.entities"):
            await unchecked.signal_entity("Countr", "k", "add", "1")

            async def told() -> bool:
                return any("Did you mean 'Counter'" in m for m in caplog.messages)

            await until(told, "the line about the unknown entity")
        await until_gone(h, "@countr@k")


async def until_gone(h: Host, instance_id: str) -> None:
    """Wait until nothing is pending for the instance and its record says that it is none."""

    async def gone() -> bool:
        state = await h.client.get(instance_id)
        return state is not None and state.status is RuntimeStatus.COMPLETED

    await until(gone, f"the operations of {instance_id} to be taken")


async def test_events_and_commands_that_mean_nothing_to_an_entity_are_dropped(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        await h.client.raise_event("@counter@k", "Approval", "1")
        await h.client.suspend("@counter@k", None)
        await h.client.signal_entity("Counter", "k", "add", "1")
        await until_state(h, "counter", "k", "1")


async def test_different_entities_run_beside_each_other(hub_factory: HubFactory) -> None:
    arrived = {"a": threading.Event(), "b": threading.Event()}

    def meet(context: Any) -> None:
        arrived[context.entity_key].set()
        if all(event.wait(20) for event in arrived.values()):
            context.set_state("met")

    async with host(hub_factory, more={"Meet": meet}) as h:
        await h.client.signal_entity("Meet", "a", "go", None)
        await h.client.signal_entity("Meet", "b", "go", None)
        await until_state(h, "meet", "a", '"met"')
        await until_state(h, "meet", "b", '"met"')


async def test_no_more_entities_run_at_once_than_the_options_allow(hub_factory: HubFactory) -> None:
    running: list[str] = []
    most = 0

    def watched(context: Any) -> None:
        nonlocal most
        running.append(context.entity_key)
        most = max(most, len(running))
        running.remove(context.entity_key)
        context.set_state(1)

    options = EngineOptions(max_entities=1)
    async with host(hub_factory, more={"Watched": watched}, options=options) as h:
        for key in "abcdef":
            await h.client.signal_entity("Watched", key, "go", None)
        for key in "abcdef":
            await until_state(h, "watched", key, "1")
    assert most == 1


# ---- states ------------------------------------------------------------------------------------


async def test_a_deleted_entity_is_not_found_and_may_come_back(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        await h.client.signal_entity("Counter", "k", "add", "3")
        await until_state(h, "counter", "k", "3")
        await h.client.signal_entity("Counter", "k", "delete", None)
        await until_state(h, "counter", "k", None)
        await h.client.signal_entity("Counter", "k", "add", "1")
        await until_state(h, "counter", "k", "1")


async def test_an_entity_without_history_keeps_its_state_over_hosts(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        await h.client.signal_entity("Counter", "k", "add", "3")
        await until_state(h, "counter", "k", "3")
        assert list(await h.client.history("@counter@k")) == []
    async with host(hub_factory) as h:
        await h.client.signal_entity("Counter", "k", "add", "4")
        await until_state(h, "counter", "k", "7")


async def test_batches_are_no_larger_than_the_options_allow(hub_factory: HubFactory) -> None:
    gate = threading.Event()

    def counted(context: Any) -> None:
        if context.operation_name == "hold":
            gate.wait(20)
            context.set_state(0)
            return
        context.set_state(context.get_state() + 1)

    options = EngineOptions(max_entity_batch=2)
    async with host(hub_factory, more={"Counted": counted}, options=options) as h:
        await h.client.signal_entity("Counted", "k", "hold", None)
        for _ in range(5):
            await h.client.signal_entity("Counted", "k", "add", None)
        gate.set()
        await until_state(h, "counted", "k", "5")
        runs = [text for _, _, text in h.invocations.lines if text.startswith("Executing")]
    assert len(runs) >= 3


async def test_a_state_that_the_task_hub_refuses_fails_its_operation_alone(
    hub_factory: HubFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is made to refuse one value, as a real one refuses what is too large."""
    hub = hub_factory()
    inner = hub.hub if isinstance(hub, WeakHub) else hub
    commit = inner.commit

    async def choosy(turns: Any) -> Any:
        answers: list[Committed | Lost] = []
        for turn in turns:
            entity = turn.state.entity
            if entity is not None and entity.state is not None and "too large" in entity.state:
                answers.append(Lost(LostReason.REJECTED, "too large"))
            else:
                answers += await commit([turn])
        return answers

    monkeypatch.setattr(inner, "commit", choosy)

    async with Host(hub, ORCHESTRATORS, entities=ENTITIES) as h:
        await h.client.signal_entity("Journal", "k", "tell", sdk_input("a"))
        await h.client.signal_entity("Journal", "k", "tell", sdk_input("too large"))
        await h.client.signal_entity("Journal", "k", "tell", sdk_input("b"))
        await until_state(h, "journal", "k", '["a", "b"]')


# ---- queries and clean-up ----------------------------------------------------------------------


async def test_a_query_finds_the_entities_that_exist(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        for key in ("a", "b", "c"):
            await h.client.signal_entity("Counter", key, "add", "1")
            await until_state(h, "counter", key, "1")
        await h.client.signal_entity("Journal", "a", "tell", "1")
        await until_state(h, "journal", "a", "[1]")
        await h.client.signal_entity("Counter", "b", "delete", None)
        await until_state(h, "counter", "b", None)

        everything = await h.client.query_entities(EntityQuery())
        counters = await h.client.query_entities(EntityQuery(name="COUNTER"))
        first = await h.client.query_entities(EntityQuery(page_size=1))
        second = await h.client.query_entities(
            EntityQuery(page_size=1, continuation=first.continuation)
        )
        (a, *_) = counters.items
        recent = await h.client.query_entities(EntityQuery(updated_from=a.last_updated_at))
        old = await h.client.query_entities(EntityQuery(updated_to=a.last_updated_at))

    def ids(page: Any) -> list[str]:
        return [state.instance_id for state in page.items]

    assert ids(everything) == ["@counter@a", "@counter@c", "@journal@a"]
    assert ids(counters) == ["@counter@a", "@counter@c"]
    assert (ids(first), ids(second)) == (["@counter@a"], ["@counter@c"])
    assert ids(recent) == ["@counter@a", "@counter@c", "@journal@a"]
    assert ids(old) == ["@counter@a"]


async def test_cleaning_removes_the_records_of_entities_that_do_not_exist(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        for key in ("a", "b"):
            await h.client.signal_entity("Counter", key, "add", "1")
            await until_state(h, "counter", key, "1")
        await h.client.signal_entity("Counter", "a", "delete", None)
        await until_state(h, "counter", "a", None)

        assert await h.client.clean_entities() == 1
        assert await h.client.get("@counter@a") is None
        assert await h.client.read_entity("counter", "b") is not None
        await h.client.signal_entity("Counter", "a", "add", "9")
        await until_state(h, "counter", "a", "9")


async def test_cleaning_loses_no_signal_that_is_on_its_way(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        await h.client.signal_entity("Counter", "k", "delete", None)
        await until_gone(h, "@counter@k")
    hub = hub_factory()
    async with Host(hub, {}, entities={}) as idle:
        await idle.engine.stop(1)  # nobody runs the signal before the record is purged
        sender = DurableClient(hub, RealClock())
        await sender.signal_entity("Counter", "k", "add", "4")
        assert await sender.clean_entities() == 1
    async with host(hub_factory) as h:
        await until_state(h, "counter", "k", "4")


async def test_purging_deletes_an_entity_without_its_code(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        await h.client.signal_entity("Counter", "k", "add", "1")
        await until_state(h, "counter", "k", "1")
        assert await h.client.purge("@counter@k")
        await until_state(h, "counter", "k", None)
        assert await h.client.purge("@counter@k")
        assert not await h.client.purge("@counter@k")


# ---- deaths ------------------------------------------------------------------------------------


def sent(instance_id: str, name: str, input: str) -> Message:
    """What another kind of host sends to an entity."""
    event = EventRaised(timestamp=RealClock().now(), message_id=new_id(), name=name, input=input)
    return Message(id=event.message_id, instance_id=instance_id, event=event)


async def test_a_locked_entity_serves_its_holder_until_that_releases_it(
    hub_factory: HubFactory,
) -> None:
    """The lock goes from entity to entity; it and those who wait survive the host. A purge does not
    ask for it."""
    keys = ("a", "b")
    ids = [f"@counter@{key}" for key in keys]
    lock = EntityRequest(
        id="l", parent="p", lock_set=tuple(LockTarget("counter", key) for key in keys)
    )
    alone = EntityRequest(id="l2", parent="p", lock_set=(LockTarget("counter", "p"),))
    by_holder = EntityRequest(id="o", operation="add", is_signal=True, input="10", parent="p")

    async def is_locked() -> bool:
        found = [await h.hub.get_instance(instance_id) for instance_id in ids]
        return all(f is not None and f.entity is not None and f.entity.locked_by for f in found)

    async with host(hub_factory) as h:
        await h.hub.send([sent(ids[0], "op", encode_request(lock))])
        await until(is_locked, "both entities to be locked")
        for key in keys:
            await h.client.signal_entity("Counter", key, "add", "5")
        await h.hub.send(
            [sent(instance_id, "op", encode_request(by_holder)) for instance_id in ids]
        )
        for key in keys:
            await until_state(h, "Counter", key, "10")
        await h.hub.send([sent("@counter@p", "op", encode_request(alone))])
        await until(lambda: h.hub.get_instance("@counter@p"), "the lock")
        await h.client.signal_entity("Counter", "p", "add", "5")
        await h.client.purge("@counter@p")
        await until_state(h, "Counter", "p", "5")
    async with host(hub_factory) as h:
        assert await is_locked()
        assert await h.client.clean_entities() == 0, "but locks of who is not there are released"
        for key in keys:
            await until_state(h, "Counter", key, "15")
        assert not await is_locked()


async def test_operations_of_a_host_that_died_run_again_from_the_state_before(
    hub_factory: HubFactory,
) -> None:
    started, gate = threading.Event(), threading.Event()

    def slow(context: Any) -> None:
        if not gate.is_set():
            started.set()
            gate.wait(20)
        counter(context)

    first = host(hub_factory, more={"Counter": slow})
    async with first:
        await first.client.signal_entity("Counter", "k", "add", "1")
        await first.client.signal_entity("Counter", "k", "add", "2")
        await asyncio.to_thread(started.wait, 20)
        inner = first.hub.hub if isinstance(first.hub, WeakHub) else first.hub
        await inner.die()  # type: ignore[attr-defined]
        gate.set()
    async with host(hub_factory) as h:
        await until_state(h, "counter", "k", "3")


async def test_a_call_whose_answer_was_stored_is_answered_once(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("adds")
        history = await h.client.history(state.instance_id)
    raised = [event for event in history if type(event).__name__ == "EventRaised"]
    assert len(raised) == 2


async def test_stopping_gives_up_an_entity_that_does_not_end(hub_factory: HubFactory) -> None:
    gate = threading.Event()
    started = threading.Event()

    def hangs(context: Any) -> None:
        started.set()
        gate.wait(20)
        context.set_state(1)

    h = host(hub_factory, more={"Hangs": hangs})
    try:
        async with h:
            await h.client.signal_entity("Hangs", "k", "go", None)
            await asyncio.to_thread(started.wait, 20)
            await h.engine.stop(0)
            assert await h.client.read_entity("hangs", "k") is None
    finally:
        gate.set()
    async with host(hub_factory, more={"Hangs": hangs}) as again:
        await until_state(again, "hangs", "k", "1")


# ---- load --------------------------------------------------------------------------------------


async def test_thousands_of_signals_are_applied_once_each(hub_factory: HubFactory) -> None:
    count = 2000
    async with host(hub_factory) as h:
        await asyncio.gather(
            *(h.client.signal_entity("Counter", "k", "add", "1") for _ in range(count))
        )
        await until_state(h, "counter", "k", str(count))
