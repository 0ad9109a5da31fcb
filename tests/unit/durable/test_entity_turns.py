"""Requests and results of an entity become one turn: state, answers, what was taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from func_py.durable.engine.entity_order import Choice, Requested
from func_py.durable.engine.entity_turns import batch_of, entity_turn, new_entity, unchanged
from func_py.durable.engine.slot import Item
from func_py.durable.model import (
    EntityRequest,
    EntityResult,
    EntityState,
    EventRaised,
    FailureDetails,
    HistoryEvent,
    LockTarget,
    OperationResult,
    RuntimeStatus,
    decode_request,
    encode_request,
)
from func_py.durable.storage.base import Lease, Turn

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
ENTITY = new_entity("@counter@k", "e1", NOON)


def item(message_id: str, event: HistoryEvent) -> Item:
    return Item(event, "", message_id=message_id)


def asked(message_id: str, request: EntityRequest) -> Item:
    event = EventRaised(timestamp=NOON, name="op", input=encode_request(request))
    return item(message_id, event)


def call(number: int) -> EntityRequest:
    return EntityRequest(
        id=f"r{number}", operation="get", parent="caller", parent_execution="caller-e1"
    )


def signal(number: int) -> EntityRequest:
    return EntityRequest(id=f"r{number}", operation="add", is_signal=True, parent="caller")


def turn(
    *requests: EntityRequest,
    results: list[OperationResult] | None = None,
    exists: bool = True,
    recent: tuple[str, ...] = (),
    remembers: bool = False,
) -> Turn:
    """The turn of requests that came in messages m0, m1, …"""
    state = replace(ENTITY, entity=EntityState(recent=recent))
    taken = [Requested(asked(f"m{n}", each), each) for n, each in enumerate(requests)]
    result = EntityResult(
        exists=exists,
        state="7" if exists else None,
        results=results or [OperationResult(result="7")] * len(requests),
    )
    choice = Choice(taken)
    return entity_turn(Lease(0, 1), "token", state, choice, result, LATER, remembers=remembers)


def answers(made: Turn) -> list[tuple[str, str, str, object]]:
    found = []
    for message in made.messages:
        assert isinstance(message.event, EventRaised)
        content = json.loads(message.event.input or "")
        found.append((message.instance_id, message.execution_id, message.event.name, content))
    return found


def test_a_call_is_answered_to_the_execution_that_made_it() -> None:
    assert answers(turn(call(1))) == [("caller", "caller-e1", "r1", {"result": "7"})]


def test_a_failed_call_is_answered_with_the_text_of_the_exception() -> None:
    failure = FailureDetails(type="ValueError", message='not "7"')
    ((*_, content),) = answers(turn(call(1), results=[OperationResult(failure=failure)]))
    assert content == {"result": '"not \\"7\\""', "exceptionType": "ValueError"}


def test_signals_and_requests_of_clients_are_not_answered() -> None:
    made = turn(signal(1), EntityRequest(id="r2", operation="get"), call(3))
    assert [name for _, _, name, _ in answers(made)] == ["r3"]


def test_an_answer_has_the_same_message_id_when_the_turn_runs_again() -> None:
    assert [m.id for m in turn(call(1)).messages] == [m.id for m in turn(call(1)).messages]


def test_a_turn_takes_its_messages_and_writes_no_history() -> None:
    made = turn(signal(1), call(2))
    assert (made.consumed, made.events, made.token) == (["m0", "m1"], (), "token")


@pytest.mark.parametrize(
    ("exists", "status"), [(True, RuntimeStatus.RUNNING), (False, RuntimeStatus.COMPLETED)]
)
def test_an_entity_that_does_not_exist_may_be_purged(exists: bool, status: RuntimeStatus) -> None:
    state = turn(signal(1), exists=exists).state
    assert state.entity == EntityState(exists=exists, state="7" if exists else None)
    assert (state.status, state.last_updated_at, state.created_at) == (status, LATER, NOON)


def test_ids_of_messages_are_remembered_only_where_they_may_come_again() -> None:
    recent = turn(signal(1), signal(2), recent=("a",), remembers=True).state.entity
    assert recent is not None
    assert recent.recent == ("a", "m0", "m1")
    assert turn(signal(1), recent=("a",)).state.entity == EntityState(exists=True, state="7")


def test_all_messages_of_a_turn_are_remembered_and_old_ones_forgotten() -> None:
    long_ago = tuple(f"old{n}" for n in range(300))
    few = turn(signal(1), recent=long_ago, remembers=True).state.entity
    many = turn(*[signal(n) for n in range(400)], recent=long_ago, remembers=True).state.entity
    assert few is not None
    assert many is not None
    assert (len(few.recent), few.recent[-1]) == (256, "m0")
    assert many.recent == tuple(f"m{n}" for n in range(400))


def lock(position: int, *keys: str) -> EntityRequest:
    """What an orchestration of another host asks, to lock counters."""
    return EntityRequest(
        id="lock",
        parent="locker",
        parent_execution="locker-e1",
        lock_set=tuple(LockTarget("counter", key) for key in keys),
        position=position,
    )


def locking(request: EntityRequest) -> Turn:
    choice = Choice(lock=Requested(asked("m0", request), request))
    result = unchanged(ENTITY, ())
    return entity_turn(Lease(0, 1), "token", ENTITY, choice, result, LATER, remembers=False)


def test_a_lock_is_granted_by_the_last_entity_that_is_locked() -> None:
    made = locking(lock(1, "a", "k"))
    granted = {"result": "Lock Acquisition Completed"}
    assert answers(made) == [("locker", "locker-e1", "lock", granted)]
    assert made.state.entity == EntityState(locked_by="locker")
    assert made.state.status is RuntimeStatus.RUNNING, "it must not be purged"


def test_a_lock_request_goes_on_to_the_next_entity() -> None:
    made = locking(lock(0, "k", "z"))
    [message] = made.messages
    assert (message.instance_id, message.sender) == ("@counter@z", "@counter@k")
    assert isinstance(message.event, EventRaised)
    assert message.event.name == "op"
    assert decode_request(message.event.input) == lock(1, "k", "z")
    assert made.state.entity == EntityState(locked_by="locker")


@pytest.mark.parametrize(
    ("locked_by", "taken", "goes_on"),
    [
        (None, ["m0"], True),
        (None, [], False),  # then there is mail that was not taken
        ("caller", ["m0"], True),
        ("other", ["m0"], False),  # its release brings the next turn
    ],
)
def test_an_entity_with_a_queue_tells_itself_to_go_on(
    locked_by: str | None, taken: list[str], goes_on: bool
) -> None:
    words = [item(name, EventRaised(timestamp=NOON, name="continue")) for name in taken]
    choice = Choice(words=words, locked_by=locked_by, queue=(call(1),))
    result = unchanged(ENTITY, ())
    made = entity_turn(Lease(0, 1), "token", ENTITY, choice, result, LATER, remembers=False)
    assert [(m.instance_id, m.id) for m in made.messages] == (
        [("@counter@k", "m0:continue")] if goes_on else []
    )
    assert made.state.entity == EntityState(locked_by=locked_by, queue=(call(1),))


def test_a_batch_holds_the_operations_and_what_they_find() -> None:
    state = replace(ENTITY, entity=EntityState(exists=True, state="1"))
    batch = batch_of(state, [Requested(asked("m1", call(1)), call(1))])
    assert (batch.name, batch.key, batch.exists, batch.state) == ("counter", "k", True, "1")
    assert batch.operations == [call(1)]


def test_operations_that_were_not_run_leave_the_entity_as_it_is() -> None:
    state = replace(ENTITY, entity=EntityState(exists=True, state="1", recent=("m0",)))
    result = unchanged(state, [OperationResult(result="null")])
    assert (result.exists, result.state) == (True, "1")
