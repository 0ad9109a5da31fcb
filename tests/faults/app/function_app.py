"""The app that the fault tests kill. Each activity call leaves a line in the file FAULTS_RAN."""

# The SDK is typed only in part.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from func_py.durable import faults

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

Steps = Generator[Any, Any, Any]


@app.route(route="arm/{target}", methods=["POST"])
async def arm(req: func.HttpRequest) -> func.HttpResponse:
    """This process dies at that crash point; the one that replaces it knows nothing of it."""
    faults.arm(req.route_params["target"])
    return func.HttpResponse(status_code=204)


@app.orchestration_trigger(context_name="context")
def journey(context: df.DurableOrchestrationContext) -> Steps:
    """Every kind of step; asks for the same ones however often processes die on the way."""
    me = context.instance_id
    seen = [(yield context.call_activity("work", [me, "first"]))]
    parts = [context.call_activity("work", [me, f"part {number}"]) for number in range(3)]
    seen += yield context.task_all(parts)
    try:
        retry = df.RetryOptions(first_retry_interval_in_milliseconds=1, max_number_of_attempts=2)
        yield context.call_activity_with_retry("stumble", retry, [me, "stumble"])
    except Exception:  # noqa: BLE001 - it is what the SDK raises
        seen.append("gave up")
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=10))
    context.set_custom_status("waits for approval")
    deadline = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    approval = context.wait_for_external_event("Approval")
    yield context.task_any([approval, deadline])
    deadline.cancel()
    seen.append(approval.result)
    seen.append((yield context.call_activity("work", [me, "last"])))
    return seen


@app.orchestration_trigger(context_name="context")
def family(context: df.DurableOrchestrationContext) -> Steps:
    """Children with ids of their own, at once, then one whose id is made up."""
    me = context.instance_id
    named = [context.call_sub_orchestrator("child", None, f"{me}-{number}") for number in range(2)]
    grown = yield context.task_all(named)
    grown.append((yield context.call_sub_orchestrator("child")))
    return grown


@app.orchestration_trigger(context_name="context")
def child(context: df.DurableOrchestrationContext) -> Steps:
    """One step."""
    return (yield context.call_activity("work", [context.instance_id, "grow"]))


@app.orchestration_trigger(context_name="context")
def generations(context: df.DurableOrchestrationContext) -> Steps:
    """Takes one item a generation until the last one; leaves an activity and a timer behind.

    It begins late, so that items are there before it waits for them and are carried over.
    """
    taken = context.get_input() or []
    if not taken:
        yield context.call_activity("linger", [context.instance_id, "begin"])
    item = context.wait_for_external_event("Item")
    lingering = context.call_activity("linger", [context.instance_id, f"generation {len(taken)}"])
    distant = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    yield context.task_any([item, lingering, distant])
    taken.append((yield item))
    if taken[-1].startswith("end"):
        return taken
    context.continue_as_new(taken)


@app.orchestration_trigger(context_name="context")
def collector(context: df.DurableOrchestrationContext) -> Steps:
    """Takes items until the last one."""
    taken: list[str] = []
    while not taken or not taken[-1].startswith("end"):
        taken.append((yield context.wait_for_external_event("Item")))
    return taken


@app.orchestration_trigger(context_name="context")
def spinner(context: df.DurableOrchestrationContext) -> None:
    """Starts over for ever."""
    context.continue_as_new((context.get_input() or 0) + 1)


@app.orchestration_trigger(context_name="context")
def lingerer(context: df.DurableOrchestrationContext) -> Steps:
    """Activities that take a while; then it waits for ever."""
    me = context.instance_id
    yield context.task_all([context.call_activity("linger", [me, f"{n}"]) for n in range(3)])
    yield context.wait_for_external_event("Never")


@app.orchestration_trigger(context_name="context")
def sleeper(context: df.DurableOrchestrationContext) -> Steps:
    """An hour's sleep."""
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    return "rested"


@app.orchestration_trigger(context_name="context")
def echo(context: df.DurableOrchestrationContext) -> Steps:
    """Gives its input, after a step."""
    yield context.call_activity("work", [context.instance_id, "echo"])
    return context.get_input()


@app.orchestration_trigger(context_name="context")
def household(context: df.DurableOrchestrationContext) -> Steps:
    """Children that wait for ever, one of them with a child of its own."""
    me = context.instance_id
    generation = context.get_input()
    names = ["household", "waiter"] if generation else ["waiter"]
    yield context.task_all(
        [
            context.call_sub_orchestrator(name, generation - 1, f"{me}-{number}")
            for number, name in enumerate(names)
        ]
    )


@app.orchestration_trigger(context_name="context")
def waiter(context: df.DurableOrchestrationContext) -> Steps:
    """Waits for ever."""
    yield context.wait_for_external_event("Never")


