"""The state of an entity in the form of the official scheduler."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from func_py.durable.model import EntityRequest, EntityState, LockTarget
from func_py.durable.storage.azure.scheduler_state import decode_entity, encode_entity

NOON = datetime(2026, 6, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "entity",
    [
        EntityState(),
        EntityState(exists=True, state='"é"', recent=("a", "b")),
        EntityState(
            locked_by="p",
            queue=(
                EntityRequest(id="1", operation="add", input="5", is_signal=True),
                EntityRequest(
                    id="2", parent="q", lock_set=(LockTarget("counter", "k"),), position=1
                ),
            ),
        ),
    ],
)
def test_a_state_is_read_back_as_it_was(entity: EntityState) -> None:
    assert decode_entity(encode_entity(entity, NOON)[0]) == entity


def test_a_state_has_the_members_that_the_official_scheduler_reads() -> None:
    request = EntityRequest(id="1", operation="add")
    entity = EntityState(exists=True, state="4", locked_by="p", queue=(request,))
    text, status = encode_entity(entity, NOON)
    assert json.loads(text) == {
        "exists": True,
        "state": "4",
        "sorter": {"ReceiveHorizon": "2026-06-24T12:00:00Z"},
        "queue": [{"id": "1", "op": "add"}],
        "lockedBy": "p",
    }
    assert json.loads(status) == {"entityExists": True, "queueSize": 1, "lockedBy": "p"}


def test_what_dotnet_held_back_because_it_came_early_is_queued() -> None:
    def request(name: str) -> dict[str, object]:
        labels = {"Timestamp": "2026-06-24T11:59:59Z", "Predecessor": "2026-06-24T11:59:58Z"}
        return {"op": "add", "id": name, "IsLockRequest": False, "createTrace": False, **labels}

    buffered = {"2026-06-24T12:00:02Z": request("late"), "2026-06-24T12:00:01Z": request("early")}
    received = {"sender": {"Last": "0001-01-01T00:00:00", "Buffered": buffered}, "idle": {}}
    state = {"queue": [request("first")], "sorter": {"ReceivedFromInstance": received}}
    queue = decode_entity(json.dumps(state)).queue
    assert [each.id for each in queue] == ["first", "early", "late"]


@pytest.mark.parametrize("text", [None, "", "nonsense", "[]", "null"])
def test_what_is_no_state_is_that_of_an_entity_that_does_not_exist(text: str | None) -> None:
    assert decode_entity(text) == EntityState()
