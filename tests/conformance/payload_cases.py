"""Cases for large payloads, which are withheld until somebody needs them: clause 32."""

from __future__ import annotations

from conformance.harness import Host, Instance, World
from msgspec.structs import replace
from support.durable_values import NOON, activity, make_start, raised, task_key

from func_py.durable.model import (
    ActivityTask,
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    Message,
    RuntimeStatus,
    SubOrchestrationCompleted,
    TaskCompleted,
)
from func_py.durable.storage.base import REUSE_FINISHED, InstanceQuery, Mail

LARGE = '"' + "ä€\\u0000" * 20_000 + '"'
"""More than any limit; JSON text with what is easily spoilt on its way."""


async def whole(host: Host, mail: Mail) -> Mail:
    """The mail as it was meant, after a look at how it came."""
    assert mail.withheld == (host.payload_limit is not None)
    if not mail.withheld:
        return mail
    assert LARGE not in str(mail.message.event)
    assert mail.token is None
    found = await host.hub.read_mail(host.lease_of(mail.message.instance_id), mail.message.id)
    assert found is not None
    assert not found.withheld
    return found


async def whole_call(host: Host, call: ActivityTask) -> ActivityTask:
    """The call as it was meant, after a look at how it came."""
    assert call.withheld == (host.payload_limit is not None)
    if not call.withheld:
        return call
    assert call.input is None
    found = await host.hub.read_activity(task_key(call))
    assert found is not None
    return found


async def large_call(host: Host) -> tuple[Instance, ActivityTask]:
    """A running instance `a` with one call, which the host holds; the mail so far is received."""
    running = await host.running("a")
    call = replace(activity(running.state, 0), input=LARGE)
    after = await host.step(running, activities=[call])
    await host.receive(1)
    return after, call


class PayloadCases:
    """Clause 32."""

    async def test_a_small_payload_is_not_withheld(self, world: World) -> None:
        host = await world.owner()
        await host.create("a")
        [mail] = await host.receive(1)
        assert not mail.withheld

    async def test_the_owner_reads_a_large_event_of_another_host(self, world: World) -> None:
        owner, client = await world.owner(), await world.host()
        await client.create("a")
        message = raised("a", input=LARGE)
        await client.hub.send([message])
        _, mail = await owner.receive(2)
        assert (await whole(owner, mail)).message == message

    async def test_the_next_owner_reads_what_was_large(self, world: World) -> None:
        first = await world.owner()
        await first.create("a")
        message = raised("a", input=LARGE)
        await first.hub.send([message])
        await first.release()
        await first.hub.close()
        second = await world.host()
        found = await second.take("a")
        [mail] = [mail for mail in found.mail if mail.message.id == message.id]
        assert (await whole(second, mail)).message == message

    async def test_everything_of_an_event_but_its_payload_is_delivered(self, world: World) -> None:
        host = await world.owner()
        await host.create("a")
        sent: list[HistoryEvent] = [
            EventRaised(timestamp=NOON, message_id="1", name="go", input=LARGE),
            TaskCompleted(timestamp=NOON, message_id="2", task_id=7, result=LARGE),
            SubOrchestrationCompleted(timestamp=NOON, message_id="3", task_id=8, result=LARGE),
        ]
        await host.hub.send([Message(id=e.message_id, instance_id="a", event=e) for e in sent])
        _, *mail = await host.receive(4)
        if host.payload_limit is not None:
            assert [m.message.event for m in mail] == [
                replace(sent[0], input=None),
                replace(sent[1], result=None),
                replace(sent[2], result=None),
            ]
        assert [(await whole(host, m)).message.event for m in mail] == sent

    async def test_a_large_start_is_read_with_its_token(self, world: World) -> None:
        host = await world.owner()
        state, start = make_start("a", input=LARGE)
        await host.hub.create_instance(state, start, REUSE_FINISHED)
        [mail] = await host.receive(1)
        assert isinstance(mail.message.event, ExecutionStarted)
        found = await whole(host, mail)
        assert found.message == start
        assert found.token in (None, await host.token("a"))
        after = await host.commit(
            host.turn(Instance(state, start, await host.token("a")), consumed=[start.id])
        )
        assert after == await host.token("a")
        assert (await host.load("a")).state.input == LARGE

    async def test_what_a_turn_has_consumed_is_not_read_any_more(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        message = raised("a", input=LARGE)
        await host.hub.send([message])
        await host.receive(2)
        await host.step(running, consumed=[message.id])
        assert await host.hub.read_mail(host.lease_of("a"), message.id) is None

    async def test_a_large_input_of_an_activity_is_read_by_the_next_owner(
        self, world: World
    ) -> None:
        first = await world.owner()
        _, call = await large_call(first)
        await first.release()
        await first.hub.close()
        second = await world.host()
        [found] = (await second.take("a")).activities
        assert (await whole_call(second, found)).input == call.input

    async def test_a_large_input_of_an_activity_is_read_by_who_claims_it(
        self, world: World
    ) -> None:
        owner, other = await world.owner(), await world.host()
        _, call = await large_call(owner)
        await owner.hub.offer_activities([call])
        [found] = await other.hub.claim_activities(["say"], 1)
        assert await whole_call(other, found) == call

    async def test_what_a_turn_has_taken_is_not_read_any_more(self, world: World) -> None:
        host = await world.owner()
        after, call = await large_call(host)
        if host.payload_limit is not None:
            assert await host.hub.read_activity(task_key(call)) == call
        await host.step(after, taken=[task_key(call)])
        assert await host.hub.read_activity(task_key(call)) is None

    async def test_a_large_result_of_another_host_is_read_by_the_owner(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, call = await large_call(owner)
        await owner.hub.offer_activities([call])
        await other.hub.claim_activities(["say"], 1)
        event = TaskCompleted(timestamp=NOON, message_id="r", task_id=0, result=LARGE)
        result = Message(id="r", instance_id="a", event=event, execution_id=call.execution_id)
        assert await other.hub.complete_activity(task_key(call), result)
        [mail] = await owner.receive(1)
        assert (await whole(owner, mail)).message == result

    async def test_records_are_read_with_large_payloads(self, world: World) -> None:
        host = await world.owner()
        finished = await self.finished(host)
        assert await host.hub.get_instance("a") == finished.state
        page = await host.hub.query_instances(InstanceQuery())
        assert list(page.items) == [finished.state]

    async def test_a_query_can_do_without_large_payloads(self, world: World) -> None:
        host = await world.owner()
        state = (await self.finished(host)).state
        [listed] = (await host.hub.query_instances(InstanceQuery(inputs=False))).items
        assert replace(listed, input=LARGE) == state
        [listed] = (await host.hub.query_instances(InstanceQuery(outputs=False))).items
        assert replace(listed, output=LARGE) == state
        if host.payload_limit is not None:
            [listed] = (
                await host.hub.query_instances(InstanceQuery(inputs=False, outputs=False))
            ).items
            assert (listed.input, listed.output) == (None, None)

    async def test_a_large_output_goes_with_the_turn_that_takes_it_back(self, world: World) -> None:
        host = await world.owner()
        finished = await self.finished(host)
        state = replace(finished.state, output=None)
        await host.step(finished._replace(state=state))
        assert (await host.load("a")).state.output is None

    async def finished(self, host: Host) -> Instance:
        """An instance `a` with a large input and a large output."""
        state, start = make_start("a", input=LARGE)
        await host.hub.create_instance(state, start, REUSE_FINISHED)
        new = Instance(state, start, await host.token("a"))
        return await host.step(new, status=RuntimeStatus.FAILED, consumed=[start.id], output=LARGE)
