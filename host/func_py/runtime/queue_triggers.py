"""Wires queue functions: what listens for their messages, and how an admin calls them."""

from __future__ import annotations

import logging
import os
import uuid
from datetime import UTC, datetime, timedelta

from func_py.clock import Clock
from func_py.config.settings import QueueSettings
from func_py.invocation import Failure, Invoker, PreparedFunction, RetryingInvoker
from func_py.invocation.results import no_result
from func_py.storage.queues import Queues
from func_py.triggers.queues import QueueListener, QueueOptions
from func_py.web.admin_calls import Call, CallMaker
from func_py.web.front_end import REASON
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.queue import QueueDelivery, queue_argument, queue_data

logger = logging.getLogger(__name__)

_POISON = "-poison"
_LONGEST_NAME = 63
_DEVELOPMENT_PAUSE = timedelta(seconds=2)
_PAUSE = timedelta(minutes=1)


def queue_options(settings: QueueSettings, *, development: bool) -> QueueOptions:
    """What host.json says, with its defaults."""
    threshold = settings.new_batch_threshold
    if threshold is None:
        threshold = settings.batch_size // 2 * (os.cpu_count() or 1)
    return QueueOptions(
        batch_size=settings.batch_size,
        new_batch_threshold=threshold,
        max_dequeue_count=settings.max_dequeue_count,
        retry_after=settings.visibility_timeout,
        longest_pause=settings.max_polling_interval
        or (_DEVELOPMENT_PAUSE if development else _PAUSE),
    )


def queue_listener(
    spec: FunctionSpec,
    invoker: Invoker,
    retrying: RetryingInvoker,
    queues: Queues,
    options: QueueOptions,
    clock: Clock,
) -> QueueListener:
    """What calls a queue function.

    Raises:
        ConnectionSettingError: Its connection cannot be used.
    """
    connection = str(spec.trigger.get("connection") or "")
    name = str(spec.trigger.get("queueName")).lower()
    function = prepared_queue(spec, invoker)
    reason = f"New queue message detected on '{name}'."

    async def handle(delivery: QueueDelivery) -> bool:
        logger.info(
            "Trigger Details: MessageId: %s, DequeueCount: %d, InsertionTime: %s",
            *(delivery.id, delivery.dequeue_count, delivery.inserted_on.isoformat()),
        )
        outcome = await retrying.call(function, delivery, reason=reason)
        return not isinstance(outcome, Failure)

    name_of_poison = name + _POISON
    has_poison = not name.endswith(_POISON) and len(name_of_poison) <= _LONGEST_NAME
    poison = queues.queue(connection, name_of_poison) if has_poison else None
    return QueueListener(
        f"The trigger of '{spec.name}'",
        queues.queue(connection, name),
        lambda _: poison,
        handle,
        options,
        clock,
    )


def queue_calls(invoker: Invoker) -> CallMaker:
    """Calls of queue functions by an admin: the input is the message."""

    def make(spec: FunctionSpec) -> Call:
        function = prepared_queue(spec, invoker)

        async def call(text: str | None) -> object:
            now = datetime.now(UTC)
            delivery = QueueDelivery(
                id=str(uuid.uuid4()),
                body=(text or "").encode("utf-8"),
                dequeue_count=1,
                inserted_on=now,
                expires_on=now + timedelta(days=7),
                next_visible_on=now,
                pop_receipt="none",
            )
            return await invoker.call(function, delivery, reason=REASON)

        return call

    return make


def prepared_queue(spec: FunctionSpec, invoker: Invoker) -> PreparedFunction[QueueDelivery, None]:
    """A queue function ready to be called with a message."""
    return invoker.prepare(spec, queue_argument(spec), no_result(spec), queue_data)
