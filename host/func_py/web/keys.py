"""Who may call what: the keys that a request shows, against the keys in the store."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable

from aiohttp import web
from multidict import istr

from func_py.errors import UserError
from func_py.keys import HOST, KeyStore, of_function
from func_py.keys import SYSTEM as SYSTEM_KEYS
from func_py.web.front_end import Handler
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.http import AuthLevel

logger = logging.getLogger(__name__)

_HEADER = istr("x-functions-key")
_PARAMETER = "code"


class KeyGuard:
    """Decides by keys; its instances are authorizers of the front end.

    Reads the store, which looks at the date of one or two files per request that needs a key. When
    the files cannot be read, no key opens anything, and the log says why.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._last_problem = ""

    def __call__(self, request: web.BaseRequest, function: FunctionSpec, level: AuthLevel) -> bool:
        """Whether a request may call a function of this level."""
        if level == "anonymous":
            return True
        if level == "admin":
            return self.is_master(request)
        return self._opens(request, lambda: self._function_keys(function.name))

    def is_master(self, request: web.BaseRequest) -> bool:
        """Whether a request shows the master key."""
        return self._opens(request, lambda: [self._store.master()])

    def has_system_key(self, request: web.BaseRequest, name: str) -> bool:
        """Whether a request shows the system key of this name, or the master key."""
        return self._opens(request, lambda: self._system_keys(name))

    def webhook(self, name: str, handler: Handler) -> Handler:
        """A handler that answers those who show this system key, and 401 to the others."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if not self.has_system_key(request, name):
                return web.Response(status=401)
            return await handler(request)

        return answer

    def _function_keys(self, function: str) -> Iterable[str]:
        yield from self._store.keys(of_function(function)).values()
        yield from self._store.keys(HOST).values()
        yield self._store.master()

    def _system_keys(self, name: str) -> Iterable[str]:
        key = self._store.get(SYSTEM_KEYS, name)
        if key is not None:
            yield key
        yield self._store.master()

    def _opens(self, request: web.BaseRequest, keys: Callable[[], Iterable[str]]) -> bool:
        shown = _shown_key(request)
        if not shown:
            return False
        given = shown.encode("utf-8", "surrogateescape")
        try:
            opens = any(hmac.compare_digest(given, key.encode()) for key in keys())
        except UserError as exc:
            if str(exc) != self._last_problem:
                self._last_problem = str(exc)
                logger.error("No key opens anything: %s", exc)
            return False
        self._last_problem = ""
        return opens


def _shown_key(request: web.BaseRequest) -> str:
    """The key of a request: the header's if there is one, also if it is wrong, or else `code`."""
    header = request.headers.get(_HEADER)
    if header is not None:
        return header
    if "?" not in request.raw_path:
        return ""
    return next((value for name, value in request.query.items() if name.lower() == _PARAMETER), "")
