"""Read the lenient JSON of configuration files: byte order mark, comments, trailing commas."""

from __future__ import annotations

import json
import re
from pathlib import Path

from func_py.errors import ConfigError

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")
_NOT_NEWLINE = re.compile(r"[^\n]")


def read_json_object(path: Path, shown_as: str) -> dict[str, JsonValue]:
    """The object in a file.

    Args:
        path: The file; it must exist.
        shown_as: Its name in error texts.

    Raises:
        ConfigError: The file cannot be read, is not UTF-8, not JSON, or not an object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ConfigError(shown_as, "", f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(shown_as, "", "is not UTF-8 text") from exc
    try:
        value = json.loads(_strip(text))
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise ConfigError(shown_as, "", f"is not valid JSON: {exc.msg} ({where})") from exc
    if not isinstance(value, dict):
        raise ConfigError(shown_as, "", "must hold a JSON object: { … }")
    return value


def _strip(text: str) -> str:
    """Blank out comments and trailing commas; positions stay what they were."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        return found if found[0] == '"' else _NOT_NEWLINE.sub(" ", found)

    return _TRAILING_COMMA.sub(blank, _COMMENT.sub(blank, text))
