"""The lifespan of an ASGI app that is a function app: one start-up and one shutdown per process.

The SDK sends the start-up with the first request, twice when two come at once, and the shutdown
from a finalizer, on another event loop. Here both are sent by the host, on its loop.
"""

from __future__ import annotations

import azure.functions as func


class AsgiLifespan:
    """Tells the ASGI app behind a `func.AsgiFunctionApp` that its host starts and stops."""

    def __init__(self, app: func.AsgiFunctionApp) -> None:
        self._app = app

    async def start(self) -> None:
        """Run the app's start-up code. Where it reports a failure, each request tries again."""
        self._app.startup_task_done = bool(await self._app.middleware.notify_startup())

    async def stop(self) -> None:
        """Run the app's shutdown code, when its start-up succeeded."""
        if self._app.startup_task_done:
            self._app.startup_task_done = False
            await self._app.middleware.notify_shutdown()
