"""Values of durable entities: what is asked of them, what they are, what became of a batch.

An entity is an instance named `@name@key` with an inbox and a state, and without a history. One
turn runs a batch of operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from func_py.durable.model.events import FailureDetails, TraceContext

REQUEST_EVENT = "op"
"""Name of the EventSent and EventRaised that carry an `EntityRequest`."""

RELEASE_EVENT = "release"
"""Name of the EventRaised that carries a `LockRelease`."""

CONTINUE_EVENT = "continue"
"""Name of the EventRaised that has an entity go on with its queue; it carries nothing."""


class RequestTrace(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"trace_parent": "TraceParent", "trace_state": "TraceState"},
):
    """W3C trace context of whoever asked, as DurableTask writes it into a request."""

    trace_parent: str = ""
    trace_state: str | None = None


class LockTarget(msgspec.Struct, frozen=True):
    """An entity that is to be locked."""

    name: str
    key: str

    @property
    def instance_id(self) -> str:
        """The entity's."""
        return f"@{self.name}@{self.key}"


class EntityRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "operation": "op",
        "is_signal": "signal",
        "parent_execution": "parentExecution",
        "trace": "parentTraceContext",
        "lock_set": "lockset",
        "position": "pos",
    },
):
    """One operation asked of an entity, or its lock.

    It travels as JSON text, the `input` of an event named REQUEST_EVENT: in the sender's history an
    EventSent, on its way an EventRaised. `input` is JSON text, mostly of a string that holds JSON
    again. A call (no signal) is answered to `parent` with an EventRaised named `id`.

    A request with a `lock_set` asks for the locks of several entities, in order: each that is free
    locks itself for `parent` and sends the request on to the one at the next `position`; the last
    one answers. The SDK for Python has no locks, orchestrations of other hosts have.

    Source: the request message of DurableTask, of which this is the part without due times and
    without the times by which that sorts.
    """

    id: str = ""
    operation: str | None = None
    is_signal: bool = False
    input: str | None = None
    parent: str | None = None
    parent_execution: str | None = None
    trace: RequestTrace | None = None
    lock_set: tuple[LockTarget, ...] | None = ()
    position: int = 0

    @property
    def is_answered(self) -> bool:
        """Somebody waits for the result."""
        return not self.is_signal and self.parent is not None

    @property
    def is_lock(self) -> bool:
        """It asks for a lock, not for an operation."""
        return bool(self.lock_set)


class LockRelease(msgspec.Struct, frozen=True, kw_only=True):
    """Ends the lock that an orchestration holds: the `input` of an event named RELEASE_EVENT."""

    parent: str
    id: str = ""


class EntityState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an entity's record holds beside that of every instance.

    `state` is JSON text, None when the entity does not exist. `recent` are the ids of the messages
    that the last turns took, oldest first: on providers that may deliver twice a message whose id
    is here was delivered already. `locked_by` is the orchestration whose requests alone are served
    now. `queue` are requests that another kind of host had taken and not served; of ours, those
    that must wait stay messages.
    """

    exists: bool = False
    state: str | None = None
    recent: tuple[str, ...] = ()
    locked_by: str | None = None
    queue: tuple[EntityRequest, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing would be lost with it but ids of messages."""
        return not self.exists and self.locked_by is None and not self.queue


class EntityBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Operations to be run on one entity, in order, and the state they find."""

    name: str
    key: str
    exists: bool
    state: str | None
    operations: Sequence[EntityRequest]
    trace: TraceContext | None = None


class OperationResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one operation ended: `result` is JSON text; with `failure` the operation failed."""

    result: str | None = None
    failure: FailureDetails | None = None


class EntityResult(msgspec.Struct, frozen=True, kw_only=True):
    """The entity after a batch, and one result for each of its operations."""

    exists: bool
    state: str | None
    results: Sequence[OperationResult]


def request_trace(trace: TraceContext | None) -> RequestTrace | None:
    """The trace context in the form that travels with a request."""
    if trace is None:
        return None
    return RequestTrace(trace_parent=trace.trace_parent, trace_state=trace.trace_state or None)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(EntityRequest)
_release_decoder = msgspec.json.Decoder(LockRelease)


def encode_request(request: EntityRequest) -> str:
    """The JSON text that travels."""
    return _encode(request).decode()


def decode_request(text: str | None) -> EntityRequest | None:
    """Read back what `encode_request`, or another host, wrote; None for anything else."""
    try:
        return _decoder.decode(text or "")
    except (msgspec.DecodeError, UnicodeError):
        return None


def encode_release(release: LockRelease) -> str:
    """The JSON text that travels."""
    return _encode(release).decode()


def decode_release(text: str | None) -> LockRelease | None:
    """Read back a release; None for anything else."""
    try:
        return _release_decoder.decode(text or "")
    except (msgspec.DecodeError, UnicodeError):
        return None
