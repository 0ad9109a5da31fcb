"""What a file says is pending when the store cannot tell for sure."""

from __future__ import annotations

from msgspec.structs import replace
from support.durable_values import NOON, activity, at, make_start, raised, scheduled, timer

from func_py.durable.model import (
    EntityState,
    EventRaised,
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    TaskCompleted,
    TaskFailed,
    TimerCreated,
    TimerFired,
)
from func_py.durable.moving.file import PendingLine
from func_py.durable.moving.owed import Owed

NEW, START = make_start("a")
RUNNING = replace(NEW, status=RuntimeStatus.RUNNING)
ENDED = replace(NEW, status=RuntimeStatus.COMPLETED)


def pending(
    state: InstanceState, *events: HistoryEvent, line: PendingLine | None = None
) -> PendingLine:
    """What is owed after these events."""
    owed = Owed(state, line or PendingLine(instance_id="a"))
    for event in events:
        owed.see([event])
    return owed.pending()


def completed(task_id: int, execution_id: str = NEW.execution_id) -> Message:
    """The result of an activity, on its way."""
    event = TaskCompleted(timestamp=NOON, task_id=task_id)
    return Message(id=f"r{task_id}", instance_id="a", execution_id=execution_id, event=event)


def created(task_id: int) -> TimerCreated:
    return TimerCreated(timestamp=NOON, task_id=task_id, fire_at=at(100 - task_id))


def test_timers_are_those_that_history_does_not_see_fire() -> None:
    fired = TimerFired(timestamp=NOON, task_id=1, fire_at=at(99))
    line = PendingLine(instance_id="a", timers=[timer(NEW, 1, at(99))])
    found = pending(RUNNING, created(1), created(2), created(3), fired, line=line)
    assert found.timers == [timer(NEW, 3, at(97)), timer(NEW, 2, at(98))]


def test_a_call_without_an_answer_that_is_not_stored_is_made_again() -> None:
    failed = TaskFailed(timestamp=NOON, task_id=2, reason="no")
    line = PendingLine(instance_id="a", mail=[completed(1)], activities=[activity(NEW, 0)])
    found = pending(RUNNING, *scheduled(4), failed, line=line)
    assert [(call.task_id, call.attempt) for call in found.activities] == [(0, 1), (3, 2)]
    assert (found.activities[1].name, found.activities[1].input) == ("Say", '"x"')


def test_an_answer_to_another_execution_is_none() -> None:
    line = PendingLine(instance_id="a", mail=[completed(0, "before")])
    assert [call.task_id for call in pending(RUNNING, *scheduled(1), line=line).activities] == [0]


def test_a_call_that_was_answered_is_not_made_again() -> None:
    line = PendingLine(instance_id="a", activities=[activity(NEW, 0)])
    answer = TaskCompleted(timestamp=NOON, task_id=0)
    assert pending(RUNNING, *scheduled(1), answer, line=line).activities == []


def test_an_instance_that_has_ended_waits_for_nothing_new() -> None:
    line = PendingLine(instance_id="a", activities=[activity(NEW, 0)])
    found = pending(ENDED, created(5), *scheduled(2), line=line)
    assert found == line


def test_a_message_that_is_in_history_is_left_out() -> None:
    first, second = raised("a"), raised("a")
    line = PendingLine(instance_id="a", mail=[first, second])
    event = EventRaised(timestamp=NOON, name="go", message_id=first.id)
    assert pending(RUNNING, event, line=line).mail == [second]


def test_a_message_that_an_entity_has_taken_is_left_out() -> None:
    first, second = raised("@counter@k"), raised("@counter@k")
    entity = replace(
        RUNNING, instance_id="@counter@k", entity=EntityState(exists=True, recent=(first.id,))
    )
    line = PendingLine(instance_id="@counter@k", mail=[first, second])
    assert pending(entity, line=line).mail == [second]


def test_an_instance_that_waits_for_its_start_gets_one_as_its_client_sends_it() -> None:
    event = raised("a")
    found = pending(NEW, line=PendingLine(instance_id="a", mail=[event]))
    expected = replace(
        START,
        id=NEW.execution_id,
        event=replace(START.event, message_id=NEW.execution_id),
    )
    assert found.mail == [expected, event]
    assert pending(NEW, line=found) == found
