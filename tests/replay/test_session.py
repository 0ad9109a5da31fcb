"""A session against its history: replay, matching, closing, and what it tells the engine."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from replay.host import EXECUTION, INSTANCE, START, Host
from support.orchestrations import FIXED, Orchestrator

from func_py.durable.model import (
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
    RuntimeStatus,
    TaskCompleted,
    TaskScheduled,
)
from func_py.durable.replay import RaisedInReplay, Session, verify
from func_py.durable.replay.decisions import Complete, Decision, Fail, ScheduleActivity
from func_py.durable.replay.muting import is_muted, muted
from func_py.errors import InternalError, NonDeterminismError

Steps = Generator[Any, Any, Any]


def started(function: Orchestrator, value: Any = None) -> Host:
    host = Host(function, value)
    host.start()
    return host


def replay(function: Orchestrator, history: list[HistoryEvent]) -> Session:
    session = Session(function, INSTANCE)
    session.feed(history, played=True)
    return session


# ---- what user code sees -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "seen"),
    [
        (None, None),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"\\"text\\""', "text"),
        ('"5"', 5),
        ("[1, 2]", [1, 2]),
        ("5", 5),
        ('"hello"', "hello"),
        ('{"a": 1}', {"a": 1}),
        ('"NaN"', pytest.approx(float("nan"), nan_ok=True)),
    ],
)
def test_input_comes_from_clients_of_the_sdk_and_from_raw_bodies(stored: Any, seen: Any) -> None:
    values: list[Any] = []
    Host(lambda context: values.append(context.get_input())).start(stored_input=stored)

    assert [seen] == values


def test_a_handle_of_the_sdk_is_opened_and_its_input_type_is_used() -> None:
    app = df.DFApp()
    types: list[Any] = []

    class Order:
        pass

    @app.orchestration_trigger(context_name="context", input_type=Order)  # type: ignore[untyped-decorator]
    def code(context: Any) -> Steps:
        types.append(context._input_expected_type)
        return (yield context.call_activity("A"))

    (function,) = app.get_functions()
    host = started(function.get_user_function())

    assert [Order] == types
    assert [Complete(output="3")] == host.turn(host.answer(0, 3))


def test_ids_parent_and_version_come_from_the_start() -> None:
    seen: list[Any] = []

    def code(context: Any) -> None:
        seen.append([context.instance_id, context.parent_instance_id, context.version])

    start = ExecutionStarted(timestamp=START, name="o", execution_id="e", version="1.5")
    session = Session(code, "the-id")
    session.feed([OrchestratorStarted(timestamp=START), start], played=False)

    assert seen == [["the-id", None, "1.5"]]


def test_is_replaying_is_true_exactly_for_what_is_fed_as_played() -> None:
    seen: list[Any] = []

    def code(context: Any) -> Steps:
        seen.append(("start", context.is_replaying))
        both = [context.call_activity("A"), context.call_activity("B")]
        yield context.task_any(both)
        seen.append(("one", context.is_replaying))
        yield both[1]
        seen.append(("other", context.is_replaying))
        yield both[0]  # finished in an earlier turn
        seen.append(("again", context.is_replaying))

    host = started(code)
    host.turn(host.answer(0))
    assert seen == [("start", False), ("one", False)]

    seen.clear()
    host.session = host.recovered()
    assert seen == [("start", True), ("one", True)]
    host.turn(host.answer(1))
    assert seen[2:] == [("other", False), ("again", False)]


# ---- matching ----------------------------------------------------------------------------


def changed(**other: Any) -> Orchestrator:
    """An orchestrator of one step; `other` says how it was changed after the instance began."""

    def code(context: Any) -> Steps:
        entity = df.EntityId(other.get("entity", "Counter"), "k")
        match other.get("kind", "activity"):
            case "activity":
                yield context.call_activity(other.get("name", "A"))
            case "child":
                yield context.call_sub_orchestrator(other.get("name", "A"), None, other.get("id"))
            case "timer":
                yield context.create_timer(context.current_utc_datetime)
            case "call":
                yield context.call_entity(entity, other.get("op", "get"))
            case "signal":
                context.signal_entity(entity, other.get("op", "get"))
                yield context.wait_for_external_event("E")
            case "http":
                yield context.call_http("GET", "http://x")
            case _:
                yield context.wait_for_external_event("E")

    return code


@pytest.mark.parametrize(
    ("before", "after", "expected", "got"),
    [
        ({}, {"name": "B"}, "activity 'A' (#0)", "activity 'B' (#0)"),
        ({}, {"kind": "timer"}, "activity 'A' (#0)", "timer (#0)"),
        ({"kind": "timer"}, {}, "timer (#0)", "activity 'A' (#0)"),
        ({}, {"kind": "child"}, "activity 'A' (#0)", "sub-orchestration 'A' (#0)"),
        ({}, {"kind": "http"}, "activity 'A' (#0)", "HTTP call (#0)"),
        ({"kind": "http"}, {}, "HTTP call (#0)", "activity 'A' (#0)"),
        (
            {"kind": "child", "id": "c1"},
            {"kind": "child", "id": "c2"},
            "sub-orchestration 'A' as instance 'c1' (#0)",
            "sub-orchestration 'A' as instance 'c2' (#0)",
        ),
        (
            {"kind": "call"},
            {"kind": "call", "entity": "Other"},
            "call 'get' to '@counter@k' (#0)",
            "call 'get' to '@other@k' (#0)",
        ),
        (
            {"kind": "call"},
            {"kind": "call", "op": "set"},
            "call 'get' to '@counter@k' (#0)",
            "call 'set' to '@counter@k' (#0)",
        ),
        (
            {"kind": "signal"},
            {"kind": "call"},
            "signal 'get' to '@counter@k' (#0)",
            "call 'get' to '@counter@k' (#0)",
        ),
        (
            {},
            {"kind": "wait"},
            "activity 'A' (#0)",
            "nothing of that number; it waits for event 'E'",
        ),
    ],
)
def test_code_that_asks_for_something_else_is_found_out(
    before: dict[str, Any], after: dict[str, Any], expected: str, got: str
) -> None:
    history = started(changed(**before)).history

    with pytest.raises(NonDeterminismError) as caught:
        replay(changed(**after), history)

    error = caught.value
    assert (2, expected, got) == (error.index, error.expected, error.got)
    assert error.location.startswith(f"{__file__}:")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"name": "a"}),
        ({"kind": "child"}, {"kind": "child", "name": "a"}),
        ({"kind": "call"}, {"kind": "call", "op": "GET"}),
        ({"kind": "child", "id": "c1"}, {"kind": "child"}),
    ],
)
def test_the_case_of_names_and_a_derived_child_id_are_no_difference(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    session = replay(changed(**after), started(changed(**before)).history)

    assert session.take_decisions() == []


def test_an_event_sent_whose_content_is_unknown_is_matched_by_its_target() -> None:
    history = started(changed(kind="call")).history
    history[2] = EventSent(
        timestamp=START, task_id=0, instance_id="@counter@k", name="x", input="?"
    )

    assert replay(changed(kind="call"), history).take_decisions() == []


def test_code_that_ends_too_early_is_found_out() -> None:
    history = started(changed()).history

    with pytest.raises(NonDeterminismError, match="the code now asked for the end as Completed"):
        replay(lambda context: None, history)


def test_code_that_goes_on_after_its_recorded_end_is_found_out() -> None:
    host = Host(lambda context: None)
    host.start()

    with pytest.raises(NonDeterminismError, match="history event 2 says the end as Completed"):
        replay(changed(), host.history)


def test_the_place_of_a_mismatch_is_the_innermost_yield() -> None:
    def inner(context: Any) -> Steps:
        yield context.call_activity("Other")

    def code(context: Any) -> Steps:
        yield from inner(context)

    with pytest.raises(NonDeterminismError) as caught:
        replay(code, started(changed()).history)

    assert f"{__file__}:{inner.__code__.co_firstlineno + 1}" == caught.value.location


def test_the_place_is_that_of_the_yield_that_asked_not_where_the_code_got_to() -> None:
    def was(context: Any) -> Steps:
        yield context.task_any([context.call_activity("A"), context.wait_for_external_event("E")])
        yield context.call_activity("B")

    def code(context: Any) -> Steps:
        yield context.task_any([context.call_activity("X"), context.wait_for_external_event("E")])
        yield context.call_activity("B")

    host = Host(was)
    host.start(host.event("E"))

    with pytest.raises(NonDeterminismError) as caught:
        replay(code, host.history)
    assert f"{__file__}:{code.__code__.co_firstlineno + 1}" == caught.value.location


def test_the_users_own_exception_is_not_masked_by_a_mismatch() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A")
        raise ValueError("mine")

    host = started(FIXED["chain"])
    host.history[2] = TaskScheduled(timestamp=START, task_id=0, name="A", input="null")
    host.turn(host.answer(0))

    (fail,) = replay(code, host.history).take_decisions()
    assert isinstance(fail, Fail)
    assert fail.failure.message == "mine"


def test_a_type_that_is_not_loaded_is_the_failure_not_a_mismatch() -> None:
    host = started(FIXED["chain"])
    host.turn(host.answer(0))
    done = next(event for event in host.history if isinstance(event, TaskCompleted))
    foreign = json.dumps({"__class__": "C", "__module__": "gone", "__data__": 1})
    host.history[host.history.index(done)] = TaskCompleted(
        timestamp=START, task_id=0, result=foreign
    )

    (fail,) = host.recovered().take_decisions()
    assert isinstance(fail, Fail)
    assert "module 'gone' is not loaded" in fail.failure.message


def test_a_recovery_may_bring_further_work() -> None:
    def more(context: Any) -> Steps:
        yield context.task_all([context.call_activity("A"), context.call_activity("B")])

    decisions = replay(more, started(changed()).history).take_decisions()

    assert [ScheduleActivity(task_id=1, name="B", input="null")] == decisions


# ---- verification ------------------------------------------------------------------------


def finished(function: Orchestrator) -> Host:
    host = started(function, 3)
    while not host.session.is_done:
        host.turn(host.answer(min(host.open), 1))
    return host


def test_verify_accepts_what_the_same_code_recorded() -> None:
    host = finished(FIXED["chain"])

    assert verify(host.function, INSTANCE, host.history) is None


def test_verify_finds_further_work() -> None:
    turns: list[int] = []

    def code(context: Any) -> Steps:
        turns.append(1)
        names = ["A"] if len(turns) == 1 else ["A", "B"]
        yield context.task_any([context.call_activity(name) for name in names])

    host = finished(code)
    error = verify(code, INSTANCE, host.history)

    assert isinstance(error, NonDeterminismError)
    assert (error.index, error.expected, error.got) == (3, "no more", "activity 'B' (#1)")


def test_verify_tells_an_exception_as_itself() -> None:
    runs: list[int] = []

    def code(context: Any) -> Steps:
        runs.append(1)
        yield context.call_activity("A")
        if len(runs) > 1:
            raise ValueError("only when replayed")

    host = finished(code)
    error = verify(code, INSTANCE, host.history)

    assert isinstance(error, RaisedInReplay)
    assert (error.index, error.failure.type) == (7, "ValueError")
    assert "only when replayed" in str(error)
    assert f'File "{__file__}"' in str(error)


def test_verify_accepts_an_instance_that_was_terminated() -> None:
    host = started(FIXED["chain"])
    end = ExecutionCompleted(timestamp=START, status=RuntimeStatus.TERMINATED, result="enough")

    assert verify(host.function, INSTANCE, [*host.history, end]) is None


def unmuted(record: logging.LogRecord) -> bool:
    return not is_muted()


def test_verify_drops_the_log_of_user_code(caplog: pytest.LogCaptureFixture) -> None:
    def code(context: Any) -> Steps:
        logging.warning("running")
        yield context.call_activity("A")

    host = finished(code)
    caplog.clear()
    caplog.handler.addFilter(unmuted)
    try:
        assert verify(code, INSTANCE, host.history) is None
        logging.warning("after")
    finally:
        caplog.handler.removeFilter(unmuted)

    assert caplog.messages == ["after"]


def test_muting_ends_with_its_block() -> None:
    with muted():
        assert is_muted()
    assert not is_muted()


# ---- code that reads its history ---------------------------------------------------------


def from_the_top(context: Any) -> Iterator[Any]:
    """As the OpenAI integration works: takes results from history, then asks for the next."""

    def execute_orchestrator_function() -> Steps:
        done = [each.Result for each in context.histories if each.event_type == 5]
        for number in range(3):
            task = context.call_activity("Model", number)
            yield task
            if len(done) <= number:
                return None
        return done

    return execute_orchestrator_function()


def counting(context: Any) -> Steps:
    for _ in range(3):
        yield context.call_activity("A", len(context.histories))
    return [each.event_type.name for each in context.histories][:3]


@pytest.mark.parametrize("code", [from_the_top, counting])
def test_code_that_reads_its_history_is_replayed_with_all_of_it_each_turn(
    code: Orchestrator,
) -> None:
    host = started(code)
    assert not host.session.sticky
    decisions: list[Decision] = []
    for step in range(3):
        host.session = host.recovered()
        done = host.answer(step, step)
        decisions = host.turn(done)
        assert not host.session.sticky
        assert not host.session.expects(done)

    (end,) = decisions
    assert isinstance(end, Complete)
    if code is from_the_top:
        assert end.output == '["0", "1", "2"]'
    else:
        assert end.output == '["ORCHESTRATOR_STARTED", "EXECUTION_STARTED", "TASK_SCHEDULED"]'
    assert verify(code, INSTANCE, host.history) is None


def test_a_session_of_such_code_refuses_a_second_live_turn() -> None:
    host = started(counting)

    with pytest.raises(InternalError, match="a new session for each turn"):
        host.turn(host.answer(0))


def test_history_read_where_the_host_cannot_see_it_is_an_error_that_says_so() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A")
        return getattr(context, "his" + "tories")

    host = started(code)
    (fail,) = host.turn(host.answer(0))

    assert isinstance(fail, Fail)
    assert "context.histories was read by code" in fail.failure.message


# ---- closing -----------------------------------------------------------------------------


def test_closing_runs_finally_blocks_without_any_effect() -> None:
    ran: list[bool] = []

    def code(context: Any) -> Steps:
        try:
            yield context.call_activity("A")
        finally:
            ran.append(context.is_replaying)
            context.signal_entity(df.EntityId("Counter", "k"), "add")
            context.set_custom_status("closed")

    session = started(code).session
    session.close()

    assert ran == [True]
    assert (session.take_decisions(), session.custom_status) == ([], None)


def test_closing_drops_the_log_of_user_code(caplog: pytest.LogCaptureFixture) -> None:
    def code(context: Any) -> Steps:
        try:
            yield context.call_activity("A")
        finally:
            logging.warning("closing")

    session = started(code).session
    caplog.handler.addFilter(unmuted)
    try:
        session.close()
    finally:
        caplog.handler.removeFilter(unmuted)

    assert caplog.messages == []


def raises_while_closing(context: Any) -> Steps:
    try:
        yield context.call_activity("A")
    finally:
        raise RuntimeError("in finally")


def yields_while_closing(context: Any) -> Steps:
    for _ in range(3):
        try:
            yield context.call_activity("A")
        except GeneratorExit:
            continue


@pytest.mark.parametrize("code", [raises_while_closing, yields_while_closing])
def test_closing_code_that_resists_is_silent(
    code: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    host = started(code)
    host.session.close()
    host.session.close()
    del host
    gc.collect()

    assert noise == []


# ---- what the engine is told -------------------------------------------------------------


def test_waiting_for_names_what_the_code_waits_for() -> None:
    def code(context: Any) -> Steps:
        options = df.RetryOptions(1000, 3)
        yield context.task_all(
            [
                context.call_activity("A"),
                context.call_activity_with_retry("R", options),
                context.wait_for_external_event("Approval"),
                context.create_timer(START + timedelta(hours=1)),
                context.call_sub_orchestrator("Sub"),
                context.call_entity(df.EntityId("Counter", "k"), "get"),
                context.call_http("GET", "http://x"),
            ]
        )

    host = started(code)
    host.turn(host.answer(1, error="no"))

    assert sorted(
        [
            "activity 'A' (#0)",
            "timer #6 until 2030-01-01T00:00:03+00:00 to retry activity 'R'",
            "event 'Approval'",
            "timer #2 until 2030-01-01T01:00:00+00:00",
            "sub-orchestration 'Sub' (#3)",
            "the answer of '@counter@k' to 'get' (#4)",
            "HTTP GET http://x (#5)",
        ]
    ) == sorted(host.session.waiting_for())
    host.turn(host.answer(6))
    assert "activity 'R' (#7)" in host.session.waiting_for()


def test_waiting_for_tells_a_timer_that_was_cancelled() -> None:
    def code(context: Any) -> Steps:
        timer = context.create_timer(START + timedelta(hours=1))
        timer.cancel()
        yield timer

    assert started(code).session.waiting_for() == ["a timer that was cancelled (#0)"]


def test_a_finished_session_waits_for_nothing() -> None:
    assert finished(FIXED["chain"]).session.waiting_for() == []


def test_cost_counts_events_and_size_follows_what_waits() -> None:
    host = started(FIXED["chain"])
    assert host.session.cost == 2
    small = host.session.size
    host.turn(host.event("Unwanted", "x" * 5000))

    assert host.session.cost == 4
    assert host.session.size >= small + 5000


def test_size_keeps_the_most_that_results_weighed_at_once() -> None:
    host = started(FIXED["fan_out"], 3)
    waiting = host.session.size
    for step in range(2):
        host.turn(host.answer(step, "y" * 1000))

    assert host.session.size > waiting


def test_events_that_do_not_begin_an_execution_are_a_bug_of_the_host() -> None:
    session = Session(changed(), INSTANCE)
    start = ExecutionStarted(timestamp=START, name="o", execution_id=EXECUTION)
    with pytest.raises(InternalError, match="must begin with OrchestratorStarted"):
        session.feed([start], played=False)
    with pytest.raises(InternalError, match="must begin with ExecutionStarted"):
        session.feed([TaskCompleted(timestamp=START, task_id=0)], played=False)
