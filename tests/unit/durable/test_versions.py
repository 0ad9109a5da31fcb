"""Versions of orchestrations: comparing them, and who may run what."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from support.engine import Host, until
from support.hubs import HubFactory

from func_py.durable.engine import EngineOptions, VersionFailure, VersionMatch
from func_py.durable.engine.versions import compare_versions, version_problem
from func_py.durable.model import RuntimeStatus


@pytest.mark.parametrize(
    ("one", "other", "sign"),
    [
        ("", "", 0),
        ("", "1", -1),
        ("1.0", "1.0.0", 0),
        ("1.2", "1.10", -1),
        ("2", "1.9.9", 1),
        ("v1", "V1", 0),
        ("1.0-beta", "1.0-alpha", 1),
    ],
)
def test_versions_compare_part_by_part(one: str, other: str, sign: int) -> None:
    forward, backward = compare_versions(one, other), compare_versions(other, one)
    assert (forward > 0) - (forward < 0) == sign
    assert (backward > 0) - (backward < 0) == -sign


@pytest.mark.parametrize(
    ("match", "instance", "host", "runs"),
    [
        (VersionMatch.NONE, "9", "1", True),
        (VersionMatch.STRICT, "1.0", "1", True),
        (VersionMatch.STRICT, "0.9", "1", False),
        (VersionMatch.STRICT, None, "1", False),
        (VersionMatch.CURRENT_OR_OLDER, "0.9", "1", True),
        (VersionMatch.CURRENT_OR_OLDER, None, "1", True),
        (VersionMatch.CURRENT_OR_OLDER, "1.1", "1", False),
        (VersionMatch.CURRENT_OR_OLDER, "1.1", None, True),
    ],
)
def test_a_host_runs_what_its_strategy_allows(
    match: VersionMatch, instance: str | None, host: str | None, runs: bool
) -> None:
    assert (version_problem(match, instance, host) is None) == runs


def versioned(context: Any) -> Generator[Any, Any, Any]:
    yield context.wait_for_external_event("Go")
    child = yield context.call_sub_orchestrator("child")
    return [context.version, child]


def child(context: Any) -> Any:
    return context.version


async def test_code_sees_the_version_it_was_started_with_and_children_the_default(
    hub_factory: HubFactory,
) -> None:
    options = EngineOptions(default_version="2.0")
    functions = {"versioned": versioned, "child": child}
    async with Host(hub_factory(), functions, options=options) as h:
        instance_id = await h.client.start("versioned", version="1.5")
        await h.client.raise_event(instance_id, "Go", "1")
        state = await h.wait_for(instance_id)

    assert state.output == '["1.5", "2.0"]'


async def test_an_instance_that_is_too_new_waits_for_a_newer_host(
    hub_factory: HubFactory,
) -> None:
    old = EngineOptions(default_version="1.0")
    functions = {"versioned": versioned, "child": child}
    async with Host(hub_factory(), functions, options=old) as h:
        instance_id = await h.client.start("versioned", version="2.0")
        other = await h.client.start("versioned", version="1.0")
        await h.wait_for(other, RuntimeStatus.RUNNING)
        state = await h.client.get(instance_id)
        assert state is not None
        assert state.status is RuntimeStatus.PENDING
    new = EngineOptions(default_version="2.0")
    async with Host(hub_factory(), functions, options=new) as h:
        await h.wait_for(instance_id, RuntimeStatus.RUNNING)


async def test_an_instance_that_is_too_new_can_be_failed(hub_factory: HubFactory) -> None:
    options = EngineOptions(default_version="1.0", version_failure=VersionFailure.FAIL)
    async with Host(hub_factory(), {"versioned": versioned}, options=options) as h:
        instance_id = await h.client.start("versioned", version="2.0")
        state = await until(lambda: _failed(h, instance_id), "the failure")

    assert "is greater than the host's '1.0'" in state


async def _failed(h: Host, instance_id: str) -> str:
    state = await h.client.get(instance_id)
    return (state.output or "") if state is not None else ""