@app.orchestration_trigger(context_name="context")
def patron(context: df.DurableOrchestrationContext) -> Steps:
    """A step, then a child that may fail."""
    me = context.instance_id
    before = yield context.call_activity("work", [me, "before"])
    return [before, (yield context.call_sub_orchestrator("protege", None, f"{me}-child"))]


@app.orchestration_trigger(context_name="context")
def protege(context: df.DurableOrchestrationContext) -> Steps:
    """A step, then one that fails until it is mended."""
    me = context.instance_id
    before = yield context.call_activity("work", [me, "before"])
    return [before, (yield context.call_activity("mendable", [me, "mendable"]))]


@app.orchestration_trigger(context_name="context")
def stuck(context: df.DurableOrchestrationContext) -> Steps:
    """Hangs until somebody loses patience; when it is mended, it does not."""
    yield context.create_timer(context.current_utc_datetime)
    if not _is_mended():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        while True:
            pass
    return "free"


@app.orchestration_trigger(context_name="context")
def crowd(context: df.DurableOrchestrationContext) -> Steps:
    """As many calls as the input says, at once; how many different results they gave."""
    calls = [
        context.call_activity("work", [context.instance_id, f"{number}"])
        for number in range(context.get_input())
    ]
    return len(set((yield context.task_all(calls))))


@app.orchestration_trigger(context_name="context")
def company(context: df.DurableOrchestrationContext) -> Steps:
    """Calls an activity that kills its process, beside others that do no harm."""
    me = context.instance_id
    harmless = [context.call_activity("work", [me, f"part {number}"]) for number in range(3)]
    poison = context.call_activity("kill_process", context.get_input())
    yield context.task_all(harmless)
    try:
        yield poison
    except Exception as error:  # noqa: BLE001 - it is what the SDK raises
        return str(error)


@app.orchestration_trigger(context_name="context")
def lethal(context: df.DurableOrchestrationContext) -> Steps:
    """Kills its process, in its first turn or after an activity."""
    if context.get_input() == "later":
        yield context.call_activity("work", [context.instance_id, "first"])
    os.kill(os.getpid(), signal.SIGKILL)


@app.orchestration_trigger(context_name="context")
def errand(context: df.DurableOrchestrationContext) -> Steps:
    """Signals and calls an entity in turn; returns what the entity has in the end."""
    book = df.EntityId("Ledger", "book")
    me = context.instance_id
    for number in range(3):
        context.signal_entity(book, "enter", [me, number])
    yield context.call_entity(book, "enter", [me, 3])
    context.signal_entity(book, "enter", [me, 4])
    return (yield context.call_entity(book, "read"))


@app.orchestration_trigger(context_name="context")
def assassin(context: df.DurableOrchestrationContext) -> Steps:
    """Calls an operation that kills its process, among others that do no harm."""
    book = df.EntityId("Ledger", "book")
    me = context.instance_id
    context.signal_entity(book, "enter", [me, 0])
    try:
        yield context.call_entity(book, "kill")
    except Exception as error:  # noqa: BLE001 - it is what the SDK raises
        context.signal_entity(book, "enter", [me, 1])
        yield context.call_entity(book, "read")
        return str(error)


@app.entity_trigger(context_name="context", entity_name="Ledger")
def ledger(context: df.DurableEntityContext) -> None:
    """Keeps what is entered, in order."""
    entries = context.get_state(list)
    if context.operation_name == "enter":
        context.set_state([*entries, context.get_input()])
    elif context.operation_name == "read":
        context.set_result(entries)
    elif context.operation_name == "close":
        context.destruct_on_exit()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


@app.activity_trigger(input_name="call")
def work(call: list[str]) -> str:
    """Gives something that no other call gives."""
    return _noted(call)


@app.activity_trigger(input_name="call")
async def linger(call: list[str]) -> str:
    """Takes a moment."""
    token = _noted(call)
    await asyncio.sleep(0.01)
    return token


@app.activity_trigger(input_name="call")
def mendable(call: list[str]) -> str:
    """Fails until it is mended."""
    token = _noted(call)
    if not _is_mended():
        raise ValueError("not mended yet")
    return token


@app.activity_trigger(input_name="call")
async def stumble(call: list[str]) -> None:
    """Always fails."""
    _noted(call)
    raise ValueError("stumbled")


@app.activity_trigger(input_name="how")
def kill_process(how: str) -> None:
    """Ends the process, as native code or an impatient kernel would."""
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_mended() -> bool:
    """Is there a file `mended` beside the notes?"""
    return Path(os.environ["FAULTS_RAN"]).with_name("mended").exists()


def _noted(call: list[str]) -> str:
    instance_id, step = call
    token = uuid.uuid4().hex
    with open(os.environ["FAULTS_RAN"], "a") as file:
        file.write(f"{instance_id}\t{step}\t{token}\n")
    return token
