"""The durable client: the SDK's own client class, speaking to the host without a socket.

What the client can do and how it words its errors stays the SDK's; only its three transport
functions are replaced. Version 1 functions get the JSON text from which the SDK builds a client.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote

from azure.durable_functions import DurableOrchestrationClient

from func_py_bindings.contract import BindingSpec, BindingType, FunctionSpec, Invocation
from func_py_bindings.explained import explaining

INSTANCE_PLACEHOLDER = "INSTANCEID"
"""Stands for the instance id in the URLs of a client payload; the SDK replaces it."""


class DurableTransport(Protocol):
    """Answers the requests of a durable client: the RPC API of the extension, without HTTP."""

    async def request(
        self,
        method: str,
        url: str,
        body: object | None,
        *,
        trace_parent: str | None,
        trace_state: str | None,
        invocation_id: str | None,
    ) -> tuple[int, object]:
        """Carry out one request.

        Args:
            method: GET, POST or DELETE.
            url: What the SDK built from `rpcBaseUrl`; not percent-encoded.
            body: The JSON value the SDK would have sent (mostly a text that holds JSON), or None.
            trace_parent: W3C trace context of the caller, when it has one.
            trace_state: The rest of it.
            invocation_id: The invocation of the calling function.

        Returns:
            Status code and the decoded JSON of the response; None for an empty one.
        """
        ...


class InProcessDurableClient(DurableOrchestrationClient):  # type: ignore[misc]  # SDK is untyped
    """A `DurableOrchestrationClient` whose requests go to a `DurableTransport`."""

    start_new = explaining(
        DurableOrchestrationClient.start_new,
        "client_input",
        lambda given: f"the input of orchestrator '{given['orchestration_function_name']}'",
    )
    raise_event = explaining(
        DurableOrchestrationClient.raise_event,
        "event_data",
        lambda given: f"the data of event '{given['event_name']}'",
        plain=True,
    )
    signal_entity = explaining(
        DurableOrchestrationClient.signal_entity,
        "operation_input",
        lambda given: (
            f"the input of operation '{given['operation_name']}' of '{given['entityId']}'"
        ),
        plain=True,
    )

    def __init__(
        self, payload: str, transport: DurableTransport, invocation_id: str | None = None
    ) -> None:
        super().__init__(payload, invocation_id)
        self._transport = transport
        self._post_async_request = self._post
        self._get_async_request = self._get
        self._delete_async_request = self._delete

    def for_invocation(self, invocation_id: str) -> InProcessDurableClient:
        """A client of the same hub for one invocation; parses nothing again."""
        client = copy.copy(self)
        client._function_invocation_id = invocation_id
        return client

    async def _post(
        self,
        url: str,
        data: object = None,
        trace_parent: str | None = None,
        trace_state: str | None = None,
        function_invocation_id: str | None = None,
    ) -> list[object]:
        status, answer = await self._transport.request(
            "POST",
            url,
            data,
            trace_parent=trace_parent,
            trace_state=trace_state,
            invocation_id=function_invocation_id,
        )
        return [status, answer]

    async def _get(self, url: str, function_invocation_id: str | None = None) -> list[object]:
        status, answer = await self._without_body("GET", url, function_invocation_id)
        # The SDK reads an empty status as "", never as None.
        return [status, "" if answer is None else answer]

    async def _delete(self, url: str, function_invocation_id: str | None = None) -> list[object]:
        return [*await self._without_body("DELETE", url, function_invocation_id)]

    async def _without_body(
        self, method: str, url: str, invocation_id: str | None
    ) -> tuple[int, object]:
        return await self._transport.request(
            method, url, None, trace_parent=None, trace_state=None, invocation_id=invocation_id
        )


class DurableClientInput:
    """Gives the client argument: a client object, or its JSON text to version 1 functions.

    `payload` is the text that `client_payload` made for the hub `hub_name`.
    """

    def __init__(self, hub_name: str, payload: str, transport: DurableTransport) -> None:
        self._hub_name = hub_name
        self._payload = payload
        self._client = InProcessDurableClient(payload, transport)

    def source(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation], object]:
        """See `InputSource.source`."""
        hub = str(binding.get("taskHub") or self._hub_name)
        if hub.lower() != self._hub_name.lower():
            raise ValueError(
                f"it names the task hub '{hub}', but this host runs the hub '{self._hub_name}'."
            )
        if not takes_client_object(function.function):
            return lambda invocation: self._payload
        return lambda invocation: self._client.for_invocation(invocation.invocation_id)


def takes_client_object(function: Callable[..., Any]) -> bool:
    """Whether the SDK's decorator wrapped this function: its code then expects a client object."""
    return callable(getattr(function, "client_function", None))


def without_middleware(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below the SDK's client middleware, which would build an HTTP client."""
    while callable(inner := getattr(function, "client_function", None)):
        function = inner
    return function


def client_payload(hub_name: str, base_url: str, rpc_base_url: str, code: str) -> str:
    """The JSON text of a durable client binding.

    Args:
        hub_name: The task hub.
        base_url: The management API, without a slash at the end:
            `http://<host>/runtime/webhooks/durabletask`.
        rpc_base_url: The loopback API that the SDK calls; a slash is added where it lacks one.
        code: The system key for the management API; empty for none.

    Source: the extension's client input binding.
    """
    key = f"code={quote(code, safe='')}" if code else ""
    storage = f"taskHub={quote(hub_name, safe='')}&connection=Storage"
    hub = f"{storage}&{key}" if key else storage
    instance = f"{base_url}/instances/{INSTANCE_PLACEHOLDER}"
    create = f"{base_url}/orchestrators/{{functionName}}[/{{instanceId}}]"
    wait = f"{create}?timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}"
    return json.dumps(
        {
            "taskHubName": hub_name,
            "creationUrls": {
                "createNewInstancePostUri": f"{create}?{key}" if key else create,
                "createAndWaitOnNewInstancePostUri": f"{create}?{wait}&{key}"
                if key
                else f"{create}?{wait}",
            },
            "managementUrls": {
                "id": INSTANCE_PLACEHOLDER,
                "statusQueryGetUri": f"{instance}?{hub}",
                "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{hub}",
                "terminatePostUri": f"{instance}/terminate?reason={{text}}&{hub}",
                "rewindPostUri": f"{instance}/rewind?reason={{text}}&{hub}",
                "purgeHistoryDeleteUri": f"{instance}?{hub}",
                "restartPostUri": f"{instance}/restart?{hub}",
                "suspendPostUri": f"{instance}/suspend?reason={{text}}&{hub}",
                "resumePostUri": f"{instance}/resume?reason={{text}}&{hub}",
            },
            "baseUrl": base_url,
            "requiredQueryStringParameters": key,
            "rpcBaseUrl": rpc_base_url if rpc_base_url.endswith("/") else rpc_base_url + "/",
        }
    )


def _accepts(annotation: object) -> bool:
    # The SDK re-annotates the parameter of its wrapper as `str`; what the user wrote is gone.
    return annotation in (str, bytes)


TYPES = tuple(
    BindingType(name, directions=frozenset({"in"}), accepts=_accepts)
    for name in ("durableClient", "orchestrationClient")
)
