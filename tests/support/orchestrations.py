"""Orchestrators for tests: a small language for random ones, and a fixed set for histories.

A program is data (`Statement`s over `Task` expressions), so that a property test can make, print
and shrink it; `orchestrator_of` turns it into a generator function as a user would write it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import azure.durable_functions as df

Context = Any
Orchestrator = Callable[[Context], Any]

USER_TIMER_MICROSECOND = 777
"""Marks the timers that a program asks for, among those that retries ask for."""


@dataclass(frozen=True)
class Activity:
    name: str


@dataclass(frozen=True)
class Retried:
    name: str
    attempts: int


@dataclass(frozen=True)
class Timer:
    seconds: int


@dataclass(frozen=True)
class Wait:
    event: str


@dataclass(frozen=True)
class Child:
    name: str
    instance_id: str | None = None
    attempts: int | None = None


@dataclass(frozen=True)
class Ask:
    """Call an entity."""

    key: str


@dataclass(frozen=True)
class Kept:
    """A task made by an earlier `Keep`; an activity when there is none of that number."""

    index: int


@dataclass(frozen=True)
class All:
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Any_:
    tasks: Sequence[Task]


Task = Activity | Retried | Timer | Wait | Child | Ask | Kept | All | Any_


@dataclass(frozen=True)
class Yield:
    """Wait for a task; a failure ends the program unless it is caught."""

    task: Task
    is_caught: bool = True


@dataclass(frozen=True)
class Keep:
    """Make a task and do not wait for it."""

    task: Task


@dataclass(frozen=True)
class Drain:
    """Wait for each of the tasks, whichever comes first."""

    tasks: Sequence[Task]


@dataclass(frozen=True)
class Cancel:
    """Cancel the kept timer of that number, if there is one that is still running."""

    index: int


@dataclass(frozen=True)
class Signal:
    key: str


@dataclass(frozen=True)
class Status:
    value: Any


@dataclass(frozen=True)
class MakeId:
    pass


@dataclass(frozen=True)
class Raise:
    text: str


@dataclass(frozen=True)
class StartOver:
    is_yielded: bool


Statement = Yield | Keep | Drain | Cancel | Signal | Status | MakeId | Raise | StartOver


@dataclass
class _Run:
    """One run of a program: the tasks it kept, what it saw, and a number for each call."""

    context: Context
    kept: list[Any] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)
    calls: int = 0

    def task(self, what: Task, used: set[int]) -> Any:
        """Make the SDK's task; a kept task appears once below one yield."""
        context = self.context
        self.calls += 1
        call = self.calls
        match what:
            case Activity():
                return context.call_activity(what.name, {"call": call})
            case Retried():
                options = df.RetryOptions(5000, what.attempts)
                return context.call_activity_with_retry(what.name, options, {"call": call})
            case Timer():
                due = context.current_utc_datetime + timedelta(seconds=what.seconds)
                return context.create_timer(due.replace(microsecond=USER_TIMER_MICROSECOND))
            case Wait():
                return context.wait_for_external_event(what.event)
            case Child(attempts=None):
                return context.call_sub_orchestrator(what.name, {"call": call}, what.instance_id)
            case Child():
                return context.call_sub_orchestrator_with_retry(
                    what.name,
                    df.RetryOptions(7000, what.attempts),
                    {"call": call},
                    what.instance_id,
                )
            case Ask():
                return context.call_entity(df.EntityId("Counter", what.key), "get", call)
            case Kept():
                if what.index >= len(self.kept) or what.index in used:
                    return context.call_activity("Instead", {"call": call})
                used.add(what.index)
                return self.kept[what.index]
            case All():
                return context.task_all([self.task(each, used) for each in what.tasks])
            case Any_():
                return context.task_any([self.task(each, used) for each in what.tasks])


def orchestrator_of(
    program: Sequence[Statement], log: Callable[[str], None] = lambda line: None
) -> Orchestrator:
    """The orchestrator that runs the program and returns what it has seen.

    Args:
        program: Statements, run in order.
        log: Called with a line before each statement, unless the context is replaying.
    """

    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        run = _Run(context)
        for number, statement in enumerate(program):
            if not context.is_replaying:
                log(f"{number} {type(statement).__name__}")
            match statement:
                case Yield():
                    try:
                        result = yield run.task(statement.task, set())
                        run.seen.append(_shown(result))
                    except Exception as error:
                        if not statement.is_caught:
                            raise
                        run.seen.append(f"caught {error}")
                case Keep():
                    run.kept.append(run.task(statement.task, set()))
                case Drain():
                    used: set[int] = set()
                    waiting = [run.task(each, used) for each in statement.tasks]
                    while waiting:
                        winner = yield context.task_any(waiting)
                        run.seen.append([waiting.index(winner), _shown(winner.result)])
                        waiting.remove(winner)
                case Cancel():
                    timers = [task for task in run.kept if hasattr(task, "cancel")]
                    if statement.index < len(timers) and not timers[statement.index].is_completed:
                        timers[statement.index].cancel()
                case Signal():
                    context.signal_entity(df.EntityId("Counter", statement.key), "add", number)
                case Status():
                    context.set_custom_status(statement.value)
                case MakeId():
                    now = context.current_utc_datetime.isoformat()
                    run.seen.append([context.new_uuid(), str(context.new_guid()), now])
                case Raise():
                    raise ValueError(statement.text)
                case StartOver():
                    context.continue_as_new({"seen": len(run.seen)})
                    if statement.is_yielded:
                        yield context.call_activity("Never", None)
                    return None
        return run.seen

    return orchestrator


