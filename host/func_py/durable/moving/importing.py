"""Reads a task hub from a file into an empty one, and compares the two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from func_py.durable.model import ExecutionStarted, Message, RuntimeStatus, partition_of
from func_py.durable.moving import contents, unfinished
from func_py.durable.moving.exporting import Progress
from func_py.durable.moving.file import PART_BYTES, Entry, HubFile, PendingLine, Summary
from func_py.durable.storage.base import (
    Committed,
    HostRecord,
    HubInfo,
    InstanceQuery,
    Lease,
    TaskHub,
    Token,
    Turn,
)
from func_py.errors import InternalError, UserError

_TOGETHER = 100
"""Instances that are stored at a time."""
_BYTES_TOGETHER = 2 * PART_BYTES


async def import_hub(
    hub: TaskHub, info: HubInfo, host: HostRecord, file: HubFile, progress: Progress
) -> Summary:
    """Store what the file holds, read it back and compare.

    Until that is done the hub is marked: `refuse_unfinished` raises. Whoever gets an exception here
    deletes the hub.

    Args:
        hub: Open as that host, and empty. Its number of partitions is its own.
        info: Of the hub.
        host: Owns all partitions from here until it closes the hub.
        file: Was checked.
        progress: Told as instances are stored.

    Raises:
        UserError: The store did not keep what the file holds.
        StorageUnavailable: The store does not answer.
    """
    await unfinished.mark(hub, file.path.name)
    leases = await contents.own(hub, info)
    header, expected = file.check()
    done = 0
    for entries in _chunks(file.entries()):
        await asyncio.gather(*(_store(hub, leases, entry) for entry in entries))
        done += sum(entry.state is not None and entry.is_last for entry in entries)
        progress(done, header.instances)
    # What is compared is read from the store, not remembered.
    await hub.release(leases)
    await _compare(hub, await contents.own(hub, info), file, expected)
    await unfinished.unmark(hub)
    return expected


async def refuse_full(hub: TaskHub, info: HubInfo, host: HostRecord) -> None:
    """Raises UserError when there is something in the hub, or somebody on it."""
    await unfinished.refuse_unfinished(hub, info)
    await contents.refuse_company(hub, info, host)
    is_full = False
    for prefix in contents.PREFIXES:
        page = await hub.query_instances(InstanceQuery(prefix=prefix, page_size=1))
        is_full |= bool(page.items)
    leases = await contents.own(hub, info)
    is_full |= bool(await contents.pending(hub, leases))
    # Not to be given in memory all that will be stored for these partitions.
    await hub.release(leases)
    if is_full:
        raise UserError(
            f"The task hub {info.location} is not empty. Import into a new one: name it with "
            "--task-hub-name, or delete this one with `func-py hub delete`."
        )


def _chunks(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    """Entries that fit into memory together, of different instances."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        if chunk and (len(chunk) == _TOGETHER or size >= _BYTES_TOGETHER or not entry.is_first):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += entry.size
    if chunk:
        yield chunk


async def _store(hub: TaskHub, leases: Sequence[Lease], entry: Entry) -> None:
    pending = entry.pending or PendingLine(instance_id=entry.instance_id)
    mail = list(pending.mail)
    state = entry.state
    if state is not None:
        start = _start_of(entry, mail)
        if start is not None:
            await hub.create_instance(state, start, ())
            mail.remove(start)
        else:
            turn = Turn(
                lease=leases[partition_of(entry.instance_id, len(leases))],
                token=None if entry.is_first else await _token(hub, entry.instance_id),
                state=state,
                events=entry.events,
                timers=pending.timers,
                # One less: reading them back counts a run.
                activities=[replace(a, attempt=a.attempt - 1) for a in pending.activities],
            )
            [answer] = await hub.commit([turn])
            if not isinstance(answer, Committed):
                raise UserError(
                    f"The instance '{entry.instance_id}' cannot be stored: {answer.detail}"
                )
    if mail:
        await hub.send(mail)


async def _token(hub: TaskHub, instance_id: str) -> Token | None:
    loaded = await hub.load(instance_id, history=False)
    return None if loaded is None else loaded.token


def _start_of(entry: Entry, mail: Sequence[Message]) -> Message | None:
    """The message that is to start an instance which has not run at all."""
    state = entry.state
    if state is None or state.status is not RuntimeStatus.PENDING or entry.events:
        return None
    for message in mail:
        event = message.event
        if isinstance(event, ExecutionStarted) and event.execution_id == state.execution_id:
            return message
    return None


async def _compare(hub: TaskHub, leases: list[Lease], file: HubFile, expected: Summary) -> None:
    """Raises InternalError when the hub does not hold exactly what the file does."""
    pending = await contents.pending(hub, leases)
    readings: dict[str, contents.Reading] = {}
    hidden = 0

    async def is_same(entry: Entry) -> bool:
        nonlocal hidden
        if entry.is_first:
            readings[entry.instance_id] = await contents.begin_reading(hub, entry.instance_id)
        reading = readings[entry.instance_id]
        events = await reading.take(len(entry.events))
        if not (_mean_same(reading.state, entry.state) and _mean_same(events, entry.events)):
            return False
        if not entry.is_last:
            return True
        del readings[entry.instance_id]
        found = await pending.take(entry.instance_id)
        told = entry.pending or PendingLine(instance_id=entry.instance_id)
        hidden += len(told.timers) - len(found.timers)
        return (
            reading.is_at_end
            and set(found.timers) <= set(told.timers)
            and _mean_same(replace(found, timers=[]), replace(told, timers=[]))
        )

    for entries in _chunks(file.entries()):
        same = await asyncio.gather(*map(is_same, entries))
        for entry, is_as_it_was in zip(entries, same, strict=True):
            if not is_as_it_was:
                raise InternalError(f"'{entry.instance_id}' was not stored as it is in the file")
    total = 0
    async for _ in contents.instances(hub):
        total += 1
    if pending or total != expected.instances:
        raise InternalError("the task hub holds more than the file")
    # Timers that cannot be listed (clause 12) are there all the same.
    if hidden > (await hub.unseen()).count:
        raise InternalError("timers were not stored as they are in the file")


def _mean_same(stored: object, expected: object) -> bool:
    """Are these the same, but for values left out?

    Azure Storage has its own layout: it does not tell no value from an empty one, nor from `null`.
    """
    return stored == expected or _plain(stored) == _plain(expected)


def _plain(value: object) -> Any:
    """Without what says nothing."""
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict):
        members = {name: _plain(member) for name, member in plain.items()}
        return {name: each for name, each in members.items() if each not in (None, "", "null", {})}
    if isinstance(plain, list):
        return [_plain(each) for each in plain]
    return plain
