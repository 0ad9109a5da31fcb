"""Replay a finished execution once more from its history, to find code that cannot be replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from func_py.durable.model import FailureDetails, HistoryEvent, OrchestratorCompleted
from func_py.durable.replay.decisions import Fail
from func_py.durable.replay.matching import describe
from func_py.durable.replay.muting import muted
from func_py.durable.replay.session import Session
from func_py.errors import DurableError, NonDeterminismError


class RaisedInReplay(DurableError):
    """The code raised in a replay where it had not raised when it ran.

    `index` is the event of history at whose turn it did; `failure` is what it raised. The exception
    says more than its consequence, that the code went another way: a `from_json` may have failed.
    """

    def __init__(self, index: int, failure: FailureDetails) -> None:
        self.index = index
        self.failure = failure
        super().__init__(
            f"In the turn that history event {index} ends it raised {failure.type}: "
            f"{failure.message}\n{failure.stack}"
        )


def verify(
    function: Callable[..., Any], instance_id: str, history: Sequence[HistoryEvent]
) -> NonDeterminismError | RaisedInReplay | None:
    """Replay the whole history; what the code asks for must be exactly what history records.

    Stricter than a recovery, for which further work is legal: here each turn must ask for what it
    recorded and the code must end as it did. `is_muted` holds meanwhile, so that the log drops what
    user code says. Code that reads its own history is not verified: it is replayed each turn
    anyway.

    Args:
        function: As for `Session`.
        instance_id: The instance.
        history: All events of one execution, in order, ending with a completed turn.

    Returns:
        The first difference, or None.
    """
    session = Session(function, instance_id)
    with muted():
        try:
            for index, event in enumerate(history):
                session.feed((event,), played=True)
                if not session.sticky:
                    return None
                if isinstance(event, OrchestratorCompleted) and (more := session.take_decisions()):
                    if isinstance(more[-1], Fail):
                        return RaisedInReplay(index, more[-1].failure)
                    place = session.location
                    return NonDeterminismError(index, "no more", describe(more[0]), place)
        except NonDeterminismError as error:
            return error
        finally:
            session.close()
    return None
