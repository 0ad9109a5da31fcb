"""A task hub whose store goes away, comes back, or forgets to answer, as a test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import msgspec

from func_py.durable.model import ExecutionStarted, LongTimers
from func_py.durable.storage.base import Mail, TaskHub
from func_py.errors import StorageUnavailable

_ALWAYS_THERE = frozenset({"open", "close", "die"})


class TroubledHub:
    """Hands every verb on to the hub inside, unless told otherwise."""

    def __init__(self, hub: TaskHub) -> None:
        self.inside = hub
        self.is_away = False
        self.refusals: Counter[str] = Counter()
        """Verb to how many of its next calls are refused; counted down."""
        self.unanswered: set[int] = set()
        """Numbers of the commits, from 1, that are carried out and not answered."""
        self.before_commit: Callable[[], None] | None = None
        """Called once, before the next commit reaches the store."""
        self.after_load: Callable[[], Awaitable[None]] | None = None
        """Awaited once, when the next load has read and not answered yet."""
        self.refused: Counter[str] = Counter()
        """How many calls of each verb were refused."""
        self.commits = 0
        self.starts_again = False
        """Each batch of mail is followed by every start message delivered so far."""
        self._starts: list[Mail] = []

    async def receive(self) -> Sequence[Mail]:
        """See `TaskHub.receive`."""
        mail = await self.inside.receive()
        self._starts += [m for m in mail if isinstance(m.message.event, ExecutionStarted)]
        if not self.starts_again:
            return mail
        return [*mail, *(msgspec.structs.replace(m, token=None) for m in self._starts)]

    @property
    def long_timers(self) -> LongTimers | None:
        """See `TaskHub.long_timers`."""
        cut: LongTimers | None = self.inside.long_timers
        return cut

    @property
    def is_overdue(self) -> bool:
        """See `TaskHub.is_overdue`."""
        overdue: bool = self.inside.is_overdue
        return overdue

    def __getattr__(self, verb: str) -> Any:
        carry_out: Callable[..., Awaitable[Any]] = getattr(self.inside, verb)
        if verb in _ALWAYS_THERE:
            return carry_out

        async def call(*args: Any, **more: Any) -> Any:
            if self.is_away or self.refusals[verb] > 0:
                self.refusals[verb] -= 1
                self.refused[verb] += 1
                raise StorageUnavailable("the store went for a walk")
            if verb == "load":
                loaded = await carry_out(*args, **more)
                if (pause := self.after_load) is not None:
                    self.after_load = None
                    await pause()
                return loaded
            if verb != "commit":
                return await carry_out(*args, **more)
            self.commits += 1
            number, hook, self.before_commit = self.commits, self.before_commit, None
            if hook is not None:
                hook()
            answer = await carry_out(*args, **more)
            if number in self.unanswered:
                raise StorageUnavailable("the answer got lost")
            return answer

        return call


def troubled(hub: TaskHub) -> tuple[TaskHub, TroubledHub]:
    """The hub to be used, and the handle on it to cause trouble with."""
    trouble = TroubledHub(hub)
    return cast("TaskHub", trouble), trouble
