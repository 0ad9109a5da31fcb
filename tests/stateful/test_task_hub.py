"""Two hosts do anything to a task hub, in any order; a model of plain lists says what must be.

The invariants are the clauses of the contract in `func_py.durable.storage.base`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from conformance.harness import Harness
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.durable_values import (
    NOON,
    activity,
    at,
    make_start,
    make_turn,
    raised,
    scheduled,
    task_key,
    timer,
)
from support.postgres_harness import PostgresHarness
from support.postgres_server import PostgresServer
from support.sqlite_harness import POLL, SqliteHarness

from func_py.durable.model import (
    ActivityTask,
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    new_id,
    partition_of,
)
from func_py.durable.storage.base import (
    REUSE_ANY,
    REUSE_FINISHED,
    Committed,
    HostRecord,
    InstanceQuery,
    Lease,
    Lost,
    LostReason,
    Record,
    TaskHub,
    TaskKey,
    Token,
    Turn,
)
from func_py.errors import InstanceAlreadyExists, InstanceNotFinished, LeaseLost

T = TypeVar("T")

PARTITIONS = 2
INSTANCES = ["a", "b", "c", "@e@1"]
KEYS = ["x", "y"]
NAME = "Say"
WRONG_LEASE = Lease(0, 10_000)

ids = st.sampled_from(INSTANCES)
hosts = st.sampled_from([0, 1])
keys = st.sampled_from(KEYS)


@dataclass
class Call:
    """A stored activity. `holder` is a host's place in the list, None when nobody alive has it."""

    attempt: int
    holder: int | None
    is_offered: bool = False
    is_orphan: bool = False
    """Its holder died."""


@dataclass
class Instance:
    """What the store must hold of one instance; `state` None when there is none."""

    state: InstanceState | None = None
    token: Token = None
    old_token: Token = None
    history: list[HistoryEvent] = field(default_factory=list)
    mail: list[str] = field(default_factory=list)
    """Ids of pending messages in stored order."""
    calls: dict[TaskKey, Call] = field(default_factory=dict)
    """Activities that are stored."""
    timers: set[int] = field(default_factory=set)


@dataclass
class Host:
    """One host: its view of the hub, its leases, the mail it got under them."""

    hub: TaskHub
    leases: dict[int, Lease] = field(default_factory=dict)
    old_leases: list[Lease] = field(default_factory=list)
    delivered: dict[str, list[str]] = field(default_factory=dict)


