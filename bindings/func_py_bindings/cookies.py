"""Cookies of a response, in the form the official host sends them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from http.cookies import CookieError, Morsel, SimpleCookie
from urllib.parse import quote


def set_cookie_header(text: str) -> Iterator[str]:
    """The `Set-Cookie` values for one such header of the app; none for a text without cookies.

    Attributes come in the host's order and spelling, with `domain` and `path` always present.

    Raises:
        ValueError: `expires` is no date.
    """
    try:
        cookies = SimpleCookie(text)
    except CookieError:
        return
    for name, morsel in cookies.items():
        header = _render(name, morsel)
        if header is not None:
            yield header


def _render(name: str, morsel: Morsel[str]) -> str | None:
    parts = [f"{name}={quote(morsel.value, safe='')}"]
    if morsel["expires"]:
        parts.append(f"expires={_http_date(morsel['expires'])}")
    if morsel["max-age"]:
        try:
            parts.append(f"max-age={int(morsel['max-age'])}")
        except ValueError:
            return None  # The official host drops a cookie whose number does not parse.
    parts += [f"domain={morsel['domain']}", f"path={morsel['path']}"]
    if morsel["secure"]:
        parts.append("secure")
    if morsel["samesite"]:
        parts.append(f"samesite={morsel['samesite'].lower()}")
    if morsel["httponly"]:
        parts.append("httponly")
    return "; ".join(parts)


def _http_date(text: str) -> str:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError as exc:
        raise ValueError(
            f"cannot parse the value '{text}' of 'expires' in the cookie: invalid format"
        ) from exc
    # A date without an offset ("-0000") is UTC by definition.
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return format_datetime(moment, usegmt=True)
