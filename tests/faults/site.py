"""Where one test's hosts keep their task hub, and what is found there afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.hub_file import HubFile
from faults.victim import APP
from faults.victims import Lineage, WarmParent
from support.process import HostProcess, running_host

from func_py.durable.model import TaskScheduled


class Site:
    """A folder with a task hub, and with the notes of every activity call that was made."""

    def __init__(
        self,
        folder: Path,
        parent: WarmParent,
        hub: HubFile | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`hub` and `environ`: another task hub than a file, and the settings that lead there."""
        self._folder = folder
        self._parent = parent
        self._ran = folder / "ran"
        self._ran.touch()
        self.hub = hub or HubFile(folder / "Faults.db")
        self._environ = environ or {}
        self._logs = 0

    def victims(self, births: Iterable[Mapping[str, Any]] = ()) -> Lineage:
        """Processes to be killed; `births` as for `Lineage`."""
        return Lineage(self._parent, self._folder, births, self._environ)

    @contextmanager
    def func_py_start(self) -> Iterator[HostProcess]:
        """The whole host, ready; killed at the exit, if it lives then."""
        log, environ = self._place("")
        with running_host(APP, log, environ=environ) as host:
            yield host

    def start_and_die(self, crash_at: str) -> None:
        """Start the whole host, which dies at a crash point before it is ready."""
        log, environ = self._place(crash_at)
        host = HostProcess(APP, log, ["--no-reload"], environ)
        try:
            assert host.wait() != 0
        finally:
            host.kill()
        assert "was killed by SIGKILL" in host.output

    def _place(self, crash_at: str) -> tuple[Path, dict[str, str]]:
        self._logs += 1
        environ = {"FUNC_PY_STATE_DIR": str(self._folder), "FAULTS_RAN": str(self._ran)}
        if crash_at:
            environ["FUNC_PY_CRASH_AT"] = crash_at
        return self._folder / f"log {self._logs}", environ

    def mend(self) -> None:
        """From now on the activity that can be mended succeeds."""
        (self._folder / "mended").touch()

    def runs(self) -> list[tuple[str, str, str]]:
        """Each activity call that was made: instance id, step, what it gave."""
        lines = self._ran.read_text().splitlines()
        return [(a, b, c) for a, b, c in (line.split("\t") for line in lines)]

    def scheduled_steps(self, instance_id: str) -> set[str]:
        """The steps of a journey that its stored history asks for."""
        history = self.hub.history(instance_id)
        calls = [event for event in history if isinstance(event, TaskScheduled)]
        return {json.loads(call.input or "")[1] for call in calls}
