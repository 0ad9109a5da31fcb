"""Describe an exception of user code as data, without the frames of host and SDK."""

from __future__ import annotations

import json
import os
import traceback

import azure.durable_functions
import azure.functions._durable_functions

import func_py_bindings
from func_py.durable.model import FailureDetails
from func_py_bindings.explained import explained_text

_HIDDEN = (
    os.path.dirname(__file__) + os.sep,
    os.path.dirname(func_py_bindings.__file__) + os.sep,
    os.path.dirname(azure.durable_functions.__file__) + os.sep,
    # Between the code that hands a value over and its `to_json`.
    azure.functions._durable_functions.__file__,
    os.path.dirname(json.__file__) + os.sep,
)
_MAX_CAUSES = 8


def failure_of(error: BaseException) -> FailureDetails:
    """Type name, text and traceback of an exception, and of what it was raised from.

    The message is what the SDK reports: `str(error)`, or the text of its class when that is empty;
    behind it what is known of a value that could not be encoded or decoded.
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
    """What the SDK calls `error`, explained; safe against a `__str__` that raises."""
    try:
        return explained_text(error) or str(type(error))
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
