"""Drives journeys of the fault app over HTTP past the death of its host, and judges what is left.

A caller whose request was cut off does not know whether it was carried out; as a careful user
would, it looks, and asks again when it was not.
"""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from faults.app import function_app
from faults.hub_file import HubFile
from support.apps import functions
from support.process import HostProcess, Response, running_host, wait_for

from func_py.durable.model import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from func_py.durable.replay import verify

T = TypeVar("T")

APP = Path(function_app.__file__).parent
_JOURNEY = functions(function_app.app)["journey"].function
_INSTANCES = "/runtime/webhooks/durabletask/instances"
_CUT_OFF = (ConnectionError, http.client.HTTPException)

_STEPS = ["first", "part 0", "part 1", "part 2", "stumble", "stumble", "last"]
_SCHEDULED = [
    *["work"] * 4,
    "stumble",
    "back-off timer",
    "stumble",
    "back-off timer",  # the SDK also waits after the last attempt
    "nap timer",
    "deadline timer",
    "work",
]
"""What a journey asks for, in the order of task ids."""


class Site:
    """Where one test's hosts keep their task hub, and what their activities noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran = folder / "ran"
        self.ran.touch()
        self.hub = HubFile(folder / "Faults.db")
        self._logs = 0

    def _place(self, crash_at: str) -> tuple[Path, dict[str, str]]:
        self._logs += 1
        environ = {"FUNC_PY_STATE_DIR": str(self.folder), "FAULTS_RAN": str(self.ran)}
        if crash_at:
            environ["FUNC_PY_CRASH_AT"] = crash_at
        return self.folder / f"log {self._logs}", environ

    @contextmanager
    def host(self) -> Iterator[HostProcess]:
        """A host that is ready; killed at the exit, if it lives then."""
        log, environ = self._place("")
        with running_host(APP, log, environ=environ) as host:
            yield host

    def start_and_die(self, crash_at: str) -> None:
        """Start a host that dies at a crash point before it is ready."""
        log, environ = self._place(crash_at)
        host = HostProcess(APP, log, environ=environ)
        try:
            assert host.wait() != 0
        finally:
            host.kill()
        assert "was killed by SIGKILL" in host.output

    def runs(self) -> list[tuple[str, str, str]]:
        """Each activity call that was made: instance id, step, what it gave."""
        lines = self.ran.read_text().splitlines()
        return [(a, b, c) for a, b, c in (line.split("\t") for line in lines)]

    def scheduled_steps(self, instance_id: str) -> set[str]:
        """The steps of a journey that its stored history asks for."""
        calls = _of(self.hub.history(instance_id), TaskScheduled)
        return {json.loads(call.input or "")[1] for call in calls}


class Caller:
    """Sends requests to a host that may die at any time; knows what was acknowledged."""

    def __init__(self, host: HostProcess) -> None:
        self.host = host
        self.events: dict[str, list[tuple[str, bool]]] = {}
        """Per instance the approvals that were sent, and whether that was acknowledged."""

    def arm(self, target: str) -> None:
        """Have the app process that runs now die at a crash point."""
        assert self.host.post(f"/api/arm/{target}").status == 204

    def try_start(self, name: str, instance_id: str, value: object = None) -> Response | None:
        """Ask once for a start; None when the host died over it."""
        return self._send(f"/api/start/{name}/{instance_id}", value)

    def start(self, name: str, instance_id: str, value: object = None) -> None:
        """Start an orchestration; when this returns it is stored, however often the host died."""

        def started() -> bool:
            answer = self.try_start(name, instance_id, value)
            if answer is not None:
                assert answer.status == 202, answer.text
                return True
            return self.status(instance_id) is not None

        wait_for(started, f"the start of {instance_id}")

    def approve(self, instance_id: str) -> None:
        """Send the event that a journey waits for; each attempt has a name of its own."""
        attempts = self.events.setdefault(instance_id, [])

        def approved() -> bool:
            payload = f"approval {len(attempts)} of {instance_id}"
            answer = self._send(f"/api/raise/Approval/{instance_id}", payload)
            attempts.append((payload, answer is not None and answer.status == 202))
            # An attempt that was cut off may have done it: then the journey may have ended.
            return answer is not None and (answer.status == 202 or self._has_ended(instance_id))

        wait_for(approved, f"the approval of {instance_id}")

    def command(self, instance_id: str, command: str) -> Response | None:
        """Suspend, resume or terminate; None when the host died over it."""
        return self._send(f"{_INSTANCES}/{instance_id}/{command}", None)

    def purge(self, instance_id: str) -> Response | None:
        """Delete a finished instance; None when the host died over it."""
        try:
            return self.host.request("DELETE", f"{_INSTANCES}/{instance_id}")
        except _CUT_OFF:
            return None

    def status(self, instance_id: str) -> dict[str, Any] | None:
        """The instance's status object, or None when there is no such instance."""

        def read() -> tuple[dict[str, Any] | None] | None:
            try:
                answer = self.host.get(f"{_INSTANCES}/{instance_id}")
            except _CUT_OFF:
                return None
            return (None if answer.status == 404 else answer.json(),)

        return wait_for(read, "the host to answer")[0]

    def wait_until(self, instance_id: str, reached: Callable[[Mapping[str, Any]], bool]) -> None:
        """Wait until the instance's status is as wanted."""

        def check() -> bool:
            status = self.status(instance_id)
            assert status is not None, f"{instance_id} was acknowledged and is gone"
            return reached(status)

        wait_for(check, f"instance {instance_id}")

    def wait_for_end(self, instance_id: str) -> dict[str, Any]:
        """Wait until the instance has ended; its status."""
        self.wait_until(instance_id, is_ended)
        status = self.status(instance_id)
        assert status is not None
        return status

    def wait_for_approval_point(self, instance_id: str) -> None:
        """Wait until a journey waits for its approval."""
        self.wait_until(instance_id, lambda s: s["customStatus"] == "waits for approval")

    def _has_ended(self, instance_id: str) -> bool:
        status = self.status(instance_id)
        return status is not None and is_ended(status)

    def _send(self, target: str, value: object) -> Response | None:
        """The answer, or None when the host died over the request."""
        try:
            return self.host.request("POST", target, json.dumps(value))
        except _CUT_OFF:
            return None


