"""The requirements files of one or several apps as one text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from func_py.errors import UserError

CONSTRAINTS = "constraints.txt"

_INCLUDE = re.compile(r"(?:(-r|--requirement)|-c|--constraint)[\s=]*(?P<place>\S.*)")
_COMMENT = re.compile(r"(^|\s)#.*")
_LOCAL = re.compile(r"(-e|--editable|-f|--find-links)[\s=]|[./~]|\S+\.(whl|zip|tar\.gz|tgz)(\s|$)")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is to be installed."""

    text: str
    """A requirements file; names `constraints.txt` if there are constraints."""
    constraints: str

    @property
    def are_hashed(self) -> bool:
        """Whether pip takes nothing that has no hash here."""
        return "--hash=" in self.text + self.constraints


def merged_requirements(files: Iterable[Path]) -> Requirements:
    """All lines of the files that exist, once each, with `-r` and `-c` files in their place.

    Raises:
        UserError: A line names something on this machine, which a pack does not hold, or a file
            that cannot be read.
    """
    wanted: dict[str, None] = {}
    constraints: dict[str, None] = {}
    for file in files:
        if file.is_file():
            _merge(file, wanted, constraints, ())
    option = [f"-c {CONSTRAINTS}"] if constraints else []
    return Requirements(_text([*option, *wanted]), _text(constraints))


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _merge(
    file: Path,
    lines: dict[str, None],
    constraints: dict[str, None],
    including: tuple[Path, ...],
) -> None:
    if file in including:
        return
    for number, line in _lines(file):
        include = _INCLUDE.match(line)
        if include is not None and "://" not in line:
            into = lines if include[1] else constraints
            _merge(file.parent / include["place"], into, constraints, (*including, file))
        elif "file:" in line or ("://" not in line and _LOCAL.match(line)):
            raise UserError(
                f"{file}:{number}: '{line}' is a place on this machine: a pack does not hold it. "
                "Put the code below the app root, or publish the package."
            )
        else:
            lines[line] = None


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """What pip reads as lines, without comments, and the number of the first one of each."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeError as error:
        raise UserError(f"{file} is no text in UTF-8.") from error
    first, parts = 0, ""
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        first = first or number
        parts += _COMMENT.sub("", raw)
        if parts.endswith("\\"):
            parts = f"{parts[:-1]} "
            continue
        if line := " ".join(parts.split()):
            yield first, line
        first, parts = 0, ""
