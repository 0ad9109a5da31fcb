"""A careful user of a host that may die at any moment.

A caller whose request was cut off does not know whether it was carried out; it looks, and asks
again when it was not.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from support.process import HostProcess, Response, wait_for

from func_py.management import BASE_PATH

_INSTANCES = f"{BASE_PATH}/instances"
_ENTITIES = f"{BASE_PATH}/entities"


class Host(Protocol):
    """What a caller speaks to; when the process behind it dies, another takes its place."""

    def request(self, method: str, target: str, body: object = None) -> Response:
        """A call of the management API; `body` is a JSON value.

        Raises:
            ConnectionError: The process died over it.
        """
        ...

    def arm(self, target: str) -> None:
        """Let the process that runs now die at a crash point, and none that comes after it."""
        ...


class HttpHost:
    """A `func-py start`: its supervisor puts another process in the place of a dead one."""

    def __init__(self, process: HostProcess) -> None:
        self._process = process

    def request(self, method: str, target: str, body: object = None) -> Response:
        """See `Host.request`."""
        headers = {"Content-Type": "application/json"}
        try:
            text = "" if body is None else json.dumps(body)
            return self._process.request(method, target, text, headers)
        except http.client.HTTPException as error:
            raise ConnectionError from error

    def arm(self, target: str) -> None:
        """See `Host.arm`."""
        assert self._process.post(f"/api/arm/{target}").status == 204


class Caller:
    """Sends requests, and knows what was acknowledged."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sent: dict[str, list[tuple[str, bool]]] = {}
        """Per instance or entity the payloads that were sent, and whether that was acknowledged."""

    def arm(self, target: str) -> None:
        """See `Host.arm`."""
        self.host.arm(target)

    def is_answered(self) -> bool:
        """Did the host live when it was asked?"""
        return self._ask("GET", f"{_INSTANCES}/nobody") is not None

    # ---- orchestrations --------------------------------------------------------------------

    def try_start(self, name: str, instance_id: str, value: object = None) -> Response | None:
        """Ask once for a start; None when the host died over it."""
        return self._ask("POST", f"{BASE_PATH}/orchestrators/{name}/{instance_id}", value)

    def start(self, name: str, instance_id: str, value: object = None) -> None:
        """Start an orchestration; when this returns it is stored, however often the host died."""

        attempts = 0

        def started() -> bool:
            nonlocal attempts
            attempts += 1
            answer = self.try_start(name, instance_id, value)
            if answer is None:
                status = self.status(instance_id)
                return status is not None and status["input"] == value
            # An attempt that was cut off may have done it.
            is_running = attempts > 1 and "InstanceAlreadyExists" in answer.text
            assert answer.status == 202 or is_running, answer.text
            return True

        wait_for(started, f"the start of {instance_id}")

    def raise_event(self, instance_id: str, event: str, label: str) -> None:
        """Send an event until it was taken; each attempt has a payload of its own."""
        sent = self.sent.setdefault(instance_id, [])

        def raised() -> bool:
            payload = f"{label} attempt {len(sent)}"
            answer = self._ask("POST", f"{_INSTANCES}/{instance_id}/raiseEvent/{event}", payload)
            is_taken = answer is not None and answer.status == 202
            sent.append((payload, is_taken))
            # An attempt that was cut off may have done it: then the instance may have ended.
            return is_taken or (answer is not None and self._has_ended(instance_id))

        wait_for(raised, f"the event {label} of {instance_id}")

    def command_until(self, instance_id: str, command: str, *statuses: str, more: str = "") -> None:
        """Give a command until it was taken, and wait for one of the statuses.

        Args:
            instance_id: The instance.
            command: Suspend, resume, terminate or rewind.
            statuses: Runtime statuses.
            more: Query parameters, each with a leading `&`.
        """
        attempts = 0

        def is_taken() -> bool:
            nonlocal attempts
            attempts += 1
            target = f"{_INSTANCES}/{instance_id}/{command}?reason=because{more}"
            answer = self._ask("POST", target)
            # An attempt that was cut off may have done it, and there is nothing to do any more.
            is_done = attempts > 1 and answer is not None
            assert answer is None or answer.status == 202 or is_done, (
                answer,
                self.status(instance_id),
            )
            return answer is not None

        wait_for(is_taken, f"{command} of {instance_id} to be taken")
        self.wait_until(instance_id, lambda status: status["runtimeStatus"] in statuses)

    def purge(self, instance_id: str, more: str = "") -> Response | None:
        """Delete a finished instance; None when the host died over it."""
        return self._ask("DELETE", f"{_INSTANCES}/{instance_id}{more}")

    def status(self, instance_id: str) -> dict[str, Any] | None:
        """The instance's status object, or None when there is no such instance."""

        def read() -> tuple[dict[str, Any] | None] | None:
            answer = self._ask("GET", f"{_INSTANCES}/{instance_id}")
            if answer is None:
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

    # ---- entities --------------------------------------------------------------------------

    def signal(self, key: str, operation: str, label: str) -> None:
        """Signal the ledger until that was acknowledged; each attempt has an input of its own."""
        sent = self.sent.setdefault(key, [])

        def is_taken() -> bool:
            payload = f"{label} attempt {len(sent)}"
            target = f"{_ENTITIES}/ledger/{key}?op={operation}"
            answer = self._ask("POST", target, [key, payload])
            assert answer is None or answer.status == 202, answer.text
            sent.append((payload, answer is not None))
            return answer is not None

        wait_for(is_taken, f"the signal {label} to be taken")

    def entries(self, key: str) -> list[list[Any]]:
        """What the ledger of this key has; nothing when it does not exist."""

        def read() -> tuple[list[list[Any]]] | None:
            answer = self._ask("GET", f"{_ENTITIES}/ledger/{key}")
            if answer is None:
                return None
            return ([] if answer.status == 404 else answer.json(),)

        return wait_for(read, "the host to answer")[0]

    def _has_ended(self, instance_id: str) -> bool:
        status = self.status(instance_id)
        return status is not None and is_ended(status)

    def _ask(self, method: str, target: str, body: object = None) -> Response | None:
        """The answer, or None when the host died over the request."""
        try:
            return self.host.request(method, target, body)
        except ConnectionError:
            return None


def is_ended(status: Mapping[str, Any]) -> bool:
    """Is this the status of a finished instance?"""
    return status["runtimeStatus"] not in ("Pending", "Running", "Suspended")
