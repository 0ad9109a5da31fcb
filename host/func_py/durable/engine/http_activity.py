"""The built-in activity behind `context.call_http`: one durable HTTP call, polled to its end.

The SDK gives such a call one task and one completion, so an answer 202 is followed up here, inside
the activity. As every activity the call is made at least once.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import msgspec

from func_py.clock import Clock, wait_until
from func_py.durable.engine.functions import ActivityRunner
from func_py.durable.model import ActivityResult, ActivityTask, FailureDetails
from func_py.durable.replay.decisions import HTTP_ACTIVITY_NAME
from func_py.errors import UserError

if TYPE_CHECKING:
    import aiohttp

_SILENCE_S = 300.0
"""How long a server may say nothing."""

_CONNECT_S = 30.0

_KEY_HEADER = "x-functions-key"

_NAME = HTTP_ACTIVITY_NAME.lower()


class TokenSource(msgspec.Struct, frozen=True):
    """Where a bearer token comes from."""

    resource: str
    kind: str = "AzureManagedIdentity"


class HttpCall(msgspec.Struct, frozen=True, rename={"token_source": "tokenSource"}):
    """The SDK's request."""

    method: str
    uri: str
    content: str | None = None
    headers: dict[str, str] | None = None
    token_source: TokenSource | None = None


_decoder = msgspec.json.Decoder(HttpCall)


class HttpActivity:
    """An activity runner that makes HTTP calls itself and leaves all else to another one."""

    def __init__(self, runner: ActivityRunner, clock: Clock, poll_interval: timedelta) -> None:
        """`poll_interval`: between polls, where the server does not say `Retry-After`."""
        self._runner = runner
        self._clock = clock
        self._poll_interval = poll_interval
        self._session: aiohttp.ClientSession | None = None
        self._credential: Any = None

    def run(self, task: ActivityTask) -> Coroutine[None, None, ActivityResult]:
        """See `ActivityRunner.run`. Any answer of a server is a result, none a failure."""
        if task.name.lower() != _NAME:
            return self._runner.run(task)
        return self._call(task)

    def thread_limit(self, name: str) -> int:
        """See `ActivityRunner.thread_limit`."""
        return self._runner.thread_limit(name)

    async def _call(self, task: ActivityTask) -> ActivityResult:
        # Here and not above: most apps never call, and the import is felt at their start.
        import aiohttp

        try:
            call = _decoder.decode(task.input or "")
        except msgspec.DecodeError as error:
            return _failed(error, f"the request cannot be read: {error}")
        try:
            return ActivityResult(result=json.dumps(await self._answer(call, task)))
        except (aiohttp.ClientError, OSError, ValueError, UserError) as error:
            # A TimeoutError, which is an OSError, has no text.
            return _failed(error, f"{call.method} {call.uri}: {str(error) or 'no answer in time'}")

    async def close(self) -> None:
        """Close what was opened. Idempotent."""
        session, self._session = self._session, None
        credential, self._credential = self._credential, None
        if session is not None:
            await session.close()
        if credential is not None:
            await credential.close()

    async def _answer(self, call: HttpCall, task: ActivityTask) -> dict[str, Any]:
        """The final answer: polls while it is 202 and says where to look."""
        headers = _headers(call, task)
        method, uri, content = call.method, call.uri, call.content
        while True:
            if call.token_source is not None:
                headers["Authorization"] = f"Bearer {await self._token(call.token_source)}"
            async with self._client().request(
                method, uri, data=None if content is None else content.encode(), headers=headers
            ) as response:
                location = response.headers.get("Location", "")
                if response.status != 202 or not location:
                    return {
                        "statusCode": response.status,
                        "headers": _shown(response.headers),
                        "content": await response.text(errors="replace"),
                    }
                delay = self._delay(response.headers.get("Retry-After", ""))
                uri = urljoin(str(response.url), location)
            method, content = "GET", None
            headers = {name: text for name, text in headers.items() if _is_for_polls(name)}
            await wait_until(self._clock, self._clock.now() + delay)

    def _delay(self, retry_after: str) -> timedelta:
        """What the server asks for, in seconds or as a date; else the default."""
        if retry_after.strip().isdecimal():
            return timedelta(seconds=int(retry_after))
        try:
            return parsedate_to_datetime(retry_after) - self._clock.now()
        except (ValueError, TypeError):
            return self._poll_interval

    def _client(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=["Accept-Encoding", "Content-Type"],
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S
                ),
                trust_env=True,
            )
        return self._session

    async def _token(self, source: TokenSource) -> str:
        if self._credential is None:
            try:
                from azure.identity.aio import DefaultAzureCredential
            except ImportError as error:
                raise UserError(
                    "a token of a managed identity needs the package azure-identity, which is not "
                    "installed. Add it to requirements.txt."
                ) from error
            self._credential = DefaultAzureCredential()
        try:
            token = await self._credential.get_token(source.resource.rstrip("/") + "/.default")
        except Exception as error:
            raise UserError(f"no token for '{source.resource}': {error}") from error
        return str(token.token)


def _headers(call: HttpCall, task: ActivityTask) -> dict[str, str]:
    headers = dict(call.headers or {})
    given = {name.lower(): text for name, text in headers.items()}
    if given.get("content-type", "").lower().startswith("multipart/"):
        raise UserError("multipart content is not supported by call_http")
    if call.content is not None and "content-type" not in given:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    if task.trace is not None and "traceparent" not in given:
        headers["traceparent"] = task.trace.trace_parent
    return headers


def _is_for_polls(name: str) -> bool:
    """A poll has the headers of the request but those of its content, and no function key."""
    return name.lower() != _KEY_HEADER and not name.lower().startswith("content-")


def _shown(headers: Any) -> dict[str, str | list[str]]:
    """Headers for the SDK: a list where a name has several values."""
    return {
        name: values[0] if len(values) == 1 else values
        for name in dict.fromkeys(headers)
        for values in [list(headers.getall(name))]
    }


def _failed(error: Exception, text: str) -> ActivityResult:
    return ActivityResult(failure=FailureDetails(type=type(error).__name__, message=text))
