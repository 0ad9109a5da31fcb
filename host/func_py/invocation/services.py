"""Bindings to services around one call: all inputs at once before it, all outputs at once after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from func_py_bindings.contract import Invocation, Send

T = TypeVar("T")


async def fetched(
    fetchers: Sequence[tuple[str, Callable[[Invocation], Awaitable[object]]]],
    invocation: Invocation,
) -> dict[str, object]:
    """The arguments of all inputs, by name. Raises what the first that fails raises."""
    values = await _all_of([fetch(invocation) for _, fetch in fetchers])
    return {name: value for (name, _), value in zip(fetchers, values, strict=True)}


async def written(
    writers: Iterable[tuple[str, Callable[[Invocation, object], Send]]],
    invocation: Invocation,
    values: Mapping[str, object],
) -> None:
    """Write the values of all outputs that were set, once every one is found good.

    Raises what the first that fails raises; others may be written nevertheless.
    """
    sends = [
        write(invocation, value)
        for name, write in writers
        if (value := values.get(name)) is not None
    ]
    await _all_of([send() for send in sends])


async def _all_of(calls: Sequence[Awaitable[T]]) -> list[T]:
    """All results, in order; every call has ended when this returns or raises."""
    if len(calls) == 1:
        return [await calls[0]]
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
