"""Processes that share a task hub are killed, or paused for longer than their leases."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.caller import Caller
from faults.hub_file import HubServer
from faults.journeys import approve, assert_journey, assert_nothing_lost, travel
from faults.judging import assert_all_done
from faults.site import Site
from faults.victims import WarmParent
from support.postgres_server import PostgresServer
from support.process import wait_for

pytestmark = pytest.mark.faults

JOURNEYS = [f"journey-{number}" for number in range(12)]


@pytest.fixture
def server_site(tmp_path: Path, warm_parent: WarmParent, postgres_server: PostgresServer) -> Site:
    """A site whose hub is on a server, in a schema of its own; leases are short."""
    schema = f"faults_{tmp_path.name}".lower().replace("-", "_")
    provider = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__"
    environ = {
        f"{provider}type": "postgres",
        f"{provider}connectionStringName": "HUB",
        f"{provider}schemaName": schema,
        f"{provider}leaseTime": "00:00:01",
        "HUB": postgres_server.uri,
    }
    return Site(tmp_path, warm_parent, HubServer(postgres_server.uri, schema), environ)


def has_owners(site: Site, count: int) -> bool:
    """Do so many hosts have all the partitions?"""
    owners = site.hub.owners()
    return len(owners) == count and None not in owners


@pytest.mark.parametrize("store", ["site", "server_site"])
def test_of_three_hosts_two_are_killed_at_work_and_the_third_finishes_everything(
    request: pytest.FixtureRequest, store: str
) -> None:
    site: Site = request.getfixturevalue(store)
    with site.victims() as first, site.victims() as second, site.victims() as third:
        caller = Caller(third)
        wait_for(lambda: has_owners(site, 3), "each host to have a share")
        first.arm("activity.after_run:2")
        second.arm("turn.after_commit:5")
        travel(caller, JOURNEYS)

        assert [first.has_died(), second.has_died()] == [True, True]
        assert_nothing_lost(site, caller, JOURNEYS, deaths=2)
        assert third.complaints == []


def test_a_host_that_was_paused_beyond_its_lease_does_no_harm_and_works_again(
    server_site: Site,
) -> None:
    site = server_site
    with site.victims() as first, site.victims() as second:
        callers = [Caller(first), Caller(second)]
        wait_for(lambda: has_owners(site, 2), "each host to have a share")
        for journey in JOURNEYS[:6]:
            callers[1].start("journey", journey)
        wait_for(site.runs, "activities to have begun")
        first.pause()
        for journey in JOURNEYS[:6]:
            approve(callers[1], journey)
            assert callers[1].wait_for_end(journey)["runtimeStatus"] == "Completed"
        first.resume()
        wait_for(lambda: has_owners(site, 2), "each host to have a share again")
        travel(callers[0], JOURNEYS[6:])

        for caller, journeys in ((callers[1], JOURNEYS[:6]), (callers[0], JOURNEYS[6:])):
            for journey in journeys:
                assert_journey(site, caller, journey, deaths=1)
        assert_all_done(site, callers[1], dict.fromkeys(JOURNEYS, "Completed"))
        assert first.complaints == []
