"""Looking for blobs on the emulator: whom is told of what, and that it is told once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from support.storage import Site, eventually

from func_py.clock import RealClock, VirtualClock
from func_py.storage.blobs import Blobs
from func_py.storage.receipts import Receipts
from func_py.storage.scan_info import ScanInfo
from func_py.triggers.blobs import BlobScanner, WatchedFunction
from func_py_bindings.blob import BlobPattern

MARGIN = timedelta(minutes=1)


class Told:
    """What functions were told, as `<function> <name>`; `fails` times it cannot be done."""

    def __init__(self, fails: int = 0) -> None:
        self.lines: list[str] = []
        self.fails = fails

    async def __call__(self, function: WatchedFunction, name: str, etag: str) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the message could not be sent")
        self.lines.append(f"{function.id} {name}")

    async def wait_for(self, *lines: str) -> None:
        async def are_told() -> bool:
            return sorted(self.lines) == sorted(lines)

        await eventually(are_told, f"{lines}, not {self.lines}")


async def put(site: Site, *names: str) -> None:
    """Write blobs as an output of this process does."""
    blobs = Blobs(site.connections, site.wakes, RealClock())
    for name in names:
        await blobs.write("", f"c{site.id}", name, b"x")


@asynccontextmanager
async def scanning(
    site: Site, told: Told, *, looks_by_itself: bool = False, **patterns: str
) -> AsyncIterator[BlobScanner]:
    """A scanner for functions by id; it looks when woken."""
    connected = site.connections.blobs("")
    functions = [
        WatchedFunction(name, BlobPattern(f"c{site.id}/{pattern}"))
        for name, pattern in (patterns or {"f": "{name}"}).items()
    ]
    container = connected.client.get_container_client(f"c{site.id}")
    scanner = BlobScanner(
        container,
        connected.answers,
        functions,
        Receipts(site.connections, f"host{site.id}"),
        ScanInfo(site.connections, f"host{site.id}", container),
        told,
        timedelta(milliseconds=50),
        RealClock() if looks_by_itself else VirtualClock(),
    )
    site.wakes.subscribe(scanner.place, scanner.wake)
    scanner.start()
    try:
        yield scanner
    finally:
        await scanner.stop(10)


async def test_what_lies_there_and_what_comes_is_told(site: Site) -> None:
    await put(site, "old")
    told = Told()
    async with scanning(site, told):
        await told.wait_for("f old")
        await put(site, "new")
        await told.wait_for("f old", "f new")


async def test_container_that_does_not_exist_is_waited_for(site: Site) -> None:
    told = Told()
    async with scanning(site, told):
        await put(site, "first")
        await told.wait_for("f first")


async def test_each_function_is_told_of_what_it_wants(site: Site) -> None:
    told = Told()
    await put(site, "a.txt", "b.json")
    async with scanning(site, told, texts="{n}.txt", all="{n}"):
        await told.wait_for("texts a.txt", "all a.txt", "all b.json")


async def test_blob_that_is_written_again_is_told_again(site: Site) -> None:
    told = Told()
    async with scanning(site, told):
        await put(site, "x")
        await told.wait_for("f x")
        await put(site, "x")
        await told.wait_for("f x", "f x")


async def test_nothing_is_told_twice_by_a_host_that_comes_later(site: Site) -> None:
    first, second = Told(), Told()
    await put(site, "a", "b")
    async with scanning(site, first):
        await first.wait_for("f a", "f b")
    async with scanning(site, second):
        await put(site, "c")
        await second.wait_for("f c")


async def test_function_that_is_new_is_told_of_all(site: Site) -> None:
    told = Told()
    await put(site, "a")
    async with scanning(site, told):
        await told.wait_for("f a")
    async with scanning(site, told, f="{n}", g="{n}"):
        await told.wait_for("f a", "g a")


async def test_two_hosts_tell_once(site: Site) -> None:
    one, two = Told(), Told()
    names = [str(number) for number in range(8)]
    await put(site, *names)
    async with scanning(site, one), scanning(site, two):

        async def are_told() -> bool:
            return len(one.lines) + len(two.lines) >= len(names)

        await eventually(are_told, "all blobs")
    assert sorted(one.lines + two.lines) == [f"f {name}" for name in names]


async def test_what_could_not_be_told_is_told_later(site: Site) -> None:
    told = Told(fails=1)
    await put(site, "x")
    async with scanning(site, told, looks_by_itself=True):
        await told.wait_for("f x")


async def test_receipt_that_a_dead_host_left_incomplete_is_no_receipt(site: Site) -> None:
    told, receipts = Told(), Receipts(site.connections, f"host{site.id}")
    await put(site, "x")
    container = site.connections.blobs("").client.get_container_client(f"c{site.id}")
    etag = (await container.get_blob_client("x").get_blob_properties()).etag.strip('"')
    receipt = receipts._home.get_blob_client(f'blobreceipts/host{site.id}/f/"{etag}"/c{site.id}/x')
    await receipts._create(receipt)
    assert await receipts.told("f") == set()
    async with scanning(site, told):
        await told.wait_for("f x")
    assert await receipts.told("f") == {f'"{etag}"/c{site.id}/x'}


async def scan_info(site: Site, text: str | None = None) -> dict[str, Any]:
    """How far a host says that it is, where the official host keeps it; written when given."""
    home = site.connections.blobs("").client.get_container_client("azure-webjobs-hosts")
    name = f"blobscaninfo/host{site.id}/devstoreaccount1/c{site.id}/scanInfo"
    if text is not None:
        with suppress(ResourceExistsError):
            await home.create_container()
        await home.upload_blob(name, text, overwrite=True)
    found: dict[str, Any] = json.loads(await (await home.download_blob(name)).readall())
    return found


async def modified(site: Site, name: str) -> datetime:
    """When a blob was written."""
    container = site.connections.blobs("").client.get_container_client(f"c{site.id}")
    found = await container.get_blob_client(name).get_blob_properties()
    written: datetime = found.last_modified
    return written


async def test_what_was_looked_through_is_noted_for_the_next_host(site: Site) -> None:
    await put(site, "x")
    async with scanning(site, told := Told(), looks_by_itself=True):
        await told.wait_for("f x")

        async def is_noted() -> bool:
            with suppress(ResourceNotFoundError):
                return bool(await scan_info(site))
            return False

        await eventually(is_noted, "the note")
    noted = await scan_info(site)
    assert noted["FuncPyFunctions"] == ["f"]
    assert datetime.fromisoformat(noted["LatestScan"]) == await modified(site, "x") - MARGIN


async def test_where_an_earlier_host_ended_the_next_one_begins(site: Site) -> None:
    """Also without receipts: people delete old ones. A function that is new is told of all."""
    await put(site, "old", "new")
    later = (await modified(site, "new")) + timedelta(seconds=1)
    await scan_info(site, json.dumps({"LatestScan": later.isoformat()}))
    async with scanning(site, told := Told()) as scanner:
        await eventually(lambda: looked(scanner), "a look")
        assert told.lines == []
    await scan_info(site, json.dumps({"LatestScan": later.isoformat(), "FuncPyFunctions": ["f"]}))
    async with scanning(site, told := Told(), f="{n}", g="{n}"):
        await told.wait_for("g old", "g new")
    earlier = later - timedelta(minutes=5)
    await scan_info(site, json.dumps({"LatestScan": earlier.isoformat()}))
    async with scanning(site, told := Told()):
        await told.wait_for("f old", "f new")


async def looked(scanner: BlobScanner) -> bool:
    return not scanner._is_first_look


async def test_many_blobs_that_were_told_of_are_not_told_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("func_py.triggers.blobs._FEW", 2)
    names = [str(number) for number in range(3)]
    await put(site, *names)
    async with scanning(site, told := Told()):
        await told.wait_for(*(f"f {name}" for name in names))
    async with scanning(site, told := Told()) as scanner:
        await eventually(lambda: looked(scanner), "a look")
    assert told.lines == []
