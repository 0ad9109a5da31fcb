"""Random orchestrators, random histories: live session = recovered session = the SDK's handler."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay.host import INSTANCE, Host
from replay.oracle import Oracle
from support.orchestrations import (
    USER_TIMER_MICROSECOND,
    Activity,
    All,
    Any_,
    Ask,
    Cancel,
    Child,
    Drain,
    Keep,
    Kept,
    MakeId,
    Raise,
    Retried,
    Signal,
    StartOver,
    Statement,
    Status,
    Task,
    Timer,
    Wait,
    Yield,
    orchestrator_of,
)

from func_py.durable.model import HistoryEvent
from func_py.durable.replay import Session, verify
from func_py.durable.replay.decisions import (
    CallEntity,
    Complete,
    ContinueAsNew,
    CreateTimer,
    Decision,
    Fail,
    ScheduleActivity,
    SignalEntity,
    StartChild,
)

names = st.sampled_from(["A", "B"])
atoms: st.SearchStrategy[Task] = st.one_of(
    st.builds(Activity, names),
    st.builds(Retried, names, st.integers(1, 3)),
    st.builds(Timer, st.integers(0, 5)),
    st.builds(Wait, st.sampled_from(["Go", "Stop"])),
    st.builds(Child, names, st.sampled_from([None, "child-1"]), st.sampled_from([None, 2])),
    st.builds(Ask, names),
    st.builds(Kept, st.integers(0, 2)),
)
tasks = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, max_size=3)),
        st.builds(Any_, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(Yield, tasks),
    st.builds(Yield, tasks),
    st.builds(Yield, tasks, st.just(False)),
    st.builds(Drain, st.lists(atoms, min_size=1, max_size=3)),
    st.builds(Keep, st.one_of(st.builds(Timer, st.integers(1, 9)), atoms)),
    st.builds(Cancel, st.integers(0, 1)),
    st.builds(Signal, names),
    st.builds(Status, st.sampled_from(["", "busy", 0, {"step": 1}])),
    st.just(MakeId()),
)
endings: st.SearchStrategy[list[Statement]] = st.one_of(
    st.just([]),
    st.builds(lambda text: [Raise(text)], st.sampled_from(["boom", ""])),
    st.builds(lambda is_yielded: [StartOver(is_yielded)], st.booleans()),
)
programs = st.builds(
    lambda body, end: [*body, *end], st.lists(statements, min_size=2, max_size=6), endings
)


@pytest.fixture(autouse=True)
def _fast_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference parses each timestamp of each replay; ISO text needs no general parser."""
    module = sys.modules["azure.durable_functions.models.history.HistoryEvent"]
    monkeypatch.setattr(module, "dt_parse", datetime.fromisoformat)


def draw_messages(data: st.DataObject, host: Host) -> list[HistoryEvent]:
    """One to three things that happen: answers in any order, events, suspend and resume."""
    messages: list[HistoryEvent] = []
    for _ in range(data.draw(st.integers(1, 3), label="messages")):
        what = data.draw(st.sampled_from("aaaaaaeesr"), label="what")
        if what == "a" and host.open:
            task_id = data.draw(st.sampled_from(sorted(host.open)), label="task")
            error = data.draw(st.sampled_from([None, None, "bad"]), label="error")
            messages.append(host.answer(task_id, {"of": task_id}, error))
            if data.draw(st.integers(0, 9), label="twice") == 0:
                messages.append(messages[-1])
        elif what == "s":
            messages.append(host.suspend())
        elif what == "r" or (what == "a" and host.session.is_suspended):
            messages.append(host.resume())
        else:
            name = data.draw(st.sampled_from(["Go", "go", "Stop"]), label="event")
            messages.append(host.event(name, len(host.history)))
    return messages