class HubMachine(RuleBasedStateMachine):
    """The real hub beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.harness = self.new_harness(Path(self.directory.name))
        self.instances = {instance_id: Instance() for instance_id in INSTANCES}
        self.hosts: list[Host] = []
        self.next_task = 0
        self.records: dict[str, Record | None] = dict.fromkeys(KEYS)
        self.last_versions = dict.fromkeys(KEYS, 0)
        self.holders: dict[str, int] = {}

    def new_harness(self, directory: Path) -> Harness:
        """The provider, with an empty store."""
        return SqliteHarness(directory)

    def run(self, work: Awaitable[T]) -> T:
        """Run something on the loop."""
        return self.runner.run(asyncio.wait_for(work, 20))

    @initialize()
    def open(self) -> None:
        """Two hosts, nothing owned."""
        self.hosts = [self.run(self.opened()) for _ in range(2)]

    async def opened(self) -> Host:
        hub = self.harness.hub(partition_count=PARTITIONS)
        await hub.create_hub()
        await hub.open(HostRecord(host_id=new_id(), started_at=NOON))
        return Host(hub)

    # ---- client ----------------------------------------------------------------------------

    @rule(who=hosts, instance_id=ids, any_state=st.booleans())
    def create(self, who: int, instance_id: str, any_state: bool) -> None:
        """Clause 1."""
        if instance_id.startswith("@"):
            return
        known = self.instances[instance_id]
        reusable = REUSE_ANY if any_state else REUSE_FINISHED
        state, start = make_start(instance_id)
        free = known.state is None or known.state.status in reusable
        try:
            self.run(self.hosts[who].hub.create_instance(state, start, reusable))
        except InstanceAlreadyExists:
            assert not free
        else:
            assert free
            self.begin(instance_id, state, start)

    def begin(self, instance_id: str, state: InstanceState, start: Message) -> None:
        loaded = self.run(self.hosts[0].hub.load(instance_id))
        assert loaded is not None
        old = self.instances[instance_id]
        self.instances[instance_id] = Instance(
            state=state, token=loaded.token, old_token=old.token, mail=[start.id]
        )

    @rule(who=hosts, recipients=st.lists(ids, max_size=4), again=st.booleans())
    def send(self, who: int, recipients: list[str], again: bool) -> None:
        """Clause 3."""
        messages = [raised(instance_id) for instance_id in recipients]
        for instance_id in set(recipients) if again else ():
            if self.instances[instance_id].mail:
                repeated = self.instances[instance_id].mail[-1]
                messages.append(raised(instance_id, id=repeated))
        self.run(self.hosts[who].hub.send(messages))
        for message in messages:
            self.posted(message)

    def posted(self, message: Message) -> None:
        known = self.instances[message.instance_id]
        exists = known.state is not None or message.instance_id.startswith("@")
        if exists and message.id not in known.mail:
            known.mail.append(message.id)

    @rule(who=hosts, instance_id=ids)
    def purge(self, who: int, instance_id: str) -> None:
        """Clause 15."""
        known = self.instances[instance_id]
        try:
            purged = self.run(self.hosts[who].hub.purge(instance_id))
        except InstanceNotFinished:
            assert known.state is not None
            assert not known.state.status.is_terminal
        else:
            assert purged is (known.state is not None)
            if purged:
                assert known.state is not None
                assert known.state.status.is_terminal
                mail = known.mail if instance_id.startswith("@") else []
                self.instances[instance_id] = Instance(old_token=known.token, mail=mail)

    # ---- owner -----------------------------------------------------------------------------

    @rule(who=hosts, partitions=st.sets(st.sampled_from(range(PARTITIONS)), min_size=1))
    def acquire(self, who: int, partitions: set[int]) -> None:
        """Clauses 11 and 12."""
        host = self.hosts[who]
        held = {p for other in self.hosts for p in other.leases}
        leases = self.run(host.hub.acquire(partitions))
        assert {lease.partition for lease in leases} == partitions - held
        old_leases = [old for other in self.hosts for old in other.old_leases]
        for lease in leases:
            assert lease not in old_leases
            self.recover(who, lease)

    def recover(self, who: int, lease: Lease) -> None:
        host = self.hosts[who]
        found = self.run(host.hub.recover(lease, at(1000)))
        mail: dict[str, list[str]] = {}
        for message in (m.message for m in found.mail):
            mail.setdefault(message.instance_id, []).append(message.id)
        attempts = {task_key(task): task.attempt for task in found.activities}
        timers = {(t.instance_id, t.task_id) for t in found.timers}
        for instance_id, known in self.instances.items():
            if partition_of(instance_id, PARTITIONS) == lease.partition:
                assert mail.pop(instance_id, []) == known.mail
                for key, call in known.calls.items():
                    if call.holder in (None, who):
                        known.calls[key] = Call(call.attempt + 1, who)
                        assert attempts.pop(key) == call.attempt + 1
                expected = {(instance_id, task_id) for task_id in known.timers}
                assert {t for t in timers if t[0] == instance_id} == expected
                host.delivered[instance_id] = list(known.mail)
        assert (mail, attempts) == ({}, {})
        host.leases[lease.partition] = lease

    @rule(who=hosts)
    def release(self, who: int) -> None:
        """Clause 11."""
        host = self.hosts[who]
        self.run(host.hub.release([*host.leases.values(), *host.old_leases]))
        for key, call in self.stored_calls():
            if call.holder == who and partition_of(key.instance_id, PARTITIONS) in host.leases:
                call.holder = None
        self.forget_leases(host)

    def stored_calls(self) -> list[tuple[TaskKey, Call]]:
        return [item for known in self.instances.values() for item in known.calls.items()]

    def forget_leases(self, host: Host) -> None:
        host.old_leases += host.leases.values()
        host.leases.clear()
        host.delivered.clear()

    @rule(who=hosts, dies=st.booleans())
    def end(self, who: int, dies: bool) -> None:
        """Clauses 9 and 21: a host is closed or killed, another one starts."""
        host = self.hosts[who]
        self.run(self.harness.die(host.hub) if dies else host.hub.close())
        self.forget_leases(host)
        self.hosts[who] = self.run(self.opened())
        self.hosts[who].old_leases = host.old_leases
        for _, call in self.stored_calls():
            if call.holder == who:
                call.holder, call.is_orphan = None, dies
        self.holders = {key: holder for key, holder in self.holders.items() if holder != who}
        assert len(self.run(self.hosts[who].hub.hosts())) == 2

    @rule(who=hosts, instance_id=ids)
    def discard(self, who: int, instance_id: str) -> None:
        """Clauses 2 and 14."""
        host = self.hosts[who]
        known = self.instances[instance_id]
        lease = host.leases.get(partition_of(instance_id, PARTITIONS))
        mail, calls = known.mail[:1], list(known.calls)[:1]
        try:
            self.run(host.hub.discard(lease or WRONG_LEASE, mail, calls))
        except LeaseLost:
            assert lease is None
        else:
            assert lease is not None
            del known.mail[:1]
            for key in calls:
                del known.calls[key]

    # ---- activities on other hosts ---------------------------------------------------------

    @rule(who=hosts, instance_id=ids, count=st.integers(1, 3))
    def offer(self, who: int, instance_id: str, count: int) -> None:
        """Clause 24: also what is not ours to offer."""
        known = self.instances[instance_id]
        chosen = list(known.calls.items())[:count]
        tasks = [
            ActivityTask(
                instance_id=instance_id,
                execution_id=key.execution_id,
                task_id=key.task_id,
                name=NAME,
            )
            for key, _ in chosen
        ]
        self.run(self.hosts[who].hub.offer_activities(tasks))
        for _, call in chosen:
            if call.holder == who:
                call.holder, call.is_offered = None, True

    @precondition(lambda self: any(call.is_offered for _, call in self.stored_calls()))
    @rule(who=hosts, limit=st.integers(1, 3))
    def claim(self, who: int, limit: int) -> None:
        """Clause 24."""
        offered = {key: call for key, call in self.stored_calls() if call.is_offered}
        claimed = self.run(self.hosts[who].hub.claim_activities([NAME.lower()], limit))
        assert len(claimed) == min(limit, len(offered))
        for task in claimed:
            call = offered.pop(task_key(task))
            assert task.attempt == call.attempt
            call.holder, call.is_offered = who, False

    @precondition(lambda self: self.stored_calls())
    @rule(who=hosts, data=st.data())
    def complete(self, who: int, data: st.DataObject) -> None:
        """Clause 25."""
        key, call = data.draw(st.sampled_from(self.stored_calls()))
        result = raised(key.instance_id)
        stored = self.run(self.hosts[who].hub.complete_activity(key, result))
        assert stored is (call.holder == who)
        if stored:
            del self.instances[key.instance_id].calls[key]
            self.posted(result)

    @rule(who=hosts, partition=st.sampled_from(range(PARTITIONS)))
    def take_back(self, who: int, partition: int) -> None:
        """Clause 26."""
        host = self.hosts[who]
        lease = host.leases.get(partition)
        try:
            back = self.run(host.hub.take_back_activities(lease or WRONG_LEASE))
        except LeaseLost:
            assert lease is None
            return
        assert lease is not None
        attempts = {task_key(task): task.attempt for task in back}
        for key, call in self.stored_calls():
            if call.holder is None and partition_of(key.instance_id, PARTITIONS) == partition:
                call.holder, call.is_offered = who, False
                call.attempt += call.is_orphan
                call.is_orphan = False
                assert attempts.pop(key) == call.attempt
        assert attempts == {}

    # ---- records ---------------------------------------------------------------------------

    @rule(who=hosts, key=keys, age=st.sampled_from([0, 0, 1]), deletes=st.booleans())
    def change_record(self, who: int, key: str, age: int, deletes: bool) -> None:
        """Clause 22."""
        known = self.records[key]
        version = known.version - age if known else age
        free = self.holders.get(key, who) == who and (
            version == known.version if known else not age
        )
        hub = self.hosts[who].hub
        if deletes:
            assert self.run(hub.delete_record(key, version)) is (free and known is not None)
            self.records[key] = None if free else known
            return
        assert self.run(hub.write_record(key, new_id(), version)) is free
        if free:
            self.records[key] = written = self.run(hub.read_record(key))
            assert written is not None
            assert written.version > self.last_versions[key]
            self.last_versions[key] = written.version

    @rule(who=hosts, key=keys)
    def hold(self, who: int, key: str) -> None:
        """Clause 23."""
        held = self.run(self.hosts[who].hub.hold_record(key))
        assert held is (self.holders.get(key, who) == who)
        if held:
            self.holders[key] = who

    @rule(who=hosts, key=keys)
    def release_hold(self, who: int, key: str) -> None:
        """Clause 23."""
        self.run(self.hosts[who].hub.release_record(key))
        if self.holders.get(key) == who:
            del self.holders[key]

    # ---- turns -----------------------------------------------------------------------------

    @precondition(lambda self: any(host.leases for host in self.hosts))
    @rule(who=hosts, data=st.data())
    def commit(self, who: int, data: st.DataObject) -> None:
        """Clauses 4 to 8: good and bad turns of several instances together."""
        host = self.hosts[who]
        chosen = data.draw(st.lists(ids, unique=True, min_size=1))
        planned = [(i, *self.plan(host, i, data)) for i in chosen]
        answers = self.run(host.hub.commit([turn for _, turn, _ in planned]))
        assert len(answers) == len(planned)
        for (instance_id, turn, expected), answer in zip(planned, answers, strict=True):
            if expected is None:
                assert isinstance(answer, Committed), answer
                self.committed(who, instance_id, turn, answer.token)
            else:
                assert isinstance(answer, Lost)
                assert answer.reason is expected
        # After all of them: a turn may send to an instance that another one of them creates.
        for (_, turn, _), answer in zip(planned, answers, strict=True):
            for message in turn.messages if isinstance(answer, Committed) else ():
                self.posted(message)

    def plan(
        self, host: Host, instance_id: str, data: st.DataObject
    ) -> tuple[Turn, LostReason | None]:
        """A turn, and why it must be lost."""
        known = self.instances[instance_id]
        lease = host.leases.get(partition_of(instance_id, PARTITIONS))
        state = known.state or make_start(instance_id)[0]
        flaw = data.draw(st.sampled_from([None, None, None, *LostReason]))
        token = known.token
        expected = flaw
        if known.state is None and not instance_id.startswith("@"):
            # Nobody runs an instance that is not there; a token of its past is stale.
            token, expected = known.old_token, LostReason.STALE
            if token is None:
                lease = None
        elif flaw is LostReason.STALE:
            token = known.old_token
            if token is None and known.state is None:
                expected = None
        old = [old for old in host.old_leases if old.partition == partition_of(instance_id, 2)]
        if lease is None or flaw is LostReason.FENCED:
            lease = old[-1] if old else WRONG_LEASE
            expected = LostReason.FENCED
        consumed = known.mail[: data.draw(st.integers(0, 3))]
        if flaw is LostReason.MISSING:
            consumed = [*consumed, "not stored"]
        taken = list(known.calls)[: data.draw(st.integers(0, 1))]
        status = data.draw(st.sampled_from([RuntimeStatus.RUNNING] * 3 + [RuntimeStatus.COMPLETED]))
        tasks = range(self.next_task, self.next_task + data.draw(st.integers(0, 2)))
        self.next_task += 2
        turn = make_turn(
            lease,
            token,
            state,
            status=status,
            events=scheduled(data.draw(st.integers(0, 2)), len(known.history)),
            replaces_history=token is not None and data.draw(st.booleans()),
            consumed=consumed,
            taken=taken,
            activities=[activity(state, task) for task in tasks],
            timers=[]
            if status.is_terminal
            else [timer(state, task, at(task % 900)) for task in tasks],
            ended_timers=list(known.timers)[:1],
            messages=[raised(target) for target in data.draw(st.lists(ids, max_size=2))],
            drop_activities=token is not None and data.draw(st.booleans()),
            output="\ud800" if flaw is LostReason.REJECTED else None,
        )
        # The first thing wrong decides, in the order in which a hub finds out.
        return turn, flaw if flaw is LostReason.REJECTED else expected

    def committed(self, who: int, instance_id: str, turn: Turn, token: Token) -> None:
        known = self.instances[instance_id]
        known.state = turn.state
        known.old_token, known.token = known.token, token
        known.history = [*([] if turn.replaces_history else known.history), *turn.events]
        known.mail = [message for message in known.mail if message not in turn.consumed]
        calls = {} if turn.drop_activities else known.calls
        known.calls = {key: call for key, call in calls.items() if key not in turn.taken}
        known.calls |= {task_key(task): Call(1, who) for task in turn.activities}
        if turn.replaces_history or turn.state.status.is_terminal:
            known.timers = set()
        known.timers -= set(turn.ended_timers)
        known.timers |= {t.task_id for t in turn.timers}

    # ---- what always holds -----------------------------------------------------------------

    @invariant()
    def reads_see_the_store(self) -> None:
        """Clauses 10, 16 and 17, from every host."""
        for host in self.hosts:
            for instance_id, known in self.instances.items():
                loaded = self.run(host.hub.load(instance_id))
                if known.state is None:
                    assert loaded is None
                else:
                    assert loaded is not None
                    assert loaded.state == known.state
                    assert loaded.history == known.history
                    assert loaded.token == known.token
            listed = self.run(host.hub.query_instances(InstanceQuery())).items
            expected = [
                i for i, known in self.instances.items() if known.state and not i.startswith("@")
            ]
            assert [state.instance_id for state in listed] == expected
            for key, record in self.records.items():
                assert self.run(host.hub.read_record(key)) == record

    @invariant()
    def owners_have_their_mail(self) -> None:
        """Clause 2: all of it, once, in the order it was stored."""
        for host in self.hosts:
            self.run(self.drain(host))

    async def drain(self, host: Host) -> None:
        owned = {
            i: known
            for i, known in self.instances.items()
            if partition_of(i, PARTITIONS) in host.leases
        }
        while any(set(k.mail) - set(host.delivered[i]) for i, k in owned.items()):
            for mail in await host.hub.receive():
                lease = host.leases.get(mail.partition)
                if lease is not None and lease.epoch == mail.epoch:
                    delivered = host.delivered[mail.message.instance_id]
                    assert mail.message.id not in delivered
                    delivered.append(mail.message.id)
        for instance_id, known in owned.items():
            pending = set(known.mail)
            order = [m for m in host.delivered[instance_id] if m in pending]
            assert order == known.mail

    def teardown(self) -> None:
        """Close everything."""
        for host in self.hosts:
            self.run(host.hub.close())
        self.runner.close()
        self.directory.cleanup()


HubMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
TestHub = HubMachine.TestCase


def test_postgres(postgres_server: PostgresServer) -> None:
    """The same machine on PostgreSQL."""

    class PostgresMachine(HubMachine):
        def new_harness(self, directory: Path) -> Harness:
            # Its name is another one each time.
            return PostgresHarness(postgres_server.uri, f"{directory}.", poll=POLL)

    run_state_machine_as_test(PostgresMachine, settings=HubMachine.TestCase.settings)
