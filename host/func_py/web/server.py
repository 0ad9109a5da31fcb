"""aiohttp's low-level server, answering what is no request, and our own mistakes, as we do."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

logger = logging.getLogger(__name__)

LINE_LIMIT = 8 * 1024
"""Bytes of a request line at most; the official server's."""

HEADER_LIMIT = 32 * 1024
"""Bytes of a header at most: it may hold a large token."""


class Server(web.Server):
    """Makes the protocol of each connection."""

    def __call__(self) -> RequestHandler:
        """See `web.Server`."""
        return _Connection(
            self,
            loop=self._loop,
            max_line_size=LINE_LIMIT,
            max_field_size=HEADER_LIMIT,
            **self._kwargs,
        )


class _Connection(RequestHandler):
    """One connection. Answers to mistakes are empty: texts may quote what a client sent."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request (a client's mistake), or to an exception of ours."""
        if isinstance(exc, HttpProcessingError):
            # One line, seldom wanted: an open port gets all kinds of traffic.
            logger.info("No HTTP request from %s: %s", request.remote, type(exc).__name__)
            status = _status(exc)
        else:
            logger.error("A request failed in the host: %s", request.raw_path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("half of a response is out: the connection must be closed")
        response = web.Response(status=status, headers={"Server": "func-py"})
        response.force_close()
        return response


def _status(error: HttpProcessingError) -> int:
    if isinstance(error, LineTooLong):
        return 414 if str(error.args[1]) == str(LINE_LIMIT) else 431
    return 400
