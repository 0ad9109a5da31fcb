"""What the code asks for becomes decisions, under the SDK's own task ids."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import azure.durable_functions as df
import pytest
from replay.host import START, Host
from support.orchestrations import Orchestrator

from func_py.durable.model import (
    EventSent,
    HistoryEvent,
    LongTimers,
    OrchestratorStarted,
    TaskCompleted,
    TimerFired,
)
from func_py.durable.replay.decisions import (
    CallEntity,
    CallHttp,
    CancelTimer,
    Complete,
    ContinueAsNew,
    CreateTimer,
    Decision,
    Fail,
    ScheduleActivity,
    SignalEntity,
    StartChild,
)

Steps = Generator[Any, Any, Any]
COUNTER = df.EntityId("Counter", "k")


def first_turn(function: Orchestrator) -> list[Decision]:
    return Host(function).start()


def started(function: Orchestrator) -> Host:
    host = Host(function)
    host.start()
    return host


def failure(decisions: list[Decision]) -> Any:
    (fail,) = (each for each in decisions if isinstance(each, Fail))
    return fail.failure


def test_an_activity_is_scheduled_with_its_input_as_json_text() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A", {"k": 1})

    assert [ScheduleActivity(task_id=0, name="A", input='{"k": 1}')] == first_turn(code)


def test_a_task_that_is_not_yielded_is_not_scheduled() -> None:
    def code(context: Any) -> Steps:
        context.call_activity("Forgotten")
        yield context.call_activity("A")

    assert [ScheduleActivity(task_id=0, name="A", input="null")] == first_turn(code)


def test_a_task_that_appears_twice_is_scheduled_once() -> None:
    def code(context: Any) -> Steps:
        task = context.call_activity("A")
        yield context.task_all([task, task])

    assert first_turn(code) == [ScheduleActivity(task_id=0, name="A", input="null")]


def test_children_of_nested_compounds_are_numbered_depth_first() -> None:
    def code(context: Any) -> Steps:
        inner = context.task_all([context.call_activity("B"), context.call_activity("C")])
        yield context.task_any([context.call_activity("A"), inner, context.call_activity("D")])

    names = {each.task_id: each.name for each in first_turn(code)}  # type: ignore[union-attr]
    assert names == {0: "A", 1: "B", 2: "C", 3: "D"}


def test_a_name_that_is_a_text_enumeration_is_sent_by_its_value() -> None:
    class Name(str, Enum):  # noqa: UP042 - the older way, whose str() is not its value
        A = "real-name"

    def code(context: Any) -> Steps:
        yield context.call_activity(Name.A)

    (decision,) = first_turn(code)
    assert isinstance(decision, ScheduleActivity)
    assert (str, "real-name") == (type(decision.name), decision.name)


def test_a_decision_is_taken_once() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A")

    assert started(code).session.take_decisions() == []


def test_signals_take_an_id_of_their_own_and_keep_their_place() -> None:
    def code(context: Any) -> Steps:
        context.signal_entity(COUNTER, "add", 1)
        yield context.task_all([context.call_activity("A"), context.call_activity("B")])
        context.signal_entity(COUNTER, "add", 2)
        yield context.call_activity("C")

    host = started(code)
    more = host.turn(host.answer(1), host.answer(2))

    kinds = [(each.task_id, type(each)) for each in [*host.decisions]]  # type: ignore[union-attr]
    assert [
        (0, SignalEntity),
        (1, ScheduleActivity),
        (2, ScheduleActivity),
        (3, SignalEntity),
        (4, ScheduleActivity),
    ] == kinds
    assert isinstance(more[0], SignalEntity)
    assert (more[0].instance_id, more[0].operation, more[0].input) == ("@counter@k", "add", "2")


def test_a_signal_that_is_yielded_is_sent_twice_and_parks_as_with_the_sdk() -> None:
    def code(context: Any) -> Steps:
        yield context.signal_entity(COUNTER, "add", 1)

    host = started(code)

    assert [SignalEntity, SignalEntity] == [type(each) for each in host.decisions]
    assert host.session.waiting_for() == ["a signal, which has no answer (#1)"]


def test_what_was_asked_for_before_an_exception_is_still_decided() -> None:
    def code(context: Any) -> Steps:
        event = context.wait_for_external_event("E")
        context.signal_entity(COUNTER, "add", 1)
        yield context.task_any([context.call_activity("A"), event])
        raise ValueError("late")

    host = Host(code)
    decisions = host.start(host.event("E"))

    assert [SignalEntity, ScheduleActivity, Fail] == [type(each) for each in decisions]


def test_a_plain_function_that_raises_keeps_its_signals() -> None:
    def code(context: Any) -> None:
        context.signal_entity(COUNTER, "add", 1)
        raise KeyError

    decisions = first_turn(code)

    assert [SignalEntity, Fail] == [type(each) for each in decisions]
    assert failure(decisions).message == "<class 'KeyError'>"


# ---- entities ----------------------------------------------------------------------------


def ask(context: Any) -> Steps:
    try:
        return (yield context.call_entity(COUNTER, "get", {"x": 1}))
    except Exception as error:  # noqa: BLE001 - what users do
        return f"caught {error}"


def test_an_entity_call_has_the_same_request_id_in_every_session() -> None:
    one, other = first_turn(ask)[0], first_turn(ask)[0]

    assert one == other
    assert isinstance(one, CallEntity)
    assert (one.instance_id, one.operation, one.input) == ("@counter@k", "get", '{"x": 1}')


@pytest.mark.parametrize(("error", "result"), [(None, {"v": 1}), ("boom", "caught boom")])
def test_the_answer_of_an_entity_resumes_the_code(error: str | None, result: Any) -> None:
    host = started(ask)
    (end,) = host.turn(host.answer(0, {"v": 1}, error))

    assert Complete(output=json.dumps(result)) == end


def test_a_request_id_that_another_host_recorded_is_used() -> None:
    host = started(ask)
    sent = next(event for event in host.history if isinstance(event, EventSent))
    foreign = EventSent(
        timestamp=sent.timestamp,
        task_id=0,
        instance_id=sent.instance_id,
        name="op",
        input='{"op":"get","id":"11111111-0000-0000-0000-000000000000"}',
    )
    host.history[host.history.index(sent)] = foreign
    host.session = host.recovered()

    answer = {"result": "7"}
    event = host.event("11111111-0000-0000-0000-000000000000", answer)
    assert [Complete(output="7")] == host.turn(event)


# ---- children and HTTP -------------------------------------------------------------------


@pytest.mark.parametrize(("given", "wanted"), [(None, None), ("  ", None), ("c1", "c1")])
def test_a_child_keeps_only_an_instance_id_that_is_not_blank(
    given: str | None, wanted: str | None
) -> None:
    def code(context: Any) -> Steps:
        yield context.call_sub_orchestrator("Sub", [1], given, "2.0")

    child = StartChild(task_id=0, name="Sub", input="[1]", instance_id=wanted, version="2.0")
    assert [child] == first_turn(code)


def test_an_http_call_gives_its_answer_as_a_value() -> None:
    def code(context: Any) -> Steps:
        answer = yield context.call_http("POST", "http://x/y", {"a": 1}, {"h": "v"})
        return answer["statusCode"]

    host = started(code)
    (call,) = host.decisions

    assert isinstance(call, CallHttp)
    wanted = {"method": "POST", "uri": "http://x/y", "content": '{"a": 1}', "headers": {"h": "v"}}
    assert wanted == json.loads(call.request)
    assert [Complete(output="204")] == host.turn(host.answer(0, {"statusCode": 204}))


# ---- timers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (datetime(2030, 5, 1, 12, tzinfo=UTC), datetime(2030, 5, 1, 12, tzinfo=UTC)),
        (datetime(2030, 5, 1, 12, 0, 0, 7), datetime(2030, 5, 1, 12, 0, 0, 7, tzinfo=UTC)),
        (
            datetime(2030, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
            datetime(2030, 5, 1, 12, tzinfo=UTC),
        ),
        (date(2030, 5, 1), datetime(2030, 5, 1, tzinfo=UTC)),
    ],
    ids=["utc", "naive", "other zone", "date"],
)
def test_a_timer_fires_at_the_digits_that_the_sdk_prints(given: date, wanted: datetime) -> None:
    def code(context: Any) -> Steps:
        yield context.create_timer(given)

    assert [CreateTimer(task_id=0, fire_at=wanted)] == first_turn(code)


def race(context: Any) -> Steps:
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    yield context.task_any([timer, context.wait_for_external_event("Go")])
    timer.cancel()
    yield context.call_activity("Next")
    return "done"


def test_a_cancelled_timer_is_a_decision_and_takes_no_firing_any_more() -> None:
    host = started(race)
    firing = TimerFired(timestamp=START, task_id=0, fire_at=START)
    assert host.session.expects(firing)

    decisions = host.turn(host.event("Go"))

    assert [CancelTimer(task_id=0), ScheduleActivity(task_id=1, name="Next", input="null")] == (
        decisions
    )
    assert not host.session.expects(firing)


def test_a_firing_right_behind_the_cancellation_changes_nothing() -> None:
    host = started(race)
    host.turn(host.event("Go"), TimerFired(timestamp=START, task_id=0, fire_at=START))

    assert host.session.waiting_for() == ["activity 'Next' (#1)"]
    assert host.recovered().waiting_for() == ["activity 'Next' (#1)"]


def test_a_cancellation_of_a_played_turn_is_not_decided_again() -> None:
    host = started(race)
    host.turn(host.event("Go"))

    assert host.recovered().take_decisions() == []


def test_a_timer_cancelled_before_it_was_yielded_is_created_and_cancelled() -> None:
    def code(context: Any) -> Steps:
        timer = context.create_timer(START + timedelta(hours=1))
        timer.cancel()
        yield context.task_any([timer, context.call_activity("A")])

    kinds = [(each.task_id, type(each)) for each in first_turn(code)]  # type: ignore[union-attr]
    assert [(0, CreateTimer), (0, CancelTimer), (1, ScheduleActivity)] == kinds


def test_a_long_timer_is_split_only_for_an_instance_born_with_the_split() -> None:
    def code(context: Any) -> Steps:
        yield context.create_timer(START + timedelta(days=10))

    assert [CreateTimer(task_id=0, fire_at=START + timedelta(days=10))] == first_turn(code)

    split = LongTimers(longest=timedelta(days=6), interval=timedelta(days=3))
    host = Host(code, long_timers=split)
    (first,) = host.start()
    assert CreateTimer(task_id=0, fire_at=START + timedelta(days=3, seconds=1)) == first
    (second,) = host.turn(host.answer(0))
    assert isinstance(second, CreateTimer)
    assert START + timedelta(days=6) < second.fire_at < START + timedelta(days=7)
    whole, part = (START + timedelta(days=10)).isoformat(), second.fire_at.isoformat()
    assert host.session.waiting_for() == [f"timer #1 until {part}, part of a timer until {whole}"]


# ---- retries -----------------------------------------------------------------------------


def test_retries_wait_between_attempts_and_once_more_without_delay_after_the_last() -> None:
    def code(context: Any) -> Steps:
        try:
            yield context.call_activity_with_retry("A", df.RetryOptions(60_000, 2), "in")
        except Exception as error:  # noqa: BLE001 - what users do
            return str(error)

    host = started(code)
    (timer,) = host.turn(host.answer(0, error="one"))
    assert CreateTimer(task_id=1, fire_at=host.now + timedelta(minutes=1)) == timer
    assert [ScheduleActivity(task_id=2, name="A", input='"in"')] == host.turn(host.answer(1))
    (timer,) = host.turn(host.answer(2, error="two"))
    assert CreateTimer(task_id=3, fire_at=host.now) == timer
    assert [Complete(output=json.dumps("two \n why"))] == host.turn(host.answer(3))


def test_a_retried_child_reuses_the_given_instance_id() -> None:
    def code(context: Any) -> Steps:
        yield context.call_sub_orchestrator_with_retry("S", df.RetryOptions(1, 2), None, "c1")

    host = started(code)
    host.turn(host.answer(0, error="no"))
    (again,) = host.turn(host.answer(1))

    assert StartChild(task_id=2, name="S", input="null", instance_id="c1") == again


def test_an_attempt_that_succeeds_ends_the_call() -> None:
    def code(context: Any) -> Steps:
        return (yield context.call_activity_with_retry("A", df.RetryOptions(1, 5)))

    host = started(code)
    host.turn(host.answer(0, error="no"))
    host.turn(host.answer(1))

    assert [Complete(output="3")] == host.turn(host.answer(2, 3))


# ---- ends --------------------------------------------------------------------------------


def test_a_function_without_yield_completes_at_once() -> None:
    assert [Complete(output='{"a": 1}')] == first_turn(lambda context: {"a": 1})
    assert [Complete(output=None)] == first_turn(lambda context: None)


def over_in_a_plain_function(context: Any) -> None:
    context.continue_as_new({"n": 1})


def over_without_yield(context: Any) -> Steps:
    context.continue_as_new({"n": 1})
    return
    yield


def over_with_yield(context: Any) -> Steps:
    yield context.continue_as_new({"n": 1})


def over_and_on(context: Any) -> Steps:
    context.continue_as_new({"n": 1})
    context.continue_as_new({"n": 2})
    context.signal_entity(COUNTER, "late")
    yield context.call_activity("Late")


@pytest.mark.parametrize(
    "code", [over_in_a_plain_function, over_without_yield, over_with_yield, over_and_on]
)
def test_continue_as_new_ends_the_execution_and_drops_what_follows(code: Orchestrator) -> None:
    host = started(code)

    assert [ContinueAsNew(input='{"n": 1}')] == host.decisions
    assert host.session.is_done


def test_raising_after_continue_as_new_fails() -> None:
    def code(context: Any) -> Steps:
        context.continue_as_new(1)
        raise ValueError("no")
        yield

    assert failure(first_turn(code)).message == "no"


def test_a_result_that_is_no_json_fails_with_the_error_of_the_encoder() -> None:
    details = failure(first_turn(lambda context: object()))

    assert details.type == "TypeError"
    assert details.message.startswith("Object of type object is not JSON serializable (the output")


def test_a_failure_shows_the_users_frames_only_and_what_it_was_raised_from() -> None:
    def broken() -> None:
        raise LookupError("inner")

    def code(context: Any) -> Steps:
        try:
            broken()
        except LookupError as error:
            raise ValueError("outer") from error
        yield

    details = failure(first_turn(code))

    assert (details.type, details.message) == ("ValueError", "outer")
    assert (details.inner.type, details.inner.message) == ("LookupError", "inner")
    assert "in broken" in details.stack
    assert "in code" in details.stack
    assert "durable_functions" not in details.stack
    assert "durable/replay" not in details.stack.replace(__file__, "")


def test_the_failure_of_an_activity_that_is_not_caught_is_the_instances_failure() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A")

    host = started(code)
    details = failure(host.turn(host.answer(0, error="Activity function 'A' failed:  E: x")))

    assert details.message == "Activity function 'A' failed:  E: x \n why"
    assert "in code" in details.stack


def test_an_exception_whose_text_cannot_be_made_still_fails_the_instance() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def code(context: Any) -> Steps:
        raise Odd
        yield

    assert failure(first_turn(code)).message == "Odd (its text cannot be shown: RuntimeError)"


def test_leaving_the_interpreter_is_a_failure_of_the_instance() -> None:
    def code(context: Any) -> Steps:
        raise SystemExit(3)
        yield

    assert (
        failure(first_turn(code)).type,
        failure(first_turn(code)).message,
    ) == ("SystemExit", "3")


def test_a_result_that_cannot_be_decoded_fails_with_that_error() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A")

    host = started(code)
    custom = {"__class__": "C", "__module__": "not_loaded", "__data__": 1}
    details = failure(host.turn(host.answer(0, custom)))

    assert details.type == "ValueError"
    assert "module 'not_loaded' is not loaded" in details.message
    assert host.recovered().take_decisions() == []


def test_an_async_function_is_told_what_an_orchestrator_is() -> None:
    async def code(context: Any) -> None: ...

    assert "code is an 'async def' function" in failure(first_turn(code)).message


def test_yielding_none_parks_for_ever_and_says_so() -> None:
    def code(context: Any) -> Steps:
        event = context.wait_for_external_event("E")
        yield context.task_any([event, context.call_activity("A")])
        yield context.set_custom_status("x")

    host = started(code)
    host.turn(host.event("E"))
    host.turn(host.answer(0))

    assert not host.session.is_done
    (words,) = host.session.waiting_for()
    assert "the code yielded None at" in words


def test_yielding_something_else_fails_naming_value_and_line() -> None:
    def code(context: Any) -> Steps:
        yield [context.call_activity("A")]

    message = failure(first_turn(code)).message

    assert "The orchestrator yielded list" in message
    assert f"{__file__}:{code.__code__.co_firstlineno + 1}" in message
    assert "context.task_all" in message


# ---- custom status -----------------------------------------------------------------------


def test_the_custom_status_at_the_end_of_a_turn_counts_unless_it_is_empty() -> None:
    def code(context: Any) -> Steps:
        context.set_custom_status("first")
        context.set_custom_status({"n": 1})
        yield context.call_activity("A")
        context.set_custom_status("")
        yield context.call_activity("B")

    host = started(code)
    assert host.session.custom_status == '{"n": 1}'
    host.turn(host.answer(0))
    assert host.session.custom_status == '{"n": 1}'
    assert host.recovered().custom_status == '{"n": 1}'


def test_a_custom_status_that_is_no_json_fails_the_instance() -> None:
    def code(context: Any) -> Steps:
        context.set_custom_status(object())
        yield context.call_activity("A")

    assert failure(first_turn(code)).type == "TypeError"


def test_a_custom_status_that_is_no_json_does_not_hide_the_users_exception() -> None:
    def code(context: Any) -> Steps:
        context.set_custom_status(object())
        raise ValueError("mine")
        yield

    assert failure(first_turn(code)).message == "mine"


def test_a_session_keeps_no_list_of_past_actions() -> None:
    contexts: list[Any] = []

    def code(context: Any) -> Steps:
        contexts.append(context)
        for _ in range(50):
            yield context.call_activity("A")

    host = started(code)
    size = host.session.size
    for step in range(49):
        host.turn(host.answer(step))

    assert (contexts[0]._action_payload_v2, len(contexts[0].open_tasks)) == ([], 1)
    assert size + len("null") == host.session.size


def test_events_of_one_turn_may_bring_several_results() -> None:
    def code(context: Any) -> Steps:
        a = yield context.call_activity("A")
        b = yield context.task_all([context.call_activity("B"), context.call_activity("C")])
        return [a, *b]

    host = started(code)
    host.turn(host.answer(0, 1))
    assert [Complete(output="[1, 2, 3]")] == host.turn(host.answer(2, 3), host.answer(1, 2))


def test_a_result_in_a_turn_of_its_own_moves_the_clock() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A")
        return context.current_utc_datetime.isoformat()

    session = Host(code)
    session.start()
    later = START + timedelta(days=1)
    events: list[HistoryEvent] = [
        OrchestratorStarted(timestamp=later),
        OrchestratorStarted(timestamp=START),
        TaskCompleted(timestamp=later, task_id=0),
    ]
    session.session.feed(events, played=False)

    assert [Complete(output=json.dumps(later.isoformat()))] == session.session.take_decisions()
