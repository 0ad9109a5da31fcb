"""The choice of the function for a request.

As in the official host there is no ranking by precision: routes are tried in the order of function
names, and the first that fits path, constraints and method wins. A method that does not fit is a
route that does not match, so the answer to it is never 405.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote

from func_py_bindings.route_template import RouteTemplate

T = TypeVar("T")

_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


class RouteTable(Generic[T]):
    """Routes in the order they are tried, with a shortcut for those without parameters."""

    def __init__(self, routes: Iterable[tuple[RouteTemplate, frozenset[str], T]]) -> None:
        """`routes`: template, methods (empty: all), target; in the order to try them."""
        self._literal: dict[str, list[tuple[int, frozenset[str], T]]] = {}
        self._patterns: list[tuple[int, RouteTemplate, frozenset[str], T]] = []
        for order, (template, methods, target) in enumerate(routes):
            if template.literal is not None:
                self._literal.setdefault(template.literal, []).append((order, methods, target))
            else:
                self._patterns.append((order, template, methods, target))

    def find(self, method: str, raw_path: str) -> tuple[T, Mapping[str, str]] | None:
        """The target for a request and its route values, or None."""
        path = decoded_path(raw_path)
        best: tuple[int, T] | None = None
        for order, methods, target in self._literal.get(path.lower(), ()):
            if not methods or method in methods:
                best = order, target
                break
        for order, template, methods, target in self._patterns:
            if best is not None and order > best[0]:
                break
            if methods and method not in methods:
                continue
            values = template.match(path)
            if values is not None:
                return target, values
        return None if best is None else (best[1], {})


def decoded_path(raw_path: str) -> str:
    """A path as routes see it: decoded once, except for encoded slashes; no slash at the ends."""
    path = raw_path.strip("/")
    if "%" in path:
        path = unquote(_ENCODED_SLASH.sub("%252F", path))
    return path
