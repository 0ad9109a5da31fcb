"""What storage answers when it does not do what was asked, as errors of our tree; and telling
people once about a service that does not answer at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from func_py.errors import StorageError, StorageUnavailable
from func_py.storage.emulator import is_emulator

logger = logging.getLogger(__name__)

EXPECTED = frozenset({404, 409, 412})
"""Answers that callers ask for: it is not there, it is there already, it is another one."""

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class Answers:
    """How one service of one connection answers.

    Args:
        name: The connection's name.
        url: The service's address.
    """

    def __init__(self, name: str, url: str) -> None:
        self.url = url
        self._name = name
        self._is_told = False

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Around a request. `HttpResponseError` with a status of `EXPECTED` passes as it is.

        Raises:
            StorageUnavailable: The service did not answer, or not now.
            StorageError: It refused.
        """
        try:
            yield
        except (ServiceRequestError, ServiceResponseError) as exc:
            raise StorageUnavailable(self._away(exc)) from exc
        except HttpResponseError as exc:
            if exc.status_code in EXPECTED:
                raise
            text = f"{exc.status_code} {exc.reason or ''}".rstrip()
            if exc.status_code in _TRANSIENT:
                raise StorageUnavailable(f"{self._place} does not serve now: {text}.") from exc
            raise StorageError(f"{self._place} refused a request: {text}. {exc.message}") from exc
        except AzureError as exc:
            # Mostly a credential that could not be had.
            raise StorageUnavailable(self._away(exc)) from exc
        self._recovered()

    def tell(self, error: StorageError) -> None:
        """Log that a listener waits for the service: once, until it answers again."""
        if not self._is_told:
            self._is_told = True
            logger.warning("%s Functions that it triggers wait.", error)

    def _recovered(self) -> None:
        if self._is_told:
            self._is_told = False
            logger.warning("%s answers again.", self._place)

    @property
    def _place(self) -> str:
        parts = urlsplit(self.url)
        return f"The storage '{self._name}' at {parts.scheme}://{parts.netloc}"

    def _away(self, error: Exception) -> str:
        inner = getattr(error, "inner_exception", None)
        if isinstance(inner, OSError) and inner.errno:
            reason = os.strerror(inner.errno).lower()
        else:
            reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        text = f"{self._place} cannot be reached: {reason}."
        if is_emulator(self.url):
            text += " It is the emulator: start it with `func-py azurite`."
        return text
