"""Queue outputs: what functions set becomes messages."""

from __future__ import annotations

from collections.abc import Callable

from func_py.clock import Clock
from func_py.storage.naming import Naming
from func_py.storage.queues import Queues
from func_py_bindings.contract import BindingSpec, FunctionSpec, Invocation, Send
from func_py_bindings.queue import message_bodies, queue_name_problem


class QueueWriter:
    """Writes outputs of type `queue`."""

    def __init__(self, queues: Queues, clock: Clock) -> None:
        self._queues = queues
        self._clock = clock

    def writer(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation, object], Send]:
        """See `OutputWriter.writer`."""
        naming = Naming(function, binding, "queueName", self._clock)
        connection = str(binding.get("connection") or "")

        def write(invocation: Invocation, value: object) -> Send:
            bodies = message_bodies(value)
            name = naming.name(invocation).lower()
            if problem := queue_name_problem(name):
                raise ValueError(f"binding '{binding.name}': {problem}")
            queue = self._queues.queue(connection, name)

            async def send() -> None:
                for body in bodies:
                    await queue.send(body)

            return send

        return write
