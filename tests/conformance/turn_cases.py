"""Cases for `commit`: clauses 4 to 9, 13 and 14."""

from __future__ import annotations

import asyncio

from conformance.harness import PARTITIONS, Host, World, ids_in_different_partitions
from msgspec.structs import replace
from support.durable_values import (
    activity,
    at,
    make_start,
    make_turn,
    raised,
    scheduled,
    start_message,
    task_key,
    timer,
)

from func_py.durable.model import (
    EntityRequest,
    EntityState,
    LockTarget,
    RuntimeStatus,
    partition_of,
    pending_state,
)
from func_py.durable.model.events import ExecutionStarted
from func_py.durable.storage.base import REUSE_ANY, Committed, Lost, LostReason, Recovered

COMPLETED = RuntimeStatus.COMPLETED


async def everything_of(host: Host, instance_id: str) -> Recovered:
    """What is stored for the partition of an instance, after a hand-over to ourselves."""
    await host.hub.release([host.lease_of(instance_id)])
    return await host.take(instance_id)


class CommitCases:
    """Clauses 4 and 9."""

    async def test_a_turn_is_stored_whole(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        extra = raised("a")
        await host.hub.send([extra])
        sent = raised("a")
        after = await host.step(
            running,
            events=scheduled(1, 2),
            consumed=[extra.id],
            activities=[activity(running.state, 3)],
            timers=[timer(running.state, 4, at(60))],
            messages=[sent],
        )
        assert await host.hub.get_instance("a") == after.state
        assert await host.history("a") == scheduled(3)
        found = await everything_of(host, "a")
        assert [m.message for m in found.mail] == [sent]
        if not world.harness.uses_queues:
            assert list(found.timers) == [timer(running.state, 4, at(60))]
        assert [task_key(task) for task in found.activities] == [
            task_key(activity(running.state, 3))
        ]

    async def test_a_lost_turn_changes_nothing(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        other = await host.running("b")
        extra = raised("a")
        await host.hub.send([extra])
        turn = host.turn(
            running,
            events=scheduled(1, 2),
            consumed=[extra.id, "not stored"],
            activities=[activity(running.state, 3)],
            timers=[timer(running.state, 4, at(60))],
            messages=[raised("b"), start_message("child")],
        )
        assert await host.lost(turn) is LostReason.MISSING
        assert await host.hub.get_instance("a") == running.state
        assert await host.history("a") == scheduled(2)
        assert await host.hub.get_instance("child") is None
        assert await host.pending("b") == []
        found = await everything_of(host, "a")
        assert [m.message for m in found.mail] == [extra]
        assert (list(found.timers), list(found.activities)) == ([], [])
        assert other.token == await host.token("b")

    async def test_answers_come_per_turn_and_in_order(self, world: World) -> None:
        host = await world.owner()
        good, stale, missing = [await host.running(i) for i in ("a", "b", "c")]
        await host.step(stale)
        turns = [
            host.turn(stale),
            host.turn(good, events=scheduled(1, 2)),
            host.turn(missing, consumed=["not stored"]),
        ]
        answers = await host.answers(turns)
        assert [a.reason if isinstance(a, Lost) else type(a) for a in answers] == [
            LostReason.STALE,
            Committed,
            LostReason.MISSING,
        ]
        assert await host.history("a") == scheduled(3)

    async def test_what_is_written_beside_a_lost_turn_is_stored(self, world: World) -> None:
        host = await world.owner()
        stale = await host.running("a")
        done = await host.running("b")
        await host.step(done, status=COMPLETED)
        await host.step(stale)
        message = raised("a")
        reason, written, purged, _ = await asyncio.gather(
            host.lost(host.turn(stale)),
            host.hub.write_record("key", "value", 0),
            host.hub.purge("b"),
            host.hub.send([message]),
        )
        assert (reason, written, purged) == (LostReason.STALE, True, True)
        assert await host.hub.read_record("key") is not None
        assert await host.hub.get_instance("b") is None
        assert await host.pending("a") == [message]

    async def test_no_turns_no_answers(self, world: World) -> None:
        host = await world.owner()
        assert list(await host.hub.commit([])) == []

    async def test_turns_committed_at_once_by_several_calls_are_all_stored(
        self, world: World
    ) -> None:
        host = await world.owner()
        instances = [await host.running(f"i{number}") for number in range(20)]
        await asyncio.gather(*(host.step(i, events=scheduled(1, 2)) for i in instances))
        histories = [await host.history(i.state.instance_id) for i in instances]
        assert histories == [scheduled(3)] * 20

    async def test_a_committed_turn_outlives_the_process(self, world: World) -> None:
        """Clause 9."""
        host = await world.owner()
        running = await host.running("a")
        await host.die()
        later = await world.host()
        assert await later.hub.get_instance("a") == running.state
        assert await later.history("a") == scheduled(2)

    async def test_the_token_of_a_committed_turn_fences_the_next(self, world: World) -> None:
        host = await world.owner()
        instance = await host.running("a")
        for number in range(3):
            instance = await host.step(instance, events=scheduled(1, 2 + number))
        assert await host.history("a") == scheduled(5)

    async def test_what_an_instance_was_started_with_may_change(self, world: World) -> None:
        """Continue-as-new brings a new input, an entity a new state."""
        host = await world.owner()
        running = await host.running("a")
        changed = replace(running.state, input='"other"', execution_id="next")
        after = await host.step(
            running._replace(state=changed), events=scheduled(1), replaces_history=True
        )
        assert await host.hub.get_instance("a") == after.state

    async def test_a_message_is_delivered_after_its_turn(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        [first] = await host.receive(1)
        message = raised("a")
        await host.step(running, messages=[message])
        assert first.message.id == running.start.id
        assert await host.receive_texts(1) == [message.id]

    async def test_a_turn_s_message_for_nobody_is_dropped(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        await host.step(running, events=scheduled(1, 2), messages=[raised("nobody")])
        assert await host.history("a") == scheduled(3)
        assert await host.pending("nobody") == []


class ChildCases:
    """A turn's start message begins an instance (clause 4)."""

    async def test_a_child_is_pending_once_its_parent_s_turn_is_stored(self, world: World) -> None:
        host = await world.owner()
        parent = await host.running("a")
        start = start_message("child")
        await host.step(parent, messages=[start])
        assert isinstance(start.event, ExecutionStarted)
        assert await host.hub.get_instance("child") == pending_state("child", start.event)
        assert await host.pending("child") == [start]

    async def test_a_finished_instance_is_replaced_by_a_child(self, world: World) -> None:
        host = await world.owner()
        old = await host.running("child")
        await host.step(old, status=COMPLETED)
        parent = await host.running("a")
        start = start_message("child")
        await host.step(parent, messages=[start])
        assert await host.history("child") == []
        assert await host.pending("child") == [start]

    async def test_beside_a_live_instance_the_start_is_only_a_message(self, world: World) -> None:
        """Its owner answers the parent."""
        host = await world.owner()
        live = await host.running("child")
        parent = await host.running("a")
        start = start_message("child")
        await host.step(parent, events=scheduled(1, 2), messages=[start])
        assert await host.hub.get_instance("child") == live.state
        assert await host.pending("child") == [start]

    async def test_two_starts_of_one_id_in_a_turn_begin_the_first(self, world: World) -> None:
        host = await world.owner()
        parent = await host.running("a")
        first, second = start_message("child"), start_message("child")
        await host.step(parent, messages=[first, second])
        state = await host.hub.get_instance("child")
        assert state is not None
        assert state.execution_id == first.execution_id
        assert await host.pending("child") == [first, second]


class FenceCases:
    """Clauses 5 to 7."""

    async def test_a_turn_under_a_lease_that_moved_on_is_lost(self, world: World) -> None:
        host, other = await world.owner(), await world.host()
        running = await host.running("a")
        turn = host.turn(running, events=scheduled(1, 2))
        await host.release()
        assert await host.lost(turn) is LostReason.FENCED
        await other.take("a")
        assert await host.lost(turn) is LostReason.FENCED
        assert await other.history("a") == scheduled(2)

    async def test_an_old_lease_is_no_good_after_a_new_one(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        turn = host.turn(running)
        await everything_of(host, "a")
        assert await host.lost(turn) is LostReason.FENCED

    async def test_a_host_taken_for_dead_is_fenced(self, world: World) -> None:
        host, other = await world.owner(), await world.host()
        running = await host.running("a")
        await host.die()
        await other.take("a")
        next_turn = make_turn(other.lease_of("a"), running.token, running.state)
        await other.commit(next_turn)

    async def test_the_new_owner_goes_on_with_a_loaded_token(self, world: World) -> None:
        host, other = await world.owner(), await world.host()
        await host.running("a")
        await host.release()
        await other.take("a")
        loaded = await other.load("a")
        turn = make_turn(other.lease_of("a"), loaded.token, loaded.state, events=scheduled(1, 2))
        await other.commit(turn)
        assert await other.history("a") == scheduled(3)

    async def test_a_token_is_good_for_one_turn(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        await host.step(running)
        assert await host.lost(host.turn(running)) is LostReason.STALE

    async def test_a_turn_of_a_replaced_instance_is_lost(self, world: World) -> None:
        host, client = await world.owner(), await world.host()
        running = await host.running("a")
        new = await client.create("a", reusable=REUSE_ANY)
        turn = host.turn(running, events=scheduled(1, 2))
        assert await host.lost(turn) is LostReason.STALE
        assert await host.hub.get_instance("a") == new.state
        assert await host.history("a") == []

    async def test_a_replacement_before_the_first_turn_is_noticed(self, world: World) -> None:
        host, client = await world.owner(), await world.host()
        first = await host.create("a")
        await client.create("a", reusable=REUSE_ANY)
        turn = host.turn(first, events=scheduled(1))
        assert await host.lost(turn) is LostReason.STALE

    async def test_a_token_is_no_good_for_a_successor_made_by_a_later_host(
        self, world: World
    ) -> None:
        first = await world.owner()
        old = await first.create("a")
        await first.hub.close()
        later = await world.owner()
        new = await later.create("a", reusable=REUSE_ANY)
        assert await later.lost(later.turn(old)) is LostReason.STALE
        assert await later.hub.get_instance("a") == new.state

    async def test_the_start_mail_of_a_new_instance_has_its_token(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        [mail] = await host.receive(1)
        # A weak provider may leave it out; then the owner loads.
        assert mail.token == (None if world.harness.loses_turns else new.token)

    async def test_a_turn_without_token_creates_the_instance(self, world: World) -> None:
        host = await world.owner()
        state, _ = make_start("@counter@a")
        waits = EntityRequest(id="r", parent="p", lock_set=(LockTarget("counter", "b"),))
        entity = EntityState(
            exists=True, state="1", recent=("m1", "m2"), locked_by="q", queue=(waits,)
        )
        state = replace(state, entity=entity)
        lease = host.lease_of("@counter@a")
        turn = make_turn(lease, None, state, events=scheduled(1), messages=[raised("@counter@b")])
        token = await host.commit(turn)
        assert await host.hub.get_instance("@counter@a") == turn.state
        assert await host.token("@counter@a") == token

    async def test_a_turn_without_token_is_lost_when_the_instance_exists(
        self, world: World
    ) -> None:
        host = await world.owner()
        running = await host.running("a")
        turn = host.turn(running._replace(token=None), events=scheduled(1))
        assert await host.lost(turn) is LostReason.STALE
        assert await host.history("a") == scheduled(2)

    async def test_a_turn_without_events_still_moves_the_fence(self, world: World) -> None:
        """Entities have no history."""
        host = await world.owner()
        running = await host.running("a")
        await host.step(running)
        assert await host.lost(host.turn(running)) is LostReason.STALE

    async def test_a_message_is_consumed_once(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        turn = host.turn(running, events=scheduled(1, 2), consumed=[running.start.id])
        assert await host.lost(turn) is LostReason.MISSING

    async def test_an_activity_is_taken_once(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        call = activity(running.state, 1)
        running = await host.step(running, activities=[call])
        running = await host.step(running, taken=[task_key(call)])
        turn = host.turn(running, taken=[task_key(call)])
        assert await host.lost(turn) is LostReason.MISSING


class RejectionCases:
    """Clause 8."""

    async def test_a_value_that_cannot_be_stored_loses_its_turn_only(self, world: World) -> None:
        host = await world.owner()
        bad, good = [await host.running(i) for i in ("a", "b")]
        turns = [host.turn(bad, output="\ud800"), host.turn(good, events=scheduled(1, 2))]
        answers = await asyncio.gather(*(host.answer(turn) for turn in turns))
        assert [type(a) for a in answers] == [Lost, Committed]
        assert isinstance(answers[0], Lost)
        assert answers[0].reason is LostReason.REJECTED
        assert answers[0].detail
        assert await host.history("b") == scheduled(3)

    async def test_a_row_that_the_store_refuses_loses_its_turn_only(self, world: World) -> None:
        host = await world.owner()
        ids = ids_in_different_partitions(3)
        first, bad, last = [await host.running(i) for i in ids]
        call = activity(bad.state, 1)
        turns = [
            host.turn(first, events=scheduled(1, 2)),
            host.turn(bad, events=scheduled(1, 2), activities=[call, call]),
            host.turn(last, events=scheduled(1, 2)),
        ]
        answers = await asyncio.gather(*(host.answer(turn) for turn in turns))
        assert [a.reason if isinstance(a, Lost) else type(a) for a in answers] == [
            Committed,
            LostReason.REJECTED,
            Committed,
        ]
        assert [len(await host.history(i)) for i in ids] == [3, 2, 3]

    async def test_an_instance_goes_on_after_a_rejected_turn(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        turn = host.turn(running, output="\ud800")
        assert await host.lost(turn) is LostReason.REJECTED
        await host.step(running, events=scheduled(1, 2))
        assert await host.history("a") == scheduled(3)


class TimerCases:
    """Clause 13."""

    async def test_timers_come_for_a_span_of_time(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        timers = [timer(running.state, number, at(number)) for number in range(5)]
        await host.step(running, timers=timers)
        lease = host.lease_of("a")
        assert list(await host.hub.timers(lease, at(1), at(3))) == timers[1:3]

    async def test_timers_of_other_partitions_are_left_out(self, world: World) -> None:
        host = await world.owner()
        ids = ids_in_different_partitions(2)
        instances = [await host.running(i) for i in ids]
        mine, other = [timer(i.state, 1, at(1)) for i in instances]
        await host.step(instances[0], timers=[mine])
        await host.step(instances[1], timers=[other])
        assert list(await host.hub.timers(host.lease_of(ids[0]), at(0), at(9))) == [mine]

    async def test_a_timer_that_fired_or_was_cancelled_is_gone(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        timers = [timer(running.state, number, at(number)) for number in range(3)]
        running = await host.step(running, timers=timers)
        await host.step(running, ended_timers=[0, 2, 77])
        assert list(await host.hub.timers(host.lease_of("a"), at(0), at(9))) == timers[1:2]

    async def test_timers_end_with_the_instance(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        running = await host.step(running, timers=[timer(running.state, 1, at(1))])
        await host.step(running, status=COMPLETED)
        assert list(await host.hub.timers(host.lease_of("a"), at(0), at(9))) == []

    async def test_timers_end_with_the_execution(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        running = await host.step(running, timers=[timer(running.state, 1, at(1))])
        state = replace(running.state, execution_id="next")
        own = timer(state, 1, at(2))
        await host.step(running._replace(state=state), replaces_history=True, timers=[own])
        assert list(await host.hub.timers(host.lease_of("a"), at(0), at(9))) == [own]


class ActivityCases:
    """Clause 14."""

    async def test_activities_of_other_executions_stay_when_one_is_taken(
        self, world: World
    ) -> None:
        host = await world.owner()
        running = await host.running("a")
        calls = [activity(running.state, number) for number in range(3)]
        running = await host.step(running, activities=calls)
        await host.step(running, taken=[task_key(calls[1])])
        found = await everything_of(host, "a")
        assert [task.task_id for task in found.activities] == [0, 2]

    async def test_activities_outlive_an_instance_that_completed(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        running = await host.step(running, activities=[activity(running.state, 1)])
        await host.step(running, status=COMPLETED)
        found = await everything_of(host, "a")
        assert [task.task_id for task in found.activities] == [1]

    async def test_dropped_activities_are_gone(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        calls = [activity(running.state, number) for number in range(3)]
        running = await host.step(running, activities=calls)
        await host.step(
            running,
            status=RuntimeStatus.TERMINATED,
            taken=[task_key(calls[0])],
            drop_activities=True,
        )
        assert list((await everything_of(host, "a")).activities) == []

    async def test_a_wide_fan_out_is_stored_and_taken(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        calls = [activity(running.state, number) for number in range(1300)]
        running = await host.step(running, events=scheduled(1300, 2), activities=calls)
        found = await everything_of(host, "a")
        assert sorted(task.task_id for task in found.activities) == list(range(1300))
        await host.step(running, taken=[task_key(call) for call in calls])
        assert list((await everything_of(host, "a")).activities) == []

    async def test_the_partition_of_an_instance_is_the_same_everywhere(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        [mail] = await host.receive(1)
        assert mail.message == new.start
        assert mail.partition == partition_of("a", PARTITIONS)