def is_ended(status: Mapping[str, Any]) -> bool:
    """Is this the status of a finished instance?"""
    return status["runtimeStatus"] not in ("Pending", "Running", "Suspended")


def travel(caller: Caller, instance_ids: Sequence[str]) -> None:
    """Run journeys to their end; some are approved early, the others when they ask for it."""
    for instance_id in instance_ids:
        caller.start("journey", instance_id)
    for instance_id in instance_ids[::2]:
        caller.approve(instance_id)
    for instance_id in instance_ids[1::2]:
        caller.wait_for_approval_point(instance_id)
        caller.approve(instance_id)
    for instance_id in instance_ids:
        assert caller.wait_for_end(instance_id)["runtimeStatus"] == "Completed"


def assert_nothing_lost(
    site: Site, caller: Caller, instance_ids: Sequence[str], deaths: int
) -> None:
    """Judge finished journeys by what is on the disk.

    Each step exactly once in history and its result one that a call gave; calls repeated by deaths
    only; every acknowledged event there, none twice; history replays; no row left over.
    """
    runs = site.runs()
    for instance_id in instance_ids:
        history = site.hub.history(instance_id)
        _assert_each_step_once(history)
        _assert_results_are_real(instance_id, history, runs, deaths)
        _assert_events(history, caller.events.get(instance_id, []))
        assert verify(_JOURNEY, instance_id, history) is None
    assert set(site.hub.statuses().values()) == {"Completed"}
    assert set(site.hub.statuses()) == set(instance_ids)
    wait_for(lambda: not site.hub.has_work_left(), "the last rows of work to be deleted")


def _of(history: Sequence[HistoryEvent], kind: type[T]) -> list[T]:
    return [event for event in history if isinstance(event, kind)]


def _assert_each_step_once(history: Sequence[HistoryEvent]) -> None:
    scheduled = [e for e in history if isinstance(e, TaskScheduled | TimerCreated)]
    scheduled.sort(key=lambda event: event.task_id)
    assert len({event.task_id for event in scheduled}) == len(scheduled) == len(_SCHEDULED)
    word_of = {e.task_id: word for e, word in zip(scheduled, _SCHEDULED, strict=True)}
    for event in scheduled:
        word = word_of[event.task_id]
        assert word == event.name if isinstance(event, TaskScheduled) else word.endswith("timer")

    completed = [e.task_id for e in history if isinstance(e, TaskCompleted | TaskFailed)]
    assert sorted(completed) == sorted(e.task_id for e in _of(history, TaskScheduled))
    fired = [word_of[event.task_id] for event in _of(history, TimerFired)]
    assert sorted(fired) == ["back-off timer", "back-off timer", "nap timer"]
    assert len(_of(history, ExecutionStarted)) == 1
    assert len(_of(history, ExecutionCompleted)) == 1
    assert len(_of(history, OrchestratorStarted)) == len(_of(history, OrchestratorCompleted))


def _assert_results_are_real(
    instance_id: str,
    history: Sequence[HistoryEvent],
    runs: Sequence[tuple[str, str, str]],
    deaths: int,
) -> None:
    given = {token: step for instance, step, token in runs if instance == instance_id}
    step_of = {e.task_id: json.loads(e.input or "")[1] for e in _of(history, TaskScheduled)}
    for event in _of(history, TaskCompleted):
        assert given[json.loads(event.result or "")] == step_of[event.task_id]
    made = Counter(given.values())
    for step, count in Counter(_STEPS).items():
        assert count <= made[step] <= count * (1 + deaths), f"{step} ran {made[step]} times"


def _assert_events(history: Sequence[HistoryEvent], sent: Sequence[tuple[str, bool]]) -> None:
    # The SDK's client sends JSON in JSON.
    raised = Counter(
        json.loads(json.loads(event.input or "")) for event in _of(history, EventRaised)
    )
    assert max(raised.values()) == 1
    assert set(raised) <= {payload for payload, _ in sent}
    # The first one ended the wait; of a later one the journey may have been finished before.
    first = next(index for index, (_, acknowledged) in enumerate(sent) if acknowledged)
    assert raised.keys() & {payload for payload, _ in sent[: first + 1]}
