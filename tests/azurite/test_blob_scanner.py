"""Looking for blobs on the emulator: whom is told of what, and that it is told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from support.storage import Site, eventually

from func_py.clock import RealClock, VirtualClock
from func_py.storage.blobs import Blobs
from func_py.storage.receipts import Receipts
from func_py.triggers.blobs import BlobScanner, WatchedFunction
from func_py_bindings.blob import BlobPattern


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
    scanner = BlobScanner(
        connected.client.get_container_client(f"c{site.id}"),
        connected.answers,
        functions,
        Receipts(site.connections, f"host{site.id}"),
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
