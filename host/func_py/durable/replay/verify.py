"""Replay a finished execution once more from its history, to find code that cannot be replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from func_py.durable.model import HistoryEvent, OrchestratorCompleted
from func_py.durable.replay.matching import describe
from func_py.durable.replay.muting import muted
from func_py.durable.replay.session import Session
from func_py.errors import NonDeterminismError


def verify(
    function: Callable[..., Any], instance_id: str, history: Sequence[HistoryEvent]
) -> NonDeterminismError | None:
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
                    place = session.location
                    return NonDeterminismError(index, "no more", describe(more[0]), place)
        except NonDeterminismError as error:
            return error
        finally:
            session.close()
    return None
