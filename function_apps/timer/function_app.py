"""A timer function, which fires every minute, and a function that shows its last firings."""

import json
import logging
from collections import deque
from datetime import UTC, datetime

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

beats: deque[str] = deque(maxlen=10)


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def heartbeat(timer: func.TimerRequest) -> None:
    if timer.past_due:
        logging.warning("This heartbeat comes late.")
    beats.append(datetime.now(UTC).isoformat(timespec="seconds"))


@app.route(route="heartbeats", methods=["GET"])
async def heartbeats(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(list(beats)), mimetype="application/json")