def _shown(result: Any) -> Any:
    """A result as JSON: tasks by their own result, exceptions by their text."""
    if isinstance(result, BaseException):
        return f"error {result}"
    if isinstance(result, list):
        return [_shown(each) for each in result]
    return {"task": _shown(result.result)} if hasattr(result, "is_completed") else result


def chain(context: Context) -> Generator[Any, Any, Any]:
    """Three activities, each with the result of the one before."""
    value = context.get_input()
    for name in ("First", "Second", "Third"):
        value = yield context.call_activity(name, value)
    return value


def fan_out(context: Context) -> Generator[Any, Any, Any]:
    """As many activities as the input says, then the sum."""
    results = yield context.task_all(
        [context.call_activity("Square", number) for number in range(context.get_input())]
    )
    return sum(results)


def approval(context: Context) -> Generator[Any, Any, Any]:
    """An external event against a timer; the loser is cancelled."""
    deadline = context.create_timer(context.current_utc_datetime + timedelta(hours=72))
    decision = context.wait_for_external_event("Approval")
    winner = yield context.task_any([deadline, decision])
    if winner == deadline:
        return "escalated"
    deadline.cancel()
    return decision.result


def retried(context: Context) -> Generator[Any, Any, Any]:
    """A call that is tried three times; its failure becomes the result."""
    try:
        return (yield context.call_activity_with_retry("Flaky", df.RetryOptions(60_000, 3), "work"))
    except Exception as error:  # noqa: BLE001 - what users do
        return f"gave up: {error}"


def bank(context: Context) -> Generator[Any, Any, Any]:
    """Entity call, signal, child, durable HTTP, custom status, ids."""
    account = df.EntityId("Account", "a1")
    balance = yield context.call_entity(account, "get")
    context.signal_entity(account, "add", -balance)
    context.set_custom_status({"moved": balance})
    report = yield context.call_sub_orchestrator("Report", balance)
    answer = yield context.call_http("GET", "http://bank.example/ok")
    return {"report": report, "status": answer["statusCode"], "id": context.new_uuid()}


def counter(context: Context) -> Generator[Any, Any, Any]:
    """An eternal orchestration: one event a generation."""
    total = context.get_input() or 0
    total += yield context.wait_for_external_event("Add")
    context.continue_as_new(total)


def raising(context: Context) -> Generator[Any, Any, Any]:
    """Fails with the user's own exception after one step."""
    yield context.call_activity("First", None)
    raise KeyError("missing")


def ledger(context: Context) -> Generator[Any, Any, Any]:
    """Two entities asked at once, one of which may refuse; then a signal and one more question."""
    debit, credit = df.EntityId("Account", "a1"), df.EntityId("Account", "a2")
    context.signal_entity(debit, "open", context.instance_id)
    both = [context.call_entity(each, "move", 5) for each in (debit, credit)]
    first = yield context.task_any(both)
    try:
        moved = yield context.task_all(both)
    except Exception as error:  # noqa: BLE001 - what users do
        context.signal_entity(debit, "undo")
        moved = str(error)
    total = yield context.call_entity(debit, "total")
    return {"first": both.index(first), "moved": moved, "total": total}


def fetching(context: Context) -> Generator[Any, Any, Any]:
    """A durable HTTP call that gets no answer, then one that gets one."""
    url = "http://shop.example/orders"
    try:
        answer = yield context.call_http("POST", url, {"n": 1}, {"X-Try": "1"})
    except Exception as error:  # noqa: BLE001 - what users do
        context.set_custom_status(str(error))
        answer = yield context.call_http("POST", url, "raw", is_raw_str=True)
    return answer["statusCode"]


FIXED: dict[str, Orchestrator] = {
    each.__name__: each
    for each in (
        chain,
        fan_out,
        approval,
        retried,
        bank,
        counter,
        raising,
        ledger,
        fetching,
    )
}
"""The orchestrators whose histories are kept in `tests/replay/histories`."""
