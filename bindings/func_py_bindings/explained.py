"""Say on an exception which value, handed over by whom and for what, could not become JSON.

The exception stays what it is, class and text, because user code may expect it; the explanation is
a note. It shows in each traceback, and `explained_text` puts it into the text of a failure.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from func_py_bindings.json_faults import read_fault, write_fault


class Explanation(str):
    """A note that belongs to the text of a failure; notes of others do not."""

    __slots__ = ()


def explain_write(error: BaseException, value: object, what: str, *, plain: bool = False) -> None:
    """Note what in a value could not be encoded; nothing when the value is not to blame.

    Args:
        error: What was raised while the value was encoded, maybe for another reason.
        value: The value.
        what: The value in words, such as `the input of activity 'Ship'`.
        plain: As for `write_fault`.
    """
    _explain(error, what, lambda: write_fault(value, plain=plain))


def explain_read(
    error: BaseException, text: object, what: str, expected_type: type | None = None
) -> None:
    """Note what in a text could not be decoded; nothing when the text is not to blame."""
    if isinstance(text, str):
        _explain(error, what, lambda: read_fault(text, expected_type))


def _explain(error: BaseException, what: str, find: Callable[[], str | None]) -> None:
    # A search must not hide the error it is made for: what it meets is user code.
    with suppress(Exception):
        if not _explanations(error) and (fault := find()) is not None:
            error.add_note(Explanation(f"{what}: {fault}"))


def explained_text(error: BaseException) -> str:
    """`str(error)` and, in brackets, the explanation; raises what `__str__` raises."""
    text = str(error)
    for note in _explanations(error):
        text = f"{text} ({note})" if text else f"({note})"
    return text


def _explanations(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)  # user code may put anything there
    return [note for note in notes if isinstance(note, Explanation)] if type(notes) is list else []


def explaining(
    method: Callable[..., Any],
    argument: str,
    what: Callable[[Mapping[str, Any]], str],
    *,
    plain: bool = False,
) -> Callable[..., Any]:
    """A method of the SDK that explains why it could not encode one of its arguments.

    Args:
        method: A function or coroutine function.
        argument: The name of the parameter whose value it encodes.
        what: Makes the words for `explain_write` from the arguments by name, `self` included.
        plain: As for `write_fault`.
    """
    signature = inspect.signature(method)

    def explain(error: Exception, args: Any, kwargs: Any) -> None:
        with suppress(Exception):  # the arguments may not even fit
            given = signature.bind(*args, **kwargs).arguments
            explain_write(error, given.get(argument), what(given), plain=plain)

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await method(*args, **kwargs)
            except Exception as error:
                explain(error, args, kwargs)
                raise

        return call_async

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            explain(error, args, kwargs)
            raise

    return call
