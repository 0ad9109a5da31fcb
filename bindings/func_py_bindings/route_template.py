"""Route templates of HTTP functions: `orders/{id:int}/{*rest}` as ASP.NET Core reads them.

Says whether a path fits, and what its parameters are; which function answers is the front end's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from func_py_bindings.route_constraints import constraint

_Piece = tuple[str | None, str]
"""(literal, "") or (None, text between the braces)."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    checks: tuple[Callable[[str], bool], ...]
    default: str | None
    is_optional: bool
    is_rest: bool


class RouteTemplate:
    """One compiled template, such as `api/orders/{id:int}/{*rest}`."""

    def __init__(self, text: str) -> None:
        """Compile a template.

        Raises:
            ValueError: Bad syntax or an unknown constraint.
        """
        self.text = re.sub("/{2,}", "/", text).strip("/")
        self._parameters: list[_Parameter] = []
        pattern = self._compile(self.text)
        self.literal = None if self._parameters else _unescape(self.text).lower()
        self._match = re.compile(pattern, re.IGNORECASE | re.DOTALL).fullmatch
        self._names = tuple(parameter.name for parameter in self._parameters)
        self._is_plain = not any(
            p.checks or p.default is not None or p.is_optional or p.is_rest
            for p in self._parameters
        )

    def match(self, path: str) -> dict[str, str] | None:
        """The route values of a path, or None when it does not fit.

        Args:
            path: Decoded, without leading and trailing slash; an encoded slash is still encoded.
        """
        found = self._match(path)
        if found is None:
            return None
        if self._is_plain:  # Every parameter has a value, and any will do.
            return dict(zip(self._names, found.groups(), strict=True))
        values: dict[str, str] = {}
        for parameter, value in zip(self._parameters, found.groups(), strict=True):
            if not value:
                if parameter.default is not None:
                    values[parameter.name] = parameter.default
                continue
            if not all(check(value) for check in parameter.checks):
                return None
            values[parameter.name] = value
        return values

    def _compile(self, text: str) -> str:
        if not text:
            return ""
        segments = _split_segments(text)
        pattern = ""
        for index, segment in enumerate(segments):
            is_last = index == len(segments) - 1
            pieces = _pieces(segment)
            slash = "/" if index else ""
            if len(pieces) == 1 and pieces[0][0] is None:
                pattern += self._whole_segment(pieces[0][1], slash, is_last)
            else:
                pattern += slash + self._mixed_segment(pieces, is_last)
        return pattern

    def _whole_segment(self, inner: str, slash: str, is_last: bool) -> str:
        parameter = self._add(inner)
        if parameter.is_rest:
            if not is_last:
                raise ValueError(f"a catch-all can only be the last segment: {{{inner}}}")
            return f"(?:{slash}(.*))?"
        if parameter.is_optional or parameter.default is not None:
            if not is_last and parameter.default is None:
                raise ValueError(f"an optional parameter must be the last: {{{inner}}}")
            return f"(?:{slash}([^/]+))?"
        return f"{slash}([^/]+)"

    def _mixed_segment(self, pieces: list[_Piece], is_last: bool) -> str:
        """Literals and parameters in one segment; an optional one may end it after a dot."""
        pattern = ""
        before = ""
        for position, (literal, inner) in enumerate(pieces):
            if literal is not None:
                pattern += re.escape(literal)
                before = literal
                continue
            parameter = self._add(inner)
            if parameter.is_rest:
                raise ValueError(f"a catch-all must be a segment of its own: {{{inner}}}")
            if position and not before:
                raise ValueError(f"two parameters need a text between them: {{{inner}}}")
            if parameter.is_optional:
                if not (is_last and position == len(pieces) - 1 and before.endswith(".")):
                    raise ValueError(f"an optional part can only end a route: {{{inner}}}")
                # What stands before the last dot belongs to the parameter before it.
                pattern = pattern.removesuffix(re.escape(".")) + r"(?:\.([^/.]+))?"
                pattern = pattern.replace("([^/]+)", "([^/]+?)")
            else:
                pattern += "([^/]+)"
            before = ""
        return pattern

    def _add(self, inner: str) -> _Parameter:
        parameter = _parameter(inner)
        if any(parameter.name.lower() == known.name.lower() for known in self._parameters):
            raise ValueError(f"the parameter '{parameter.name}' appears twice")
        self._parameters.append(parameter)
        return parameter


def _unescape(text: str) -> str:
    """A literal of a template with `{{` and `}}` as braces."""
    return text.replace("{{", "{").replace("}}", "}")


def _split_segments(text: str) -> list[str]:
    """Split at slashes outside of braces: a regex constraint may hold some."""
    segments, depth, current = [], 0, ""
    for char in text:
        if char == "/" and depth == 0:
            segments.append(current)
            current = ""
            continue
        depth += (char == "{") - (char == "}")
        current += char
    segments.append(current)
    return segments


def _pieces(segment: str) -> list[_Piece]:
    """A segment as (literal, "") and (None, parameter) pieces."""
    pieces: list[_Piece] = []
    literal, index = "", 0
    while index < len(segment):
        if segment[index : index + 2] in ("{{", "}}"):
            literal += segment[index]
            index += 2
        elif segment[index] == "{":
            end = _closing(segment, index + 1)
            if literal:
                pieces.append((literal, ""))
                literal = ""
            pieces.append((None, _unescape(segment[index + 1 : end])))
            index = end + 1
        elif segment[index] == "}":
            raise ValueError(f"'}}' without '{{' in '{segment}'")
        else:
            literal += segment[index]
            index += 1
    if literal:
        pieces.append((literal, ""))
    return pieces


def _closing(segment: str, start: int) -> int:
    index = start
    while index < len(segment):
        if segment[index : index + 2] in ("{{", "}}"):
            index += 2
        elif segment[index] == "}":
            return index
        else:
            index += 1
    raise ValueError(f"'{{' without '}}' in '{segment}'")


def _parameter(inner: str) -> _Parameter:
    """Read what stands between braces: `*name:constraint(…):constraint=default?`."""
    text = inner.lstrip("*")
    name = re.split("[:=?]", text, maxsplit=1)[0].strip()
    if not name or len(inner) - len(text) > 2:
        raise ValueError(f"bad parameter {{{inner}}}")
    index = len(text.partition(name)[0]) + len(name)
    checks = []
    while index < len(text) and text[index] == ":":
        end = _end_of_constraint(text, index + 1)
        checks.append(constraint(text[index + 1 : end]))
        index = end
    tail = text[index:].strip()
    is_optional = tail.endswith("?")
    default = tail.removesuffix("?").removeprefix("=") if tail.startswith("=") else None
    if tail not in ("", "?") and default is None:
        raise ValueError(f"bad parameter {{{inner}}}")
    return _Parameter(name, tuple(checks), default, is_optional, is_rest=text != inner)


def _end_of_constraint(text: str, start: int) -> int:
    """Where a constraint ends; a `)` closes its arguments only before `:`, `=`, `?` or the end."""
    in_arguments = False
    for index in range(start, len(text)):
        char = text[index]
        if in_arguments:
            in_arguments = not (char == ")" and text[index + 1 : index + 2] in ("", ":", "=", "?"))
        elif char == "(":
            in_arguments = True
        elif char in ":=?":
            return index
    return len(text)
