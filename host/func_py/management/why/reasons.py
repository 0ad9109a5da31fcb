"""Why an orchestration has not ended. Decides only: reads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from func_py.durable.engine.live import Hold, LiveInstance
from func_py.durable.model import (
    ExecutionSuspended,
    HistoryEvent,
    InstanceState,
    RuntimeStatus,
)
from func_py.management.why.facts import Facts, Reason
from func_py.management.why.side_channel import HostAnswer
from func_py.management.why.waits import awaited_reasons, stored_reasons
from func_py.management.why.words import clock_time, since


def reasons(facts: Facts) -> list[Reason]:
    """Why an orchestration has not ended, the most telling first; at least one."""
    state = facts.state
    if state.status.is_terminal:
        return [_end(state)]
    owner = facts.owner
    seen = owner.seen if owner is not None else None
    found = host_reasons(facts, "orchestrator", state.name)
    if owner is not None and seen is not None:
        found += _obstacles(owner, seen)
    if state.status is RuntimeStatus.SUSPENDED:
        found.append(_suspended(facts.events))
    if state.status is RuntimeStatus.PENDING:
        if not found:
            age = since(state.created_at, facts.now)
            found.append(Reason("turn", f"it was started and waits for its first turn {age}"))
    elif seen is not None and seen.waits:
        found += awaited_reasons(facts, seen)
    else:
        found += stored_reasons(facts)
    # First what somebody can do something about, last what passes by itself.
    found.sort(key=lambda reason: (not reason.is_wrong, reason.kind == "turn"))
    if not any(reason.is_wrong for reason in found):
        found.append(Reason("fine", "nothing is wrong: it goes on by itself when that has come"))
    return found


def host_reasons(facts: Facts, kind: str, name: str) -> list[Reason]:
    """What is the matter with the hosts of the hub, as far as it concerns an instance."""
    if not facts.hosts.are_running:
        return [
            Reason("host", "no host runs on this task hub: `func-py start` goes on with it"),
        ]
    found = [_blocked(each) for each in facts.answers if each.seen is None]
    if missing := facts.hosts.missing(kind, name):
        found.append(Reason("function", str(missing)))
    if facts.owner is None and not found:
        found.append(
            Reason(
                "elsewhere",
                "the host that runs it cannot be asked from here; this is what is stored. Where "
                "that host is, `func-py why`, or /runtime/webhooks/durabletask/instances/"
                f"{facts.state.instance_id}/why of its API, knows more",
            )
        )
    return found


def _end(state: InstanceState) -> Reason:
    at = f" at {clock_time(state.completed_at)}" if state.completed_at else ""
    detail = f": {state.output}" if state.status is not RuntimeStatus.COMPLETED else ""
    return Reason("ended", f"it has ended{at}, {state.status}{detail}")


def _blocked(answer: HostAnswer) -> Reason:
    process = f"the host (process {answer.process})"
    blocked = answer.blocked
    if blocked is None:
        return Reason(
            "blocked",
            f"{process} does not answer: it is stopped, or code written in C holds its interpreter",
        )
    who = "code of a function that is not an orchestrator"
    if blocked.orchestrator:
        who = f"orchestrator '{blocked.orchestrator}' (instance '{blocked.instance_id}')"
    text = (
        f"{process} has done nothing else for {blocked.seconds:.0f} s or longer: {who} blocks its "
        "event loop. What waits or computes belongs into an activity that is a plain `def`"
    )
    return Reason("blocked", "\n".join([text, *blocked.stack]))


def _obstacles(owner: HostAnswer, seen: LiveInstance) -> list[Reason]:
    """What keeps the owner from giving it a turn."""
    found = []
    if seen.is_store_away:
        found.append(Reason("store", "the task hub does not answer the host that runs it"))
    if seen.hold is not None:
        found.append(_held(seen.hold))
    elif seen.is_recovering:
        found.append(
            Reason("turn", "its host has just taken it over and still reads what is stored")
        )
    elif seen.full_orchestrators:
        found.append(
            Reason(
                "limit",
                f"{seen.full_orchestrators} orchestrations are at a turn in process "
                f"{owner.process}, which is the limit (maxConcurrentOrchestratorFunctions): it "
                "waits for its turn",
            )
        )
    elif seen.pending:
        found.append(Reason("turn", f"{seen.pending} message(s) wait for its next turn"))
    elif seen.is_busy:
        found.append(Reason("turn", "a turn of it is under way"))
    return found


def _held(hold: Hold) -> Reason:
    match hold.kind, hold.fails:
        case "replay", True:
            text = "its history cannot be replayed, and its next turn fails it"
        case "replay", False:
            text = "it does not fit the code and is held until code that fits is saved"
        case "version", True:
            text = "its next turn fails it"
        case "version", False:
            text = "it waits for a host of its version"
        case "missing", _:
            text = "it waits until a host owns it that has the function"
        case _:
            text = "it is left alone until the host is started anew"
    return Reason("held", f"{text}: {hold.text}")


def _suspended(events: Sequence[HistoryEvent]) -> Reason:
    reasons = [e.reason for e in events if isinstance(e, ExecutionSuspended) and e.reason]
    why = f" ({reasons[-1]})" if reasons else ""
    return Reason("suspended", f"it is suspended{why}: `func-py durable resume` lets it go on")
