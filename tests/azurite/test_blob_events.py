"""What Event Grid sends, and what it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import RawTestServer, TestClient
from support.storage import Site

from func_py.errors import StorageUnavailable
from func_py.runtime.blob_events import BlobEvents
from func_py.storage.receipts import Receipts
from func_py.triggers.blobs import WatchedFunction
from func_py_bindings.blob import BlobPattern


class Told:
    """What functions were told; `is_away`: it cannot be done."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_away = False

    async def __call__(self, function: WatchedFunction, name: str, etag: str) -> None:
        if self.is_away:
            raise StorageUnavailable("away")
        self.lines.append(f"{function.id} {name} {etag}")


async def post(
    site: Site, told: Told, body: object, kind: str = "Notification", **changes: Any
) -> tuple[int, str]:
    """Send something to the endpoint of `Host.Functions.f`, which wants text files."""
    function = WatchedFunction("Host.Functions.f", BlobPattern("box/{n}.txt"))
    receipts = Receipts(site.connections, f"host{site.id}")
    events = BlobEvents([function], receipts, told)
    request: dict[str, Any] = {
        "method": "POST",
        "path": "/runtime/webhooks/blobs?functionName=host.functions.F",
        "data": body if isinstance(body, str) else json.dumps(body),
        "headers": {"aeg-event-type": kind},
        **changes,
    }
    client: TestClient[Any, Any] = TestClient(RawTestServer(events.handle))
    async with client:
        answer = await client.request(request.pop("method"), request.pop("path"), **request)
        return answer.status, answer.headers.get("WebHook-Allowed-Origin") or await answer.text()


def written(url: str, etag: str = "0x1", **changes: Any) -> dict[str, Any]:
    """The event of a blob."""
    data = {"api": "PutBlob", "url": url, "eTag": etag, "blobType": "BlockBlob"}
    return {"eventType": "Microsoft.Storage.BlobCreated", "subject": "s", "data": data, **changes}


ACCOUNT = "https://a.blob.core.windows.net"


async def test_a_function_is_told_once_of_each_blob_that_it_wants(site: Site) -> None:
    told = Told()
    wanted = written(f"{ACCOUNT}/box/a%20b.txt")
    others = [
        written(f"{ACCOUNT}/box/a.json"),
        written(f"{ACCOUNT}/bag/a.txt"),
        written(f"{ACCOUNT}/box/gone.txt", eventType="Microsoft.Storage.BlobDeleted"),
    ]
    for _ in range(2):
        assert await post(site, told, [wanted, *others]) == (202, "")
    assert told.lines == ["Host.Functions.f a b.txt 0x1"]
    cloud = {**written(f"{ACCOUNT}/box/x.txt", '"0x2"'), "type": "Microsoft.Storage.BlobCreated"}
    del cloud["eventType"]
    assert await post(site, told, cloud) == (202, "")
    assert told.lines[1:] == ["Host.Functions.f x.txt 0x2"]


async def test_what_could_not_be_told_is_to_be_sent_again(site: Site) -> None:
    told = Told()
    told.is_away = True
    events = [written(f"{ACCOUNT}/box/a.txt")]
    assert (await post(site, told, events))[0] == 503
    told.is_away = False
    assert (await post(site, told, events))[0] == 202
    assert told.lines == ["Host.Functions.f a.txt 0x1"]


async def test_a_subscription_is_confirmed(site: Site) -> None:
    code = {"validationCode": "512d38b6", "validationUrl": "https://x"}
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": code}
    for body in ([event], {**event, "data": json.dumps(code)}):
        status, text = await post(site, Told(), body, "SubscriptionValidation")
        assert (status, json.loads(text)) == (200, {"validationResponse": "512d38b6"})
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    answer = await post(site, Told(), "", method="OPTIONS", headers=asked)
    assert answer == (200, "eventgrid.azure.net")
    assert (await post(site, Told(), "", "Unsubscribe"))[0] == 202


@pytest.mark.parametrize(
    ("body", "kind", "changes", "status"),
    [
        ("[]", "Notification", {"path": "/?functionName=Host.Functions.g"}, 404),
        ("[]", "Notification", {"method": "GET"}, 400),
        ("[]", "", {}, 400),
        ("nonsense", "Notification", {}, 400),
        ([{"eventType": "Microsoft.Storage.BlobCreated"}], "Notification", {}, 400),
        ("[]", "SubscriptionValidation", {}, 400),
        ([{}], "SubscriptionValidation", {}, 400),
    ],
)
async def test_what_is_no_event_is_refused(
    site: Site, body: object, kind: str, changes: dict[str, Any], status: int
) -> None:
    assert (await post(site, Told(), body, kind, **changes))[0] == status