def asked(decisions: Sequence[Decision], cancelled: set[int]) -> list[dict[str, Any]]:
    """What the handler lists as actions: without what the host derives for retries."""
    found: list[dict[str, Any]] = []
    calls: set[tuple[str, str | None]] = set()
    for each in decisions:
        match each:
            case ScheduleActivity() | StartChild() if (each.name, each.input) not in calls:
                calls.add((each.name, each.input))
                action = {"functionName": each.name, "input": each.input}
                if isinstance(each, StartChild):
                    action["instanceId"] = each.instance_id
                found.append(action)
            case CreateTimer() if each.fire_at.microsecond == USER_TIMER_MICROSECOND:
                fire_at = each.fire_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                found.append({"fireAt": fire_at, "isCanceled": each.task_id in cancelled})
            case CallEntity() | SignalEntity():
                target = {"instanceId": each.instance_id, "operation": each.operation}
                found.append({**target, "input": each.input})
            case _:
                pass
    return found


def assert_same_as_sdk(host: Host, oracle: Oracle, custom_status: Any) -> None:
    state = oracle.state
    wanted = [
        {key: action[key] for key in action if key not in ("actionType", "retryOptions", "version")}
        for action in state.requests
    ]
    got = asked(host.decisions, host.cancelled)
    if state.is_broken:
        pass  # The SDK itself raised and told nothing else; we still carry out what was asked.
    elif host.session.is_suspended and not host.session.is_done:
        # What the code asked for in the turn of the suspension comes out with Resumed.
        assert [uncancelled(each) for each in wanted[: len(got)]] == list(map(uncancelled, got))
    else:
        assert wanted == got
    assert state.is_done == host.session.is_done
    if not state.is_broken:
        assert custom_status == json_value(host.session.custom_status)
    match host.decisions[-1] if host.session.is_done else None:
        case Complete(output=output):
            assert (state.error, state.next_input) == (None, None)
            assert state.output == json_value(output)
        case Fail(failure=failure):
            assert state.error == failure.message
        case ContinueAsNew(input=value):
            assert state.next_input == value
        case _:
            assert not state.is_done


def uncancelled(action: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in action.items() if key != "isCanceled"}


def json_value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def without_addresses(decisions: Sequence[Decision]) -> str:
    """The decisions as text; the SDK's own error messages show objects with their addresses."""
    return re.sub("0x[0-9a-f]+", "0x", repr(decisions))


def view(session: Session) -> dict[str, Any]:
    return {
        "done": session.is_done,
        "suspended": session.is_suspended,
        "waits": session.waiting_for(),
        "undelivered": session.undelivered(),
        "status": session.custom_status,
        "place": session.location,
    }


@pytest.mark.timeout(400)  # to shrink a failure; passing takes seconds
@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(program=programs, data=st.data())
def test_live_and_recovered_sessions_agree_with_the_handler_at_every_turn(
    program: list[Statement], data: st.DataObject
) -> None:
    lines: list[str] = []
    host = Host(orchestrator_of(program, lines.append), value={"n": 1})
    oracle = Oracle(orchestrator_of(program), INSTANCE, host.value)
    custom_status = None
    for turn in range(14):
        messages = draw_messages(data, host) if turn else []
        before = host.recovered() if turn else Session(host.function, INSTANCE)
        lines_before = list(lines)
        length = len(host.history)

        decisions = host.turn(*messages) if turn else host.start(*messages)

        events = host.history[length:]
        for event in events:
            oracle.feed(event)
        custom_status = oracle.state.custom_status or custom_status
        assert_same_as_sdk(host, oracle, custom_status)

        lines_live = list(lines)
        lines[:] = lines_before
        arrivals = [event for event in events if host.is_arrival(event)]
        before.feed(arrivals, played=False)
        assert without_addresses(decisions) == without_addresses(before.take_decisions())
        assert lines_live == lines, "a recovered session logs what the live one logs, once"

        after = Session(host.function, INSTANCE)
        cut = data.draw(st.integers(0, len(host.history)), label="cut")
        after.feed(host.history[:cut], played=True)
        after.feed(host.history[cut:], played=True)
        assert after.take_decisions() == []
        assert view(host.session) == view(after)
        assert lines_live == lines, "what is replayed logs nothing"
        assert verify(host.function, INSTANCE, host.history) is None

        if host.session.is_done:
            break
        host.session = data.draw(st.sampled_from([host.session, before, after]), label="evict")
