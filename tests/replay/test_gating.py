"""Which events the code may see, and when."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from replay.host import START, Host
from support.orchestrations import Orchestrator

from func_py.durable.model import (
    EventRaised,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from func_py.durable.replay.decisions import CancelTimer, Complete, ContinueAsNew, ScheduleActivity

Steps = Generator[Any, Any, Any]


def started(function: Orchestrator) -> Host:
    host = Host(function)
    host.start()
    return host


def output(host: Host) -> Any:
    (end,) = (each for each in host.decisions if isinstance(each, Complete))
    return json.loads(end.output or "null")


def three_late_waits(context: Any) -> Steps:
    yield context.call_activity("First")
    one = yield context.wait_for_external_event("E")
    two = yield context.wait_for_external_event("E")
    return [one, two, (yield context.wait_for_external_event("F"))]


def test_early_events_wait_for_their_wait_oldest_first_and_each_once() -> None:
    host = started(three_late_waits)
    host.turn(host.event("F", "f1"))
    host.turn(host.event("E", 1), host.event("E", 2), host.event("E", 3))
    assert [value(event) for event in host.session.undelivered()] == ["f1", 1, 2, 3]

    host.turn(host.answer(0))

    assert output(host) == [1, 2, "f1"]


def value(event: HistoryEvent) -> Any:
    assert isinstance(event, EventRaised)
    return json.loads(event.input or "null")


def test_when_several_waits_open_at_once_the_oldest_event_comes_first() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("First")
        waits = [context.wait_for_external_event(name) for name in ("E", "F")]
        winner = yield context.task_any(waits)
        return winner.result

    host = started(code)
    host.turn(host.event("F", "older"), host.event("E", "newer"))
    host.turn(host.answer(0))

    assert output(host) == "older"


@pytest.mark.parametrize("is_early", [True, False])
def test_event_names_ignore_case(is_early: bool) -> None:
    def code(context: Any) -> Steps:
        if is_early:
            yield context.call_activity("First")
        return (yield context.wait_for_external_event("GoOn"))

    host = started(code)
    host.turn(host.event("gOON", 5))
    if is_early:
        host.turn(host.answer(0))

    assert output(host) == 5


def test_a_wait_in_the_same_spelling_is_preferred() -> None:
    def code(context: Any) -> Steps:
        waits = [context.wait_for_external_event(name) for name in ("go", "GO")]
        winner = yield context.task_any(waits)
        return waits.index(winner)

    host = started(code)
    host.turn(host.event("go"))

    assert output(host) == 0


def test_of_waits_in_other_spellings_the_newest_takes_the_event() -> None:
    def code(context: Any) -> Steps:
        yield context.wait_for_external_event("GO")
        waits = [context.wait_for_external_event(name) for name in ("go", "GO")]
        winner = yield context.task_any(waits)
        return waits.index(winner)

    host = started(code)
    host.turn(host.event("Go"))
    host.turn(host.event("Go"))

    assert output(host) == 1


def test_of_several_waits_on_one_name_the_newest_takes_the_event() -> None:
    def code(context: Any) -> Steps:
        waits = [context.wait_for_external_event("E") for _ in range(2)]
        return (yield context.task_all(waits))

    host = started(code)
    host.turn(host.event("E", 1))
    host.turn(host.event("E", 2))

    assert output(host) == [2, 1]


def pair(context: Any) -> Steps:
    tasks = [context.call_activity("A"), context.call_activity("B")]
    results = yield context.task_all(tasks)
    more = yield context.call_activity("C")
    return [*results, more]


def test_completions_may_come_in_any_order() -> None:
    host = started(pair)
    host.turn(host.answer(1, "b"))
    host.turn(host.answer(0, "a"))
    host.turn(host.answer(2, "c"))

    assert output(host) == ["a", "b", "c"]


def test_a_duplicate_completion_is_not_expected() -> None:
    host = started(pair)
    done = host.answer(0, "a")
    assert host.session.expects(done)
    host.turn(done)

    assert not host.session.expects(done)


def test_a_duplicate_in_the_same_feed_changes_nothing() -> None:
    host = started(pair)
    first = host.answer(0, "a")
    second = TaskCompleted(timestamp=START, task_id=0, result='"again"')
    host.turn(first, second, host.answer(1, "b"))
    host.turn(host.answer(2, "c"))

    assert output(host) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("event", "is_expected"),
    [
        (TaskCompleted(timestamp=START, task_id=0), True),
        (TaskFailed(timestamp=START, task_id=0, reason=""), True),
        (TaskCompleted(timestamp=START, task_id=7), False),
        (TimerFired(timestamp=START, task_id=0, fire_at=START), False),
        (SubOrchestrationCompleted(timestamp=START, task_id=0), False),
        (SubOrchestrationFailed(timestamp=START, task_id=0, reason=""), False),
        (EventRaised(timestamp=START, name="E"), True),
        (ExecutionSuspended(timestamp=START), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_completions_of_an_open_task_of_their_kind_are_expected(
    event: HistoryEvent, is_expected: bool
) -> None:
    assert is_expected == started(pair).session.expects(event)


def test_a_completion_that_the_engine_let_through_by_mistake_is_ignored() -> None:
    host = started(pair)
    wrong = TimerFired(timestamp=START, task_id=0, fire_at=START)
    host.session.feed([wrong], played=False)

    assert host.session.waiting_for() == ["activity 'A' (#0)", "activity 'B' (#1)"]


# ---- suspension --------------------------------------------------------------------------


def test_a_suspended_instance_sees_nothing_until_it_is_resumed_then_all_in_order() -> None:
    def code(context: Any) -> Steps:
        tasks = [context.call_activity("A"), context.wait_for_external_event("E")]
        seen = []
        while tasks:
            winner = yield context.task_any(tasks)
            seen.append([winner.result, context.current_utc_datetime.second])
            tasks.remove(winner)
        return seen

    host = started(code)
    host.turn(host.suspend())
    host.turn(host.event("E", "e"))
    host.turn(host.answer(0, "a"))
    assert host.session.is_suspended
    assert host.session.waiting_for() == ["activity 'A' (#0)", "event 'E'"]
    assert [value(event) for event in host.session.undelivered()] == ["e"]

    host.turn(host.resume())

    now = host.now.second
    assert [["e", now], ["a", now]] == output(host)
    assert not host.session.is_suspended


def test_a_duplicate_of_a_held_completion_is_not_expected() -> None:
    host = started(pair)
    done = host.answer(0, "a")
    host.turn(host.suspend(), done)

    assert not host.session.expects(done)
    host.session.feed([done], played=False)
    host.turn(host.resume())
    assert host.session.waiting_for() == ["activity 'B' (#1)"]


def test_decisions_of_the_turn_that_suspends_come_out_with_resumed() -> None:
    host = started(pair)
    assert host.turn(host.answer(0), host.answer(1), host.suspend()) == []
    assert host.recovered().take_decisions() == []

    resumed = host.recovered()
    host.session = resumed
    assert [ScheduleActivity(task_id=2, name="C", input="null")] == host.turn(host.resume())


def test_a_cancellation_in_the_turn_that_suspends_survives_a_recovery() -> None:
    def code(context: Any) -> Steps:
        timer = context.create_timer(START + timedelta(hours=1))
        yield context.task_any([timer, context.wait_for_external_event("Go")])
        timer.cancel()
        yield context.wait_for_external_event("Never")

    host = started(code)
    host.turn(host.event("Go"), host.suspend())
    host.session = host.recovered()

    assert host.turn(host.resume()) == [CancelTimer(task_id=0)]


def test_an_instance_suspended_before_its_first_turn_runs_to_its_first_wait() -> None:
    host = Host(pair)

    assert host.start(host.suspend()) == []
    assert host.session.waiting_for() == ["activity 'A' (#0)", "activity 'B' (#1)"]
    assert len(host.turn(host.resume())) == 2


def test_an_instance_that_ended_before_it_was_suspended_has_ended() -> None:
    host = Host(lambda context: 1)

    assert [Complete(output="1")] == host.start(host.suspend())


def test_terminated_reaches_a_suspended_instance() -> None:
    host = started(pair)
    host.turn(host.suspend())
    host.turn(ExecutionTerminated(timestamp=START, reason="enough"), host.resume())

    assert host.session.is_done
    assert host.session.take_decisions() == []
    assert not host.session.expects(TaskCompleted(timestamp=START, task_id=0))


def test_nothing_reaches_the_code_after_terminated() -> None:
    def code(context: Any) -> Steps:
        yield context.wait_for_external_event("Go")
        yield context.call_activity("A")

    host = started(code)

    assert host.turn(ExecutionTerminated(timestamp=START), host.event("Go")) == []
    assert host.session.waiting_for() == []


# ---- continue-as-new ---------------------------------------------------------------------


def test_what_was_not_consumed_is_carried_over_in_arrival_order() -> None:
    def code(context: Any) -> Steps:
        yield context.task_any(
            [context.wait_for_external_event("Go"), context.call_activity("Slow")]
        )
        context.continue_as_new(None)

    host = started(code)
    host.turn(host.event("Early", 1))
    slow = host.answer(0)
    decisions = host.turn(
        host.event("Other", 2), host.event("Go", 3), host.event("Early", 4), slow, host.suspend()
    )

    assert [ContinueAsNew(input="null")] == decisions
    *events, last = host.session.undelivered()
    assert [value(event) for event in events] == [1, 2, 4]
    assert isinstance(last, ExecutionSuspended)


def test_the_late_answer_of_an_entity_is_not_carried_over() -> None:
    def code(context: Any) -> Steps:
        call = context.call_entity(df.EntityId("Counter", "k"), "get")
        yield context.task_any([call, context.wait_for_external_event("Go")])
        context.continue_as_new(None)

    host = started(code)
    host.turn(host.event("Go"), host.answer(0, 1))

    assert host.session.undelivered() == []


def test_carried_events_open_the_next_generation() -> None:
    def code(context: Any) -> Steps:
        return (yield context.wait_for_external_event("E"))

    host = Host(code)
    host.start(host.event("E", 9))

    assert output(host) == 9
