"""Describe an exception of user code as data, without the frames of host and SDK."""

from __future__ import annotations

import os
import traceback

import azure.durable_functions

from func_py.durable.model import FailureDetails

_HIDDEN = (
    os.path.dirname(__file__) + os.sep,
    os.path.dirname(azure.durable_functions.__file__) + os.sep,
)
_MAX_CAUSES = 8


def failure_of(error: BaseException) -> FailureDetails:
    """Type name, text and traceback of an exception, and of what it was raised from.

    The message is what the SDK reports: `str(error)`, or the text of its class when that is empty.
    """
    details: FailureDetails | None = None
    chain = [error]
    while (cause := chain[-1].__cause__) and len(chain) < _MAX_CAUSES and cause not in chain:
        chain.append(cause)
    for each in reversed(chain):
        details = FailureDetails(
            type=type(each).__name__,
            message=error_text(each),
            stack=_stack_of(each) if each is error else "",
            inner=details,
        )
    assert details is not None  # the chain holds at least the error itself
    return details


def error_text(error: BaseException) -> str:
    """What the SDK calls `error`; safe against a `__str__` that raises."""
    try:
        return str(error) or str(type(error))
    except Exception as broken:  # noqa: BLE001 - any code of the user's exception class
        return f"{type(error).__name__} (its text cannot be shown: {type(broken).__name__})"


def _stack_of(error: BaseException) -> str:
    report = traceback.TracebackException.from_exception(error)
    todo = [report]
    while todo:
        each = todo.pop()
        each.stack = traceback.StackSummary.from_list(
            [frame for frame in each.stack if not frame.filename.startswith(_HIDDEN)]
        )
        todo.extend(linked for linked in (each.__cause__, each.__context__) if linked is not None)
    return "".join(report.format())
