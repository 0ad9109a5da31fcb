"""Bounds the live executions and entities kept in memory, by bytes and by idle time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice, takewhile

from func_py.clock import Clock, Timer
from func_py.durable.engine.slot import Slot

_CANDIDATES = 16
_RECHECK = timedelta(seconds=5)


class SessionCache:
    """Least recently used first; among the oldest few the one that is cheapest to replay."""

    def __init__(
        self, clock: Clock, limit_bytes: int, idle: timedelta, evict: Callable[[Slot], bool]
    ) -> None:
        """`evict(slot)` drops what the slot holds and answers True, or False when it is in use."""
        self._clock = clock
        self._alarm: Timer | None = None
        self._limit = limit_bytes
        self._idle = idle
        self._evict = evict
        self._slots: OrderedDict[Slot, int] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._slots)

    def used(self, slot: Slot, now: datetime) -> None:
        """A turn of this slot was committed; what it holds is worth keeping for now."""
        size = slot.size
        if size == 0:
            self.dropped(slot)
            return
        self.bytes += size - self._slots.get(slot, 0)
        self._slots[slot] = size
        self._slots.move_to_end(slot)
        slot.last_used = now
        while self.bytes > self._limit and self._evict_one():
            pass
        if self._alarm is None and self._slots:
            self._alarm = self._clock.call_at(now + self._idle, self._evict_idle)

    def dropped(self, slot: Slot) -> None:
        """The slot holds nothing any more."""
        self.bytes -= self._slots.pop(slot, 0)

    def close(self) -> None:
        """Watch the time no longer."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _evict_idle(self) -> None:
        """Drop everything unused for the idle time; come back when the next one has been."""
        self._alarm = None
        now = self._clock.now()
        old = list(takewhile(lambda slot: now - slot.last_used >= self._idle, self._slots))
        for slot in old:
            self._try(slot)
        if self._slots:
            oldest = next(iter(self._slots)).last_used
            # What is in use although it is old is looked at again after a while.
            when = max(oldest + self._idle, now + min(self._idle, _RECHECK))
            self._alarm = self._clock.call_at(when, self._evict_idle)

    def _evict_one(self) -> bool:
        oldest = list(islice(self._slots, _CANDIDATES))
        oldest.sort(key=lambda slot: slot.session.cost if slot.session is not None else 0)
        return any(self._try(slot) for slot in oldest)

    def _try(self, slot: Slot) -> bool:
        if self._evict(slot):
            self.dropped(slot)
            return True
        return False
