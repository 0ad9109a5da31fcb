"""The state of an entity, in the form that the official scheduler keeps it in.

It is the input of the entity's execution, in its history and in its row.
"""

from __future__ import annotations

import json

from func_py.durable.model import EntityState

_RECENT = "funcPyRecent"
"""A member of our own: ids of the messages that the last turns took."""


def encode_entity(entity: EntityState) -> tuple[str, str]:
    """The input and the custom status that show the entity's state."""
    state: dict[str, object] = {"exists": entity.exists, "state": entity.state, "sorter": {}}
    if entity.recent:
        state[_RECENT] = list(entity.recent)
    status = {"entityExists": True} if entity.exists else {}
    return json.dumps(state, ensure_ascii=False), json.dumps(status)


def decode_entity(text: str | None) -> EntityState:
    """Read back an entity's state; one that cannot be read does not exist."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return EntityState()
    if not isinstance(found, dict):
        return EntityState()
    state = found.get("state")
    return EntityState(
        exists=bool(found.get("exists", state is not None)),
        state=state,
        recent=tuple(found.get(_RECENT) or ()),
    )
