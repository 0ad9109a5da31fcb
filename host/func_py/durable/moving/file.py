"""The file that holds a task hub: lines of JSON, compressed when its name ends with `.gz`.

A header; for each instance its record, the pages of its history and what is pending for it; an end
with counts and the checksum of all lines before. Nothing of a store is in it: no partitions, no
hosts, no numbers of rows.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, cast

import msgspec

from func_py.durable.model import (
    ActivityTask,
    HistoryEvent,
    InstanceState,
    Message,
    TimerTask,
)
from func_py.errors import UserError

FORMAT = 1

PART_BYTES = 8 * 1024 * 1024
"""Of a file: what of one instance is in memory at once."""

_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError, msgspec.MsgspecError)


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Common to all lines."""


class Header(Line, frozen=True, kw_only=True, tag="hub"):
    """Opens a file. `instances` includes entities, and is what was there when the export began."""

    format: int
    hub: str
    provider: str
    partitions: int
    instances: int
    exported_at: datetime


class InstanceLine(Line, frozen=True, kw_only=True, tag="instance"):
    """Opens an instance; an entity is one, too."""

    state: InstanceState


class EventsLine(Line, frozen=True, kw_only=True, tag="events"):
    """Some events of the instance before it, in order."""

    events: list[HistoryEvent]


class PendingLine(Line, frozen=True, kw_only=True, tag="pending", omit_defaults=True):
    """What waits for an instance, the one before it or an entity that does not exist yet.

    `mail` is in the order of its delivery. The attempts of activities are those made so far.
    """

    instance_id: str
    mail: list[Message] = []
    timers: list[TimerTask] = []
    activities: list[ActivityTask] = []


class Summary(msgspec.Struct, kw_only=True):
    """How much a file, or a hub, holds."""

    instances: int = 0
    events: int = 0
    mail: int = 0
    timers: int = 0
    activities: int = 0

    def count(self, line: Line) -> None:
        """Add what a line holds."""
        if isinstance(line, InstanceLine):
            self.instances += 1
        elif isinstance(line, EventsLine):
            self.events += len(line.events)
        elif isinstance(line, PendingLine):
            self.mail += len(line.mail)
            self.timers += len(line.timers)
            self.activities += len(line.activities)

    def __str__(self) -> str:
        return (
            f"{self.instances} instances, {self.events} events of history, {self.mail} messages, "
            f"{self.timers} timers, {self.activities} activities"
        )


class End(Line, frozen=True, kw_only=True, tag="end"):
    """Closes a file. `sha256`: of every line before, with the ends of lines."""

    counts: Summary
    sha256: str


_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(Header | InstanceLine | EventsLine | PendingLine | End)


@dataclass(slots=True)
class Entry:
    """What a file says of one instance; no state: of an entity that does not exist yet.

    A long history comes in several entries, all with the state, and what is pending in the last.
    """

    instance_id: str
    state: InstanceState | None = None
    events: list[HistoryEvent] = field(default_factory=list)
    pending: PendingLine | None = None
    size: int = 0
    """Of its lines in the file, in bytes."""
    is_first: bool = True
    is_last: bool = True


class HubFileWriter:
    """Writes lines."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self.counts = Summary()

    def write(self, line: Line) -> None:
        """Append a line."""
        data = _encode(line) + b"\n"
        self._digest.update(data)
        self._out.write(data)
        self.counts.count(line)

    def end(self) -> None:
        """Append the last line."""
        self.write(End(counts=self.counts, sha256=self._digest.hexdigest()))


class HubFile:
    """A file with a task hub in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def writing(self) -> Iterator[HubFileWriter]:
        """Write the file; it is there when the body is done, and not before.

        Raises:
            UserError: There is a file of that name, or none can be written there.
        """
        if self.path.exists():
            raise UserError(f"{self.path} exists already; name another file.")
        part = self.path.with_name(f"{self.path.name}.part")
        try:
            with part.open("wb") as raw, self._packing(raw) as out:
                writer = HubFileWriter(out)
                yield writer
                writer.end()
                out.flush()
                os.fsync(raw.fileno())
            part.replace(self.path)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _packing(self, raw: IO[bytes]) -> Iterator[IO[bytes]]:
        if not self._is_packed:
            yield raw
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out:
            yield cast("IO[bytes]", out)

    @property
    def _is_packed(self) -> bool:
        return self.path.suffix == ".gz"

    def check(self) -> tuple[Header, Summary]:
        """Read the whole file; its header and how much it holds.

        Raises:
            UserError: It is not such a file, of another format, damaged, or not whole.
        """
        header: Header | None = None
        end: End | None = None
        counts = Summary()
        digest = hashlib.sha256()
        for number, data, line in self._lines():
            if (header is None) is not isinstance(line, Header) or end is not None:
                raise self._damaged(f"line {number} does not belong there")
            if isinstance(line, Header):
                header = line
            elif isinstance(line, End):
                end = line
                continue
            digest.update(data)
            counts.count(line)
        if header is None or end is None:
            raise self._damaged("it has no end: it was not written, or copied, to the last line")
        if (end.sha256, end.counts) != (digest.hexdigest(), counts):
            raise self._damaged("its checksum is another one: it was changed after the export")
        return header, counts

    def entries(self) -> Iterator[Entry]:
        """The instances of a file that was checked, in its order."""
        entry: Entry | None = None
        for _, data, line in self._lines():
            if isinstance(line, InstanceLine):
                if entry is not None:
                    yield entry
                entry = Entry(line.state.instance_id, line.state)
            elif isinstance(line, EventsLine) and entry is not None:
                if entry.events and entry.size + len(data) > PART_BYTES:
                    entry.is_last = False
                    yield entry
                    entry = Entry(entry.instance_id, entry.state, is_first=False)
                entry.events += line.events
            elif isinstance(line, PendingLine):
                if entry is None or entry.instance_id != line.instance_id:
                    if entry is not None:
                        yield entry
                    entry = Entry(line.instance_id)
                entry.pending = line
            if entry is not None:
                entry.size += len(data)
        if entry is not None:
            yield entry

    def _lines(self) -> Iterator[tuple[int, bytes, Line]]:
        number = 0
        try:
            with gzip.open(self.path) if self._is_packed else self.path.open("rb") as file:
                for number, data in enumerate(cast("Sequence[bytes]", file), start=1):
                    line = _line.decode(data)
                    if isinstance(line, Header) and line.format != FORMAT:
                        raise UserError(
                            f"{self.path} has format {line.format}; this version reads {FORMAT}."
                        )
                    yield number, data, line
        except _DAMAGE as error:
            if number <= 1:
                raise UserError(f"{self.path} is no export of a task hub.") from error
            raise self._damaged(f"line {number} or the one after it cannot be read") from error
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror or error}.") from error

    def _damaged(self, problem: str) -> UserError:
        return UserError(f"{self.path} is damaged: {problem}. Nothing was imported.")
