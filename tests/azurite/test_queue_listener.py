"""Listening to a queue of the emulator: what is taken, kept, given back and put aside."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from support.storage import Site, Worker, eventually

from func_py.clock import VirtualClock
from func_py.errors import ConnectionSettingError, StorageUnavailable
from func_py.storage.connections import StorageConnections
from func_py.storage.queues import Queue, Queues, Received
from func_py.storage.wakes import Wakes
from func_py.triggers.queues import HIDDEN

A_SECOND = timedelta(seconds=1)


async def taken(queue: Queue, hidden: timedelta = A_SECOND) -> list[bytes]:
    """Bodies of the messages that can be received now."""
    return [m.delivery.body for m in await queue.receive(32, hidden) if m.delivery]


async def count_of(queue: Queue) -> int:
    """Messages in a queue, hidden ones included."""
    properties = await queue._client.get_queue_properties()
    return int(properties.approximate_message_count)


async def is_empty(queue: Queue) -> bool:
    return await count_of(queue) == 0


async def test_message_is_worked_on_and_deleted(site: Site) -> None:
    queue, worker = site.queue(), Worker()
    await queue.send(b"one")
    async with site.listening(worker):
        await worker.wait_for(1)
        await eventually(lambda: is_empty(queue), "the message to be deleted")
    (delivery,) = worker.seen
    assert (delivery.body, delivery.dequeue_count) == (b"one", 1)
    assert delivery.inserted_on <= datetime.now(UTC) + A_SECOND
    assert delivery.expires_on > delivery.inserted_on + timedelta(days=6)
    assert delivery.next_visible_on > delivery.inserted_on
    assert delivery.id
    assert delivery.pop_receipt


async def test_queue_that_does_not_exist_is_waited_for_and_not_made(site: Site) -> None:
    queue, worker = site.queue(), Worker()
    async with site.listening(worker):
        assert await queue.receive(1, A_SECOND) == []
        await queue.send(b"late")
        await worker.wait_for(1)
    assert worker.bodies == [b"late"]


async def test_what_this_process_sends_ends_the_pause_at_once(site: Site) -> None:
    queue, worker = site.queue(), Worker()
    # On this clock no pause ends by itself.
    async with site.listening(worker, clock=VirtualClock()):
        for number in range(3):
            await queue.send(b"%d" % number)
            await worker.wait_for(number + 1)
    assert worker.bodies == [b"0", b"1", b"2"]


async def test_failed_message_comes_again_at_once(site: Site) -> None:
    queue, worker = site.queue(), Worker(b"bad")
    await queue.send(b"bad")
    # It may come many times before this test notices the second.
    async with site.listening(worker, clock=VirtualClock(), max_dequeue_count=1000):
        await worker.wait_for(2)
        worker.bad.clear()
        await eventually(lambda: is_empty(queue), "the message to be deleted")
    assert [d.dequeue_count for d in worker.seen][:2] == [1, 2]


async def test_failed_message_stays_hidden_for_the_visibility_timeout(site: Site) -> None:
    queue, worker = site.queue(), Worker(b"bad")
    await queue.send(b"bad")
    async with site.listening(worker, retry_after=timedelta(hours=1)):
        await worker.wait_for(1)
    assert await taken(queue) == []
    assert await count_of(queue) == 1


async def test_message_that_failed_too_often_is_put_aside(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    queue, poison, worker = site.queue(), site.queue("poison"), Worker(b"bad")
    await queue.send(b"bad")
    async with site.listening(worker, poison=poison, max_dequeue_count=2):
        await eventually(lambda: taken(poison), "the message in the poison queue")
        await eventually(lambda: is_empty(queue), "the message to be deleted")
    assert len(worker.seen) == 2
    assert (
        "func_py.triggers.queues",
        logging.WARNING,
        f"Message has reached MaxDequeueCount of 2. Moving message to queue '{poison.name}'.",
    ) in caplog.record_tuples


async def test_message_that_came_too_often_is_put_aside_unseen(site: Site) -> None:
    queue, poison, worker = site.queue(), site.queue("poison"), Worker()
    await queue.send(b"crashed hosts")
    for _ in range(2):
        (received,) = await queue.receive(1, timedelta(minutes=1))
        await queue.hide(received.message, timedelta())
    async with site.listening(worker, poison=poison, max_dequeue_count=2):
        assert await eventually(lambda: taken(poison), "the message") == [b"crashed hosts"]
    assert worker.seen == []


async def test_message_without_a_poison_queue_stays_hidden(site: Site) -> None:
    queue, worker = site.queue(), Worker(b"bad")
    await queue.send(b"bad")
    async with site.listening(worker, max_dequeue_count=1):
        await worker.wait_for(1)
    assert await taken(queue) == []
    assert await count_of(queue) == 1


async def test_message_that_is_not_in_base64_is_put_aside_as_it_is(site: Site) -> None:
    plain, worker = site.queue(is_base64=False), Worker()
    poison = site.queue("poison", is_base64=False)
    await plain.send(b"<plain & simple>")
    async with site.listening(worker, queue=site.queue(), poison=poison):
        assert await eventually(lambda: taken(poison), "the message") == [b"<plain & simple>"]
    assert worker.seen == []


async def test_without_an_encoding_text_is_sent_and_received_as_it_is(site: Site) -> None:
    queue = site.queue(is_base64=False)
    await queue.send('{"name": "Ödön"}'.encode())
    assert await taken(queue) == ['{"name": "Ödön"}'.encode()]
    with pytest.raises(ValueError, match="is no UTF-8 text"):
        await queue.send(b"\xff")


async def test_no_more_messages_are_in_hand_than_allowed(site: Site) -> None:
    queue, worker = site.queue(), Worker()
    worker.may_go.clear()
    for number in range(8):
        await queue.send(b"%d" % number)
    async with site.listening(worker, batch_size=3, new_batch_threshold=1):
        await worker.wait_for(3)
        # Three are above the threshold, so nobody asks for more: the others can be had.
        assert len(await taken(queue, timedelta(seconds=1))) == 5
        worker.may_go.set()
        await worker.wait_for(8)
    assert sorted(worker.bodies) == [b"%d" % number for number in range(8)]


async def test_message_in_hand_is_kept_hidden_for_as_long_as_it_takes(site: Site) -> None:
    queue, worker, clock = site.queue(), Worker(), VirtualClock()
    worker.may_go.clear()
    await queue.send(b"long")
    hides = 0
    hide = queue.hide

    async def counted(*arguments: object) -> object:
        nonlocal hides
        hides += 1
        return await hide(*arguments)  # type: ignore[arg-type]

    queue.hide = counted  # type: ignore[method-assign, assignment]
    async with site.listening(worker, queue=queue, clock=clock):
        await worker.wait_for(1)
        for expected in (1, 2):

            async def is_hidden_anew(expected: int = expected) -> bool:
                if hides < expected:
                    # Again and again: nobody tells when the listener begins to wait.
                    clock.advance(HIDDEN / 3)
                return hides >= expected

            await eventually(is_hidden_anew, "the message to be hidden anew")
        worker.may_go.set()
        # Deleted with the receipt of the last time; that of the first is no longer good.
        await eventually(lambda: is_empty(queue), "the message to be deleted")
    assert len(worker.seen) == 1


async def test_message_that_somebody_else_took_over_is_left_to_them(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "func_py")
    queue, worker = site.queue(), Worker()
    worker.may_go.clear()
    await queue.send(b"x")
    async with site.listening(worker):
        await worker.wait_for(1)
        await queue._client.clear_messages()
        worker.may_go.set()

        async def is_told() -> bool:
            return "was lost to another host" in caplog.text

        await eventually(is_told, "the log line")


async def test_stop_lets_what_is_in_hand_finish(site: Site) -> None:
    queue, worker = site.queue(), Worker()
    worker.may_go.clear()
    await queue.send(b"x")
    async with site.listening(worker) as listener:
        await worker.wait_for(1)
        stopping = asyncio.create_task(listener.stop(10))
        await asyncio.sleep(0)
        worker.may_go.set()
        await stopping
        assert worker.done == 1
        assert await is_empty(queue)


async def test_stop_gives_back_what_takes_too_long(site: Site) -> None:
    queue, worker = site.queue(), Worker()
    worker.may_go.clear()
    await queue.send(b"x")
    async with site.listening(worker, grace_s=0):
        await worker.wait_for(1)
    assert worker.done == 0
    assert await taken(queue) == [b"x"]


async def test_messages_are_shared_by_two_listeners_each_worked_on_once(site: Site) -> None:
    queue, one, two = site.queue(), Worker(), Worker()
    async with site.listening(one, batch_size=1), site.listening(two, batch_size=1):
        for number in range(10):
            await queue.send(b"%d" % number)
        await eventually(lambda: is_empty(queue), "all messages to be worked on")
    assert sorted(one.bodies + two.bodies) == [b"%d" % number for number in range(10)]


async def test_outage_is_told_once_and_its_end_too(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, worker = site.queue(), Worker()
    await queue.send(b"x")
    receive, failures = queue.receive, 0

    async def away(most: int, hidden: timedelta) -> list[Received]:
        nonlocal failures
        failures += 1
        if failures < 4:
            raise StorageUnavailable("The storage is away.")
        return await receive(most, hidden)

    monkeypatch.setattr(queue, "receive", away)
    async with site.listening(worker, queue=queue):
        await worker.wait_for(1)
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "The storage is away. Functions that it triggers wait."
    assert told[1].endswith("answers again.")
    assert len(told) == 2


async def test_service_that_is_away_says_what_to_do(unused_tcp_port: int) -> None:
    port = unused_tcp_port
    connections = StorageConnections(
        {
            "Mine": "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
            f"QueueEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        }
    )
    queue = Queues(connections, Wakes(), is_base64=True).queue("Mine", "abc")
    with pytest.raises(StorageUnavailable) as caught:
        await queue.send(b"x")
    assert str(caught.value) == (
        f"The storage 'Mine' at http://127.0.0.1:{port} cannot be reached: connection refused. "
        "It is the emulator: start it with `func-py azurite`."
    )
    await connections.close()


async def test_connection_that_is_no_setting_is_named() -> None:
    connections = StorageConnections({})
    with pytest.raises(ConnectionSettingError, match="'AzureWebJobsStorage' cannot be used"):
        connections.queues("")
