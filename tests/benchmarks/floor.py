"""The floor: what the SDK and SQLite cost alone, with no engine and no host around them.

The SDK's own executor and context drive the orchestrators, one live execution per instance, from a
plain loop. Async activities are called inline; plain ones, which may block, in the threads of a
standard executor, all of a round at once. Each round of the loop is one SQLite transaction (WAL,
`synchronous=FULL`) that holds what a durable engine cannot do without:

- a look at the lease, or two processes could run the same instance (nobody else writes while the
  transaction runs, so that looking is enough);
- an instance row, changed only if it is as the turn found it: clients replace instances;
- the history as JSON;
- the rows of activities that are under way, with the execution that asked, for calls outlive
  continue-as-new, and the host that runs them, for others take them over when it has died.

An engine adds everything else, so nothing durable on this SDK and this disk is faster than this.
"""

from __future__ import annotations

import inspect
import json
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from azure.durable_functions.models import DurableOrchestrationContext
from azure.durable_functions.models.history import HistoryEventType
from azure.durable_functions.models.TaskOrchestrationExecutor import TaskOrchestrationExecutor

from benchmarks.workloads import WORKLOADS, Workload, sample_functions, user_functions
from func_py.runtime.interpreter import settle_interpreter

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE instances (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT, status TEXT, input TEXT, output TEXT,
    length INTEGER, created TEXT, updated TEXT
) STRICT;
CREATE TABLE history (
    number INTEGER, seq INTEGER, events BLOB, PRIMARY KEY (number, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE activities (
    number INTEGER, execution TEXT, task INTEGER, holder TEXT, name TEXT, input TEXT,
    PRIMARY KEY (number, execution, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (partition INTEGER PRIMARY KEY, holder TEXT, epoch INTEGER) STRICT;
"""

Call = tuple[int, str, int, str, str, str]
"""Instance number, execution id, task id, host id, activity name, input."""

_HOST = uuid.uuid4().hex


class Fed:
    """The SDK's history event, as little of it as the executor reads."""

    __slots__ = ("Result", "TaskScheduledId", "_is_played", "event_id", "event_type", "timestamp")

    def __init__(
        self, kind: HistoryEventType, timestamp: datetime, task: int = -1, result: str | None = None
    ) -> None:
        self.event_type = kind
        self.event_id = -1
        self.timestamp = timestamp
        self._is_played = False
        self.TaskScheduledId = task
        self.Result = result


class _Context(DurableOrchestrationContext):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's context, given its first event instead of the event's JSON."""

    def __init__(self, instance_id: str, input: str | None, started: Fed) -> None:
        self._first = [started]
        super().__init__(
            [], instance_id, False, "", input, upperSchemaVersion=1, upperSchemaVersionNew=2
        )

    @property
    def histories(self) -> list[Fed]:
        return self._first


class Instance:
    """One live execution and what its next transaction writes.

    `id` is random, as a client's is. The rows are keyed by `number` instead, because random keys
    would have each row write a page of its own.
    """

    def __init__(
        self, number: int, name: str, input: str | None, function: Callable[..., Any]
    ) -> None:
        self.number = number
        self.id = uuid.uuid4().hex
        self.execution = uuid.uuid4().hex
        self.name = name
        self.input = input
        self.output: str | None = None
        self.length = 0
        self.asked = 0
        """Task ids below are in the store already."""
        self._function = function
        self._executor: Any = None

    @property
    def is_done(self) -> bool:
        """The code returned."""
        return self._executor is not None and bool(self._executor.has_execution_completed)

    def turn(self, results: Sequence[tuple[int, str]]) -> tuple[list[dict[str, Any]], list[Call]]:
        """Run user code as far as it goes: the history of this turn, and the calls it asks for."""
        now = datetime.now(UTC)
        stamp = now.isoformat()
        history: list[dict[str, Any]] = [{"type": "OrchestratorStarted", "timestamp": stamp}]
        started = Fed(HistoryEventType.ORCHESTRATOR_STARTED, now)
        events = [started]
        if self._executor is None:
            executor = self._executor = TaskOrchestrationExecutor()
            executor.context = _Context(self.id, self.input, started)
            executor.generator = self._function(executor.context)
            executor._is_processing_new_events = True
            events.append(Fed(HistoryEventType.EXECUTION_STARTED, now))
            history.append(
                {
                    "type": "ExecutionStarted",
                    "timestamp": stamp,
                    "name": self.name,
                    "input": self.input,
                }
            )
        for task, result in results:
            events.append(Fed(HistoryEventType.TASK_COMPLETED, now, task, result))
            history.append(
                {"type": "TaskCompleted", "timestamp": stamp, "task": task, "result": result}
            )
        for event in events:
            self._executor.process_event(event)
        calls = self._new_calls()
        for *_, task, _, name, text in calls:
            history.append(
                {
                    "type": "TaskScheduled",
                    "timestamp": stamp,
                    "task": task,
                    "name": name,
                    "input": text,
                }
            )
        if self.is_done:
            if self._executor.exception is not None:
                raise self._executor.exception
            self.output = json.dumps(self._executor.output)
            history.append(
                {"type": "ExecutionCompleted", "timestamp": stamp, "result": self.output}
            )
        history.append({"type": "OrchestratorCompleted", "timestamp": stamp})
        return history, calls

    def _new_calls(self) -> list[Call]:
        context = self._executor.context
        first, self.asked = self.asked, context._sequence_number
        context._action_payload_v2.clear()
        calls = []
        for task in range(first, self.asked):
            action = context.open_tasks[task].action_repr
            name, text = action.function_name, action.input_
            calls.append((self.number, self.execution, task, _HOST, name, text))
        return calls


class Floor:
    """A plain loop over instances, on one SQLite file."""

    def __init__(self, path: Path, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT INTO leases VALUES (0, ?, 1)", [_HOST])
        self._functions = functions
        self._threads = ThreadPoolExecutor()
        self._encode = msgspec.json.Encoder().encode
        self._count = 0

    def close(self) -> None:
        """End the threads and close the file."""
        self._threads.shutdown()
        self._db.close()

    def run(self, workload: Workload) -> float:
        """Run a workload to its end.

        Returns:
            The time it took, in seconds.
        """
        began = time.perf_counter()
        to_start = workload.runs
        ready: list[tuple[Instance, list[tuple[int, str]]]] = []
        live = 0
        while to_start or ready:
            created = []
            while to_start and live < workload.concurrent:
                created.append(self._new(workload))
                to_start -= 1
                live += 1
            turns = [(instance, *instance.turn(results), results) for instance, results in ready]
            self._commit(created, turns)
            # Only now, because effects follow the commit.
            live -= sum(instance.is_done for instance, *_ in turns)
            begun = [
                (instance, [(task, self._call(name, text)) for *_, task, _, name, text in calls])
                for instance, _, calls, _ in turns
                if calls
            ]
            ready = [(instance, []) for instance in created]
            ready += [(instance, self._results(calls)) for instance, calls in begun]
        return time.perf_counter() - began

    def _new(self, workload: Workload) -> Instance:
        self._count += 1
        name = workload.orchestrator
        return Instance(self._count, name, workload.input, self._functions[name])

    def _call(self, name: str, text: str) -> Future[Any] | str:
        """The result of an async function, or the future one of a plain function."""
        function = self._functions[name]
        argument = json.loads(text)
        if not inspect.iscoroutinefunction(function):
            return self._threads.submit(function, argument)
        coroutine = function(argument)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return json.dumps(end.value)
        raise RuntimeError(f"{name} waits for something, which no activity of the floor may")

    @staticmethod
    def _results(calls: Sequence[tuple[int, Future[Any] | str]]) -> list[tuple[int, str]]:
        return [
            (task, answer if isinstance(answer, str) else json.dumps(answer.result()))
            for task, answer in calls
        ]

    def _commit(
        self,
        created: Sequence[Instance],
        turns: Sequence[tuple[Instance, list[dict[str, Any]], list[Call], list[tuple[int, str]]]],
    ) -> None:
        now = datetime.now(UTC).isoformat()
        inserts = [(i.number, i.id, i.name, "Pending", i.input, now, now) for i in created]
        history, updates = [], []
        scheduled: list[Call] = []
        taken: list[tuple[int, str, int]] = []
        for instance, events, calls, results in turns:
            number, before = instance.number, instance.length
            history.append((number, before, self._encode(events)))
            instance.length += len(events)
            scheduled += calls
            taken += [(number, instance.execution, task) for task, _ in results]
            status = "Completed" if instance.is_done else "Running"
            updates.append((status, instance.output, instance.length, now, number, before))
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        lease = "SELECT count(*) FROM leases WHERE partition = 0 AND epoch = 1 AND holder = ?"
        if db.execute(lease, [_HOST]).fetchone() != (1,):
            raise RuntimeError("the lease is gone")
        db.executemany(
            "INSERT INTO instances (number, id, name, status, input, created, updated, length) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            inserts,
        )
        db.executemany("INSERT INTO history VALUES (?, ?, ?)", history)
        self._hit_all(
            "UPDATE instances SET status = ?, output = ?, length = ?, updated = ? "
            "WHERE number = ? AND length = ?",
            updates,
        )
        self._hit_all(
            "DELETE FROM activities WHERE number = ? AND execution = ? AND task = ?", taken
        )
        db.executemany("INSERT INTO activities VALUES (?, ?, ?, ?, ?, ?)", scheduled)
        db.execute("COMMIT")

    def _hit_all(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Execute it on rows that must all be there."""
        if rows and self._db.executemany(statement, rows).rowcount != len(rows):
            raise RuntimeError(f"not every row was there: {statement}")


def main() -> None:
    """Print the floor of every workload."""
    settle_interpreter()
    functions = user_functions(sample_functions())
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Floor(Path(folder) / "f.db", functions)) as f,
    ):
        for workload in WORKLOADS:
            f.run(workload)
            rate = workload.rate_of(f.run(workload))
            print(f"{workload.title:32}{rate:10,.0f} {workload.rate}")


if __name__ == "__main__":
    main()
