"""Replays the orchestrations of a hub on an app: would they go on where they are?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from func_py.config.local_settings import app_environment, load_local_settings
from func_py.discovery import SCRIPT_FILE, is_app, load_app, load_apps
from func_py.durable.model import InstanceState, RuntimeStatus
from func_py.durable.moving import instances
from func_py.durable.replay import verify
from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.histories import whole_history
from func_py.errors import UserError
from func_py.hub_client.commands import Voice
from func_py_bindings.durable_function import by_name, durable_functions

_REPLAYED = frozenset({RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED, RuntimeStatus.COMPLETED})
"""What was terminated, or failed, need not have ended as its code would have it."""


class Replays:
    """Knows the orchestrators of an app, by every name they answer to, in lower case."""

    def __init__(self, orchestrators: Mapping[str, Callable[..., Any]]) -> None:
        self._orchestrators = orchestrators

    async def run(self, hub: TaskHub, voice: Voice) -> None:
        """Replay each orchestration that runs or completed; raises UserError when one cannot be.

        Which, and where it goes another way, is remarked.
        """
        count = failed = 0
        async for state in instances(hub):
            if state.entity is not None or state.status not in _REPLAYED:
                continue
            count += 1
            problem = await self._problem(hub, state)
            if problem is not None:
                failed += 1
                voice.remark(f"Instance '{state.instance_id}': {problem}")
        if failed:
            raise UserError(
                f"{failed} of {count} orchestrations cannot be replayed on this app. The import "
                "stands; run an app that fits."
            )
        voice.tell(f"Replayed {count} orchestrations: each goes the way of its history.")

    async def _problem(self, hub: TaskHub, state: InstanceState) -> object | None:
        orchestrator = self._orchestrators.get(state.name.lower())
        if orchestrator is None:
            return f"the app has no orchestrator '{state.name}'."
        return verify(orchestrator, state.instance_id, await whole_history(hub, state.instance_id))


def load_replays(root: Path) -> Replays:
    """The replays of an app, see `load_orchestrators`."""
    return Replays(load_orchestrators(root))


def load_orchestrators(root: Path) -> Mapping[str, Callable[..., Any]]:
    """Import the app, as a host would: its orchestrators, by every name, in lower case.

    Working directory, `sys.path` and environment of the process become the app's.

    Raises:
        UserError: There is no app, or it cannot be loaded.
    """
    if not root.is_dir():
        raise UserError(f'"{root}" doesn\'t exist, or is not a folder.')
    environ, _ = app_environment(load_local_settings(root), os.environ, root, port=0)
    os.environ.update(environ)
    script_file = environ.get("PYTHON_SCRIPT_FILE_NAME") or SCRIPT_FILE
    load = load_app if is_app(root, script_file) else load_apps
    functions = load(root, script_file=script_file, environ=environ)
    named = by_name(durable_functions(functions, "orchestrator"))
    return {name: durable.spec.function for name, durable in named.items()}
