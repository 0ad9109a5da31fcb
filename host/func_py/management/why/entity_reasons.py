"""What an entity does, and why it has not done what was asked of it. Decides only."""

from __future__ import annotations

from func_py.management.why.facts import Facts, Reason
from func_py.management.why.reasons import host_reasons
from func_py.management.why.words import listed, since

_MOST_NAMES = 5


def entity_reasons(facts: Facts) -> list[Reason]:
    """What there is to say of an entity; at least one reason."""
    found = host_reasons(facts, "entity", facts.state.name)
    owner = facts.owner
    seen = owner.seen if owner is not None else None
    if owner is None or seen is None:
        return found
    if seen.is_store_away:
        found.append(Reason("store", "the task hub does not answer the host that runs it"))
    if seen.hold is not None:
        text = f"it is left alone until the host is started anew: {seen.hold.text}"
        found.append(Reason("held", text))
    if seen.batch is not None:
        names = listed(list(seen.batch.operations), _MOST_NAMES)
        age = since(seen.batch.since, facts.now)
        are = "operation {} is" if len(seen.batch.operations) == 1 else "operations {} are"
        place = f"\n{seen.batch.place}" if seen.batch.place else ""
        text = f"{are.format(names)} in hand {age} in process {owner.process}{place}"
        found.append(Reason("operation", text))
        if seen.full_entities:
            found.append(
                Reason(
                    "limit",
                    f"{seen.full_entities} entities run there, which is the limit "
                    "(maxConcurrentEntityFunctions): it may be waiting for its place",
                )
            )
    entity = facts.state.entity
    if entity is not None and entity.locked_by is not None:
        text = f"it is locked by '{entity.locked_by}'; what others ask waits until that releases it"
        found.append(Reason("locked", text))
    if seen.queued:
        names = listed(list(seen.queued), _MOST_NAMES)
        found.append(Reason("operation", f"operations that wait for their turn: {names}"))
    if not found:
        found.append(Reason("fine", "nothing is wrong: all that was asked of it has been done"))
    return found
