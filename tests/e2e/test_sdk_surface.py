"""Each method of the SDK's client and each member of its context, on a running host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, NAMESPACE_URL, uuid5

import azure.durable_functions as df
import pytest
from support.process import HostProcess, running_host

pytestmark = pytest.mark.e2e

APP = Path(__file__).parent / "sdk_surface"
SDK_UUIDS = uuid5(NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")

KNOWN = "'everything', 'failing', 'moody', 'reader', 'waiter'"
NOBODY = "Exception: No instance with ID 'nobody' found."
ONLY_FAILED = "The rewind operation is only supported on failed orchestration instances."
WENT_WRONG = "'Message': 'Something went wrong while processing your request'"


def expected(name: str) -> dict[str, Any]:
    """What the calls of `client_calls` must have told."""
    return {
        "start": f"{name}-a",
        "start a running id": (
            f"Exception: {{{WENT_WRONG}, 'ExceptionMessage': 'An Orchestration instance with the "
            "status Running already exists.', 'ExceptionType': 'InstanceAlreadyExists'}"
        ),
        "start a stranger": (
            "Exception: The function 'waitr' doesn't exist, is disabled, or is not an orchestrator "
            "function. Did you mean 'waiter'? Additional info: The following are the known "
            f"orchestrator functions: {KNOWN}."
        ),
        "start under a bad id": "Exception: Orchestration instance ids must not start with @.",
        "made id": [32, True],
        "terminate": None,
        "terminated": "no use for it",
        "purge": 1,
        "purge of nothing": 0,
        "running": ["waiter", True, "waiting", None],
        "input": '{"n": 1}',
        "suspend": None,
        "resume": None,
        "purge of what runs": 0,
        "event without a name": "ValueError: event_name must be a non-empty string.",
        "event": None,
        "completed": '{"x": 1}',
        "history": [
            "ExecutionStarted",
            "ExecutionSuspended",
            "ExecutionResumed",
            "EventRaised",
            "ExecutionCompleted",
        ],
        "raise_event of what has ended": (
            f"Exception: Instance with ID {name}-a is gone: either completed or failed"
        ),
        "raise_event of nothing": "Exception: No instance with ID nobody found.",
        "terminate of what has ended": None,
        "terminate of nothing": NOBODY,
        "suspend of what has ended": None,
        "suspend of nothing": NOBODY,
        "resume of what has ended": None,
        "resume of nothing": NOBODY,
        "rewind of what has ended": f"Exception: {ONLY_FAILED}",
        "rewind of nothing": "Exception: No instance with ID nobody found.",
        "status of nothing": False,
        "failed": (
            "Orchestrator function 'failing' failed: Activity function 'fail_once' failed:  "
            "ValueError: no luck "
        ),
        "restart of what failed": f"{name}-f",
        "restart of nothing": "Exception: The operation failed with an unexpected status code 400",
        "restarted under a new id": True,
        "rewind": None,
        "restart of what runs": (
            "Exception: The operation failed with an unexpected status code 500"
        ),
        "rewind of what runs": (
            "Exception: Received unexpected payload from the durable-extension: [500, "
            f"{{{WENT_WRONG}, 'ExceptionMessage': '{ONLY_FAILED}', 'ExceptionType': "
            "'InstanceNotFailed'}]"
        ),
        "entity before": [False, None],
        "signal": None,
        "signal of nothing": None,
        "entity after": [True, 5],
        "signal a stranger": "Exception: The operation failed with an unexpected status code 400",
        "links": [
            "id",
            "purgeHistoryDeleteUri",
            "restartPostUri",
            "resumePostUri",
            "rewindPostUri",
            "sendEventPostUri",
            "statusQueryGetUri",
            "suspendPostUri",
            "terminatePostUri",
        ],
        "links without a request": True,
        "links of the request": True,
        "check status": [202, "10"],
        "check status leads to": True,
        "wait for what has ended": [200, '{"x": 1}'],
        "wait in vain": 202,
        "wait less than a poll": (
            "Exception: Total timeout 10 (ms) should be bigger than retry timeout 20 (ms)"
        ),
        "all": True,
        "by status": [True],
        "purge by status": 3,
        "purge by status once more": 0,
        "purge without a begin": (
            "ValueError: created_time_from is required when purging instance history"
        ),
    }


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    root = tmp_path / "app"
    shutil.copytree(APP, root, ignore=shutil.ignore_patterns("__pycache__"))
    with running_host(root, tmp_path / "log") as host:
        yield host


def members(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_"))


@pytest.mark.parametrize("transport", ["inside", "http"])
def test_every_client_method_keeps_what_the_sdk_promises(host: HostProcess, transport: str) -> None:
    answer = host.get(f"/api/client/{transport}").json()

    assert answer["told"] == expected(transport)
    assert answer["called"] == members(df.DurableOrchestrationClient)


def test_every_member_of_the_context_keeps_what_the_sdk_promises(host: HostProcess) -> None:
    status = host.wait_for_end_of(host.get("/api/context?id=ctx"))

    seen = status["output"]
    used = seen.pop("used")
    # `reader` reads the histories; `from_json` is how hosts make a context.
    assert sorted([*used, "from_json", "histories"]) == members(df.DurableOrchestrationContext)
    now = seen.pop("now")
    assert seen == {
        "replaying": False,
        "ids": ["ctx", None, "1.5"],
        "uuid": str(uuid5(SDK_UUIDS, f"ctx_{now.replace('+00:00', 'Z')}_0")),
        "guid": str(uuid5(NAMESPACE_URL, f"ctx_{now.replace('T', ' ')}_1")),
        "function_context": "FunctionContext",
        "a callable": "The `call_activity` API received a `Callable` without an ass",
        "activity": 4,
        "function object": 6,
        "retried": "x",
        "child": [{"n": 1}, "ctx", "1.2", [12, 0, 4, 13, 12, 5]],
        "retried child": "ctx-child-2",
        "http": [201, '{"a": 1}'],
        "entity": 9,
        "timer": None,
        "not before it was due": True,
        "event": '"bird"',
        "all": [2, 4],
        "any": [True, 16, True],
        "status": "half way",
        "version of the next generation": "1.5",
        "status at its begin": None,
    }
    assert status["customStatus"] == [False, True]
    assert "goes another way" not in host.output
