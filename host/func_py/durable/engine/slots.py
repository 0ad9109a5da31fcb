"""The instances of a partition that are in memory, and how mail gets into their inboxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from func_py.durable.engine.sessions import SessionCache
from func_py.durable.engine.slot import Item, Slot
from func_py.durable.model import ExecutionStarted, ExecutionTerminated, pending_state
from func_py.durable.storage.base import Mail


class Slots:
    """Slots by instance id; each is there as long as there is something to know or to do."""

    def __init__(self, sessions: SessionCache, discard: Callable[[Sequence[Item]], None]) -> None:
        """`discard` deletes from the store what can never be delivered."""
        self._sessions = sessions
        self._discard = discard
        self._slots: dict[str, Slot] = {}

    def get(self, instance_id: str) -> Slot | None:
        """What is held of an instance."""
        return self._slots.get(instance_id)

    def all(self) -> list[Slot]:
        """All that are held now."""
        return list(self._slots.values())

    def holds(self, slot: Slot) -> bool:
        """Is it this one that stands for its instance?"""
        return self._slots.get(slot.instance_id) is slot

    def drop(self, slot: Slot) -> None:
        """Hold it no more."""
        if self.holds(slot):
            del self._slots[slot.instance_id]

    def put(self, instance_id: str, item: Item) -> Slot:
        """Add an item that comes from this host; the slot that has it now."""
        slot = self._slots.get(instance_id)
        if slot is None:
            slot = self._slots[instance_id] = Slot(instance_id)
        slot.inbox.append(item)
        return slot

    def receive(self, mail: Mail) -> Slot | None:
        """Put a message into its instance's inbox; None for a second delivery, which is dropped."""
        message = mail.message
        event = message.event
        slot = self._slots.get(message.instance_id)
        if slot is not None and message.id in slot.seen:
            if not slot.busy and all(item.message_id != message.id for item in slot.inbox):
                # It is in history already, and stored once more.
                self._discard([Item(event, message.execution_id, message_id=message.id)])
            return None
        if slot is None:
            slot = self._slots[message.instance_id] = Slot(message.instance_id)
            if mail.token is not None and isinstance(event, ExecutionStarted):
                slot.state = pending_state(message.instance_id, event)
                slot.token = mail.token
        elif isinstance(event, ExecutionStarted) and (
            slot.state is None or slot.state.execution_id != event.execution_id
        ):
            # Either it replaced what we hold, or it is an old start that came again: the store
            # knows. Also a load that is under way may have read what was there before.
            self._sessions.dropped(slot)
            slot.forget()
            slot.parked = False
            slot.failures = 0
        if isinstance(event, ExecutionTerminated):
            slot.parked = False  # it asks for little: no history, no code
        slot.seen.add(message.id)
        item = Item(event, message.execution_id, message_id=message.id, withheld=mail.withheld)
        slot.inbox.append(item)
        return slot
