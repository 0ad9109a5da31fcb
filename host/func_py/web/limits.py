"""Limits on requests in progress: host.json's `maxOutstandingRequests`, `maxConcurrentRequests`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext

from aiohttp import web

from func_py.web.front_end import Handler

logger = logging.getLogger(__name__)

_ADMIN = "/admin/"


class RequestLimits:
    """Lets requests wait, and refuses them with 429 when too many do. The admin API is exempt.

    Args:
        outstanding: Requests running and waiting at most; below 1: as many as come.
        concurrent: Requests running at most; below 1: as many as come.
    """

    def __init__(self, outstanding: int, concurrent: int) -> None:
        self._outstanding = outstanding
        self._slots = asyncio.Semaphore(concurrent) if concurrent > 0 else nullcontext()
        self._in_progress = 0
        self._is_overrun = False

    def around(self, handler: Handler) -> Handler:
        """A handler that keeps to the limits."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if request.path.lower().startswith(_ADMIN):
                return await handler(request)
            if 0 < self._outstanding <= self._in_progress:
                return self._refuse()
            self._in_progress += 1
            try:
                async with self._slots:
                    return await handler(request)
            finally:
                self._in_progress -= 1
                if self._in_progress * 2 <= self._outstanding:
                    self._is_overrun = False

        return answer

    def _refuse(self) -> web.Response:
        if not self._is_overrun:  # One line for each time it happens, not for each request.
            self._is_overrun = True
            logger.warning("Http request queue limit of %d has been exceeded.", self._outstanding)
        return web.Response(status=429, headers={"X-FUNCTION-SCALEOUT": "1"})
