"""Whose requests an entity serves now, and whose have to wait."""

from __future__ import annotations

from datetime import UTC, datetime

from func_py.durable.engine.entity_order import Choice, Requested, choose, deletion_in
from func_py.durable.engine.slot import Item
from func_py.durable.model import (
    EntityRequest,
    EntityState,
    EventRaised,
    ExecutionTerminated,
    HistoryEvent,
    LockRelease,
    LockTarget,
    encode_release,
    encode_request,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
FREE = EntityState()
LOCKED = EntityState(locked_by="holder")


def item(message_id: str, event: HistoryEvent) -> Item:
    return Item(event, "", message_id=message_id)


def request(name: str, parent: str | None = None) -> EntityRequest:
    return EntityRequest(id=name, operation="get", parent=parent)


def asks(name: str, parent: str | None = None) -> Item:
    text = encode_request(request(name, parent))
    return item(name, EventRaised(timestamp=NOON, name="op", input=text))


def asks_for_lock(name: str, parent: str) -> Item:
    wanted = EntityRequest(id=name, parent=parent, lock_set=(LockTarget("counter", "k"),))
    return item(name, EventRaised(timestamp=NOON, name="op", input=encode_request(wanted)))


def releases(name: str, parent: str) -> Item:
    text = encode_release(LockRelease(parent=parent))
    return item(name, EventRaised(timestamp=NOON, name="release", input=text))


def chosen(entity: EntityState, *items: Item, limit: int = 100) -> Choice:
    choice, strays = choose(entity, items, (), limit)
    assert strays == []
    return choice


def names(choice: Choice) -> tuple[list[str], str | None, str | None]:
    """Operations, lock that is granted, who holds it before."""
    lock = None if choice.lock is None else choice.lock.id
    return [each.id for each in choice.operations], lock, choice.locked_by


def test_what_an_earlier_turn_took_and_what_is_no_request_is_sorted_out() -> None:
    first, again = asks("m1"), asks("m0")
    event = item("m2", EventRaised(timestamp=NOON, name="Approval", input="true"))
    damaged = item("m3", EventRaised(timestamp=NOON, name="op", input="[]"))
    idle = item("m4", EventRaised(timestamp=NOON, name="continue"))
    command = item("m5", ExecutionTerminated(timestamp=NOON))
    choice, strays = choose(FREE, [again, first, event, damaged, idle, command], {"m0"}, 100)
    assert choice == Choice([Requested(first, request("m1"))], words=[])
    assert strays == [again, event, damaged, idle, command]


def test_requests_are_served_in_order_up_to_the_limit() -> None:
    choice = chosen(FREE, asks("a"), asks("b"), asks("c"), limit=2)
    assert names(choice) == (["a", "b"], None, None)
    assert [each.message_id for each in choice.items] == ["a", "b"]


def test_a_lock_is_granted_after_what_was_asked_before_it_and_ends_the_turn() -> None:
    choice = chosen(FREE, asks("a"), asks_for_lock("l", "holder"), asks("b"), asks("c", "holder"))
    assert names(choice) == (["a"], "l", None)
    assert [each.message_id for each in choice.items] == ["a", "l"]


def test_while_it_is_locked_only_the_holder_is_served() -> None:
    choice = chosen(LOCKED, asks("a"), asks("b", "holder"), asks("c", "other"), asks("d", "holder"))
    assert names(choice) == (["b", "d"], None, "holder")
    assert names(chosen(LOCKED, asks("a"), asks_for_lock("l", "other"))) == ([], None, "holder")


def test_a_release_lets_those_who_waited_follow_the_holder() -> None:
    choice = chosen(LOCKED, asks("a"), asks("b", "holder"), releases("r", "holder"), asks("c"))
    assert names(choice) == (["b", "a", "c"], None, None)
    assert [each.message_id for each in choice.items] == ["r", "b", "a", "c"]


def test_a_release_by_another_is_heeded_and_changes_nothing() -> None:
    choice = chosen(LOCKED, asks("a"), releases("r", "other"))
    assert (names(choice), [each.message_id for each in choice.words]) == (
        ([], None, "holder"),
        ["r"],
    )


def test_the_next_lock_waits_for_the_release() -> None:
    items = [asks_for_lock("l", "other"), releases("r", "holder")]
    assert names(chosen(LOCKED, *items)) == ([], "l", None)


def test_what_another_host_had_queued_is_served_first_and_stays_when_it_must_wait() -> None:
    queued = (request("q1"), request("q2", "holder"), request("q3"))
    free = EntityState(queue=queued)
    go_on = item("go", EventRaised(timestamp=NOON, name="continue"))
    choice = chosen(free, go_on, asks("a"), limit=2)
    assert (names(choice), choice.queue) == ((["q1", "q2"], None, None), (queued[2],))
    assert choice.items == [go_on]
    locked = EntityState(locked_by="holder", queue=queued)
    choice = chosen(locked, asks("b", "holder"))
    assert (names(choice), choice.queue) == ((["b"], None, "holder"), queued)


def test_what_was_not_run_goes_back_to_where_it_came_from() -> None:
    entity = EntityState(queue=(request("q1"), request("q2")))
    choice = chosen(entity, asks("a"), asks_for_lock("l", "holder"))
    some = choice.first(1)
    assert (names(some), some.queue) == ((["q1"], None, None), (request("q2"),))
    assert some.items == []
    assert choice.first(3) == choice


def test_a_purge_is_found() -> None:
    purge = item("p", ExecutionTerminated(timestamp=NOON))
    assert deletion_in([asks("a"), purge, asks("b")]) == 1
    assert deletion_in([asks("a")]) == 1
