"""Which files of an app folder are left out: `.funcignore`, and what never belongs to an app."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from func_py.errors import UserError

FILE_NAME = ".funcignore"

MARK = ".func-py-pack"
"""Tells a folder that a pack was written to; none belongs into another one."""

_SECRETS = ("local.settings.json", ".env", ".env.*")
_NEVER = (*_SECRETS, ".func-py", ".git", "__pycache__", "*.pyc", FILE_NAME)
_WILDCARD = re.compile(r"(\*\*/|\*\*|\*|\?|\[(?:[!^][^\]/]+|[^!^\]/][^\]/]*)\])")
_MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class Ignored:
    """The patterns of a `.funcignore`.

    They mean what they mean in a `.gitignore`: `*` within a name, `**` across folders, `[a-c]` and
    `[!a-c]` for one character, a pattern with a slash begins at the folder of the file, one without
    fits at any depth, one with a slash at its end fits folders, and what fits a folder fits
    everything in it. A pattern after `!` takes files back in, wherever it stands.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        patterns = [line.strip() for line in lines]
        patterns = [p for p in patterns if p and not p.startswith("#")]
        self._out = _expression([p for p in patterns if not p.startswith("!")])
        self._in = _expression([p[1:] for p in patterns if p.startswith("!")])

    def __contains__(self, path: str) -> bool:
        """Whether a path, relative and with slashes, is left out."""
        return self._out.match(path) is not None and self._in.match(path) is None


def packed_files(root: Path, foreign: Container[Path] = ()) -> Iterator[Path]:
    """The files below an app folder that belong to the app, sorted; links are followed.

    Left out besides what `.funcignore` says: local settings, `.env`, state, `.git`, bytecode,
    virtual environments, packs, links that lead nowhere, and what is no file.

    Args:
        root: The folder.
        foreign: Folders below it that are none of the app's, absolute and without links.

    Raises:
        UserError: `.funcignore` cannot be read.
    """
    never, ignored = Ignored(_NEVER), Ignored(_patterns(root / FILE_NAME))
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if (here / name).relative_to(root).as_posix() not in never
            and (here / name).resolve() not in foreign
            and not any((here / name / mark).is_file() for mark in (MARK, "pyvenv.cfg"))
            # A link back to where we are would never end.
            and not here.resolve().is_relative_to((here / name).resolve())
        )
        for name in sorted(files):
            path = (here / name).relative_to(root).as_posix()
            if path not in never and path not in ignored and (here / name).is_file():
                yield here / name


def _patterns(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines() if file.is_file() else []
    except (OSError, UnicodeError) as error:
        raise UserError(f"{file} cannot be read: {error}.") from error


def _expression(patterns: Iterable[str]) -> re.Pattern[str]:
    alternatives = [_translated(pattern) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else r"(?!)", re.DOTALL)


def _translated(pattern: str) -> str:
    body = pattern.strip("/")
    is_anchored = "/" in pattern.rstrip("/")
    text = "".join(_meaning(part) for part in _WILDCARD.split(body))
    start = "" if is_anchored else "(?:.*/)?"
    end = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return rf"{start}{text}{end}\Z"


def _meaning(part: str) -> str:
    if part in _MEANINGS or not _WILDCARD.fullmatch(part):
        return _MEANINGS.get(part, re.escape(part))
    is_negated = part[1] in "!^"
    characters = re.sub(r"[\\\[&~|^]", r"\\\g<0>", part[1 + is_negated : -1])
    one = f"[{'^' * is_negated}{characters}]"
    try:
        re.compile(one)
    except re.error:
        return "(?!)"  # A range that runs backwards fits nothing.
    return f"(?!/){one}"
