"""Mixed work over random deaths; how long and which is a matter of the environment variables
FAULTS_SOAK_ROUNDS and FAULTS_SOAK_SEED."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from random import Random
from typing import Any

import pytest
from faults.caller import Caller
from faults.journeys import approve, assert_journey
from faults.judging import (
    assert_all_done,
    assert_applied,
    assert_errands,
    assert_family,
    assert_items_taken,
    assert_results_are_real,
    assert_sound,
    settle,
)
from faults.scenarios import AT_START, ON_AZURE
from faults.site import Site
from faults.victims import Lineage
from support.process import Response

from func_py.durable.faults import POINTS

ROUNDS = int(os.environ.get("FAULTS_SOAK_ROUNDS", "100"))
SEED = int(os.environ.get("FAULTS_SOAK_SEED", "20260131"))

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60 + 2 * ROUNDS)]

_AT_WORK = sorted(POINTS.keys() - ON_AZURE - AT_START)
_AT_BIRTH = ["host.acquired", "store.before_commit:2", "store.after_commit:3", "turn.before_code"]
_BOOKS = ("red", "green", "blue")
_CALM = 3
"""Every so many rounds nobody dies."""
_NEVER_BLAME = {"deaths_to_blame": 1_000_000}
"""Here all work is innocent, though some is in hand at many deaths in a row."""


class Crowd:
    """Clients that start and steer instances of every kind, by chance."""

    def __init__(self, caller: Caller, random: Random) -> None:
        self._caller = caller
        self._random = random
        self._count = 0
        self.ids: dict[str, list[str]] = {}
        """Instances by orchestrator, in the order in which they were started."""
        self._open: dict[str, list[str]] = {}
        """Those that still need somebody to go on."""

    def act(self) -> None:
        """Do one thing."""
        actions: list[Callable[[], None]] = [
            lambda: self._start("journey", "family", "errand", "echo", "lingerer"),
            lambda: self._start("collector", "generations"),
            self._send_item,
            self._send_item,
            self._signal,
            self._signal,
            self._approve,
            self._suspend,
            self._resume,
            self._terminate,
        ]
        self._random.choice(actions)()

    def finish(self) -> None:
        """Bring everything to its end."""
        for name in ("collector", "generations"):
            for instance_id in self._open.get(name, []):
                self._caller.command_until(instance_id, "resume", "Running")
                self._caller.raise_event(instance_id, "Item", "end")
        for instance_id in self._open.get("journey", []):
            approve(self._caller, instance_id)
        for instance_id in self._open.get("lingerer", []):
            self._caller.command_until(instance_id, "terminate", "Terminated")
        for ids in self.ids.values():
            for instance_id in ids:
                self._caller.wait_for_end(instance_id)

    def _start(self, *names: str) -> None:
        name = self._random.choice(names)
        self._count += 1
        instance_id = f"{name}-{self._count}"
        self._caller.start(name, instance_id)
        self.ids.setdefault(name, []).append(instance_id)
        self._open.setdefault(name, []).append(instance_id)

    def _any(self, *names: str) -> str | None:
        found = [instance_id for name in names for instance_id in self._open.get(name, [])]
        return self._random.choice(found) if found else None

    def _send_item(self) -> None:
        if (instance_id := self._any("collector", "generations")) is not None:
            self._count += 1
            self._caller.raise_event(instance_id, "Item", f"item {self._count}")

    def _approve(self) -> None:
        if (instance_id := self._any("journey")) is not None:
            approve(self._caller, instance_id)
            self._open["journey"].remove(instance_id)

    def _suspend(self) -> None:
        if (instance_id := self._any("collector", "generations")) is not None:
            self._caller.command_until(instance_id, "suspend", "Suspended")

    def _resume(self) -> None:
        if (instance_id := self._any("collector", "generations")) is not None:
            self._caller.command_until(instance_id, "resume", "Running")

    def _terminate(self) -> None:
        if (instance_id := self._any("lingerer")) is not None:
            self._caller.command_until(instance_id, "terminate", "Terminated")
            self._open["lingerer"].remove(instance_id)

    def _signal(self) -> None:
        self._count += 1
        self._caller.signal(self._random.choice(_BOOKS), "enter", f"entry {self._count}")


def births(random: Random) -> Iterator[Mapping[str, Any]]:
    """Some die before they are ready, on the way into the hub of a dead one."""
    while True:
        is_doomed = random.random() < 0.15
        yield {"crash_at": random.choice(_AT_BIRTH) if is_doomed else "", **_NEVER_BLAME}


def test_a_mixed_workload_survives_random_deaths(site: Site) -> None:
    random = Random(SEED)
    with site.victims(births(random)) as victims:
        caller = Caller(victims)
        crowd = Crowd(caller, random)
        for number in range(ROUNDS):
            with suppress(ConnectionError):
                if number % _CALM == 0:
                    victims.arm("")
                    victims.die_within(0)
                elif random.random() < 0.5:
                    victims.arm(f"{random.choice(_AT_WORK)}:{random.randint(1, 8)}")
                else:
                    victims.die_within(random.uniform(0.001, 0.04))
            for _ in range(random.randint(6, 16)):
                crowd.act()
        crowd.finish()
        settle(site, caller)

        judge(site, caller, crowd, len(victims.deaths))
        assert victims.complaints == []
        assert len(victims.deaths) > ROUNDS // 5


class AnyOf:
    """Several hosts; each request goes to one of them, by chance."""

    def __init__(self, hosts: Sequence[Lineage], random: Random) -> None:
        self._hosts = hosts
        self._random = random

    def request(self, method: str, target: str, body: object = None) -> Response:
        """See `caller.Host.request`."""
        return self._random.choice(self._hosts).request(method, target, body)

    def arm(self, target: str) -> None:
        """See `caller.Host.arm`."""
        self._random.choice(self._hosts).arm(target)


def test_a_mixed_workload_survives_random_deaths_of_three_hosts(site: Site) -> None:
    """Also one that is started, told and asked by another host each time."""
    random = Random(SEED)
    innocent = repeat(_NEVER_BLAME)
    with (
        site.victims(births(random)) as one,
        site.victims(innocent) as two,
        site.victims(innocent) as three,
    ):
        hosts = [one, two, three]
        caller = Caller(AnyOf(hosts, random))
        crowd = Crowd(caller, random)
        for number in range(ROUNDS // 10):
            with suppress(ConnectionError):
                victim = random.choice(hosts)
                if number % _CALM == 0:
                    for host in hosts:
                        host.arm("")
                        host.die_within(0)
                elif random.random() < 0.5:
                    victim.arm(f"{random.choice(_AT_WORK)}:{random.randint(1, 8)}")
                else:
                    victim.die_within(random.uniform(0.001, 0.04))
            for _ in range(random.randint(6, 16)):
                crowd.act()
        crowd.finish()
        settle(site, caller)

        judge(site, caller, crowd, sum(len(host.deaths) for host in hosts))
        assert one.complaints == []


def judge(site: Site, caller: Caller, crowd: Crowd, deaths: int) -> None:
    """Everything that was started ended as it must, and nothing else is there."""
    statuses = {name: "Completed" for ids in crowd.ids.values() for name in ids}
    for instance_id in crowd.ids.get("journey", []):
        assert_journey(site, caller, instance_id, deaths)
    for instance_id in crowd.ids.get("family", []):
        children = assert_family(site, caller, instance_id, deaths)
        statuses |= dict.fromkeys(children, "Completed")
    for instance_id in crowd.ids.get("echo", []):
        assert_sound(site, instance_id)
        assert_results_are_real(site, instance_id, deaths)
    for name in ("collector", "generations"):
        for instance_id in crowd.ids.get(name, []):
            assert_items_taken(site, caller, instance_id)
    for instance_id in crowd.ids.get("lingerer", []):
        assert_sound(site, instance_id)
        statuses[instance_id] = "Terminated"
    assert_errands(site, caller, crowd.ids.get("errand", []))
    for book in _BOOKS:
        entries = [payload for _, payload in caller.entries(book)]
        assert_applied(entries, caller.sent.get(book, []))
    assert_all_done(site, caller, statuses)
