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
from func_py.management.why.waits import answered, awaited_reasons, stored_reasons
from func_py.management.why.words import clock_time, host_words, since


def reasons(facts: Facts) -> list[Reason]:
    """Why an orchestration has not ended, the most telling first; at least one."""
    state = facts.state
    if state.status.is_terminal:
        return [_end(state)]
    owner = facts.owner
    seen = owner.seen if owner is not None else None
    found = host_reasons(facts, "orchestrator", state.name)
    if owner is not None and seen is not None:
        is_nowhere = any(reason.kind == "function" for reason in found)
        found += _obstacles(owner, seen, is_nowhere=is_nowhere)
    elif facts.replayed is not None:
        seen = facts.replayed
        found += [_held(seen.hold)] if seen.hold is not None else []
    if state.status is RuntimeStatus.SUSPENDED:
        found.append(_suspended(facts.events))
    if state.status is RuntimeStatus.PENDING:
        if not found:
            age = since(state.created_at, facts.now)
            found.append(Reason("turn", f"it was started and waits for its first turn {age}"))
    elif seen is not None and seen.waits:
        found += awaited_reasons(facts, seen)
    else:
        stored = stored_reasons(facts)
        if not stored and (seen is None or not found):
            stored = [answered(facts.events)]
        found += stored
    # First what somebody can do something about, last what passes by itself.
    found.sort(key=lambda reason: (not reason.is_wrong, reason.kind == "turn"))
    if owner is not None and not any(reason.is_wrong for reason in found):
        found.append(Reason("fine", "nothing is wrong: it goes on by itself when that has come"))
    return found


def host_reasons(facts: Facts, kind: str, name: str) -> list[Reason]:
    """What is the matter with the hosts of the hub, as far as it concerns an instance."""
    owner = facts.whereabouts.owner
    if not facts.hosts.are_running:
        text = "no host runs on this task hub: `func-py start` goes on with it"
        return [Reason("host", text), *([_owner(facts)] if owner else [])]
    # Those that have nothing of it are no reason.
    concerned = {owner, *facts.whereabouts.activities.values()}
    silent = [a for a in facts.answers if a.seen is None and not a.is_gone]
    found = [_blocked(answer) for answer in silent if answer.host_id in concerned]
    if missing := facts.hosts.missing(kind, name):
        found.append(Reason("function", str(missing)))
    if facts.owner is None and owner not in {answer.host_id for answer in silent}:
        found.append(_owner(facts))
    return found


def _owner(facts: Facts) -> Reason:
    """What is known of a host that cannot be asked."""
    owner, until = facts.whereabouts.owner, facts.whereabouts.owner_until
    if not owner:
        return Reason("turn", "no host owns it now: one of those that run takes it within seconds")
    wait = f"others take it over at {clock_time(until)}" if until else "others take it over soon"
    answers = [answer for answer in facts.answers if answer.host_id == owner]
    if answers and answers[0].is_gone:
        text = f"the host that ran it (process {answers[0].process}) has died: {wait}"
        return Reason("lease", text)
    if answers:
        return Reason("turn", "it has just come to another host")
    return Reason(
        "elsewhere",
        f"it is run by {host_words(owner)}; this is what is stored. `func-py why` there, or "
        f"/runtime/webhooks/durabletask/instances/{facts.state.instance_id}/why of its API, knows "
        f"more. Should that host be dead, {wait}",
    )


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
    if blocked.orchestrator:
        who = f"orchestrator '{blocked.orchestrator}' (instance '{blocked.instance_id}') blocks"
        advice = "What waits or computes belongs into an activity that is a plain `def`"
    elif blocked.function:
        who = f"code in '{blocked.function}' blocks"
        advice = "As a plain `def` it would run in a thread; in an `async def`, await what waits"
    else:
        who, advice = "something blocks", "It may be no more than a machine with too much to do"
    text = (
        f"{process} has done nothing else for {blocked.seconds:.0f} s or longer: {who} its event "
        f"loop. {advice}"
    )
    return Reason("blocked", "\n".join([text, *blocked.stack]))


def _obstacles(owner: HostAnswer, seen: LiveInstance, *, is_nowhere: bool) -> list[Reason]:
    """What keeps the owner from giving it a turn. `is_nowhere`: no host has the function."""
    found = []
    if seen.is_store_away:
        found.append(Reason("store", "the task hub does not answer the host that runs it"))
    if seen.hold is not None and not (is_nowhere and seen.hold.kind == "missing"):
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
