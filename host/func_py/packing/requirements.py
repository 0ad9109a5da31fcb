"""The requirements files of one or several apps as one text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from func_py.errors import UserError

_INCLUDES = ("-r", "--requirement")
_LOCAL = ("-e", "--editable", ".", "/", "file:")


def merged_requirements(files: Iterable[Path]) -> str:
    """All lines of the files that exist, once each, with `-r` files in their place.

    Raises:
        UserError: A line names something on this machine, which a pack does not hold, or a file
            that is not there.
    """
    lines: dict[str, None] = {}
    for file in files:
        if file.is_file():
            lines.update(dict.fromkeys(_lines(file, ())))
    return "".join(f"{line}\n" for line in lines)


def _lines(file: Path, including: tuple[Path, ...]) -> Iterator[str]:
    if file in including:
        return
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    for number, raw in enumerate(text.replace("\\\n", " ").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        option, _, value = line.partition(" ")
        if option in _INCLUDES:
            yield from _lines(file.parent / value.strip(), (*including, file))
        elif line.startswith(_LOCAL):
            raise UserError(
                f"{file}:{number}: '{line}' is a place on this machine: a pack does not hold it. "
                "Put the code below the app root, or publish the package."
            )
        else:
            yield line
