"""A guest book in a table: a partition for each house, a row for each entry."""

import json
import uuid

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

STORAGE = "AzureWebJobsStorage"


@app.route(route="guests/{house}", methods=["POST"])
@app.table_output(
    arg_name="entry", table_name="GuestBook", partition_key="{house}", connection=STORAGE
)
async def sign(req: func.HttpRequest, entry: func.Out[str]) -> func.HttpResponse:
    key = uuid.uuid4().hex[:8]
    entry.set(json.dumps({"RowKey": key, "Text": req.get_body().decode(), "Stars": 5}))
    return func.HttpResponse(key, status_code=201)


@app.route(route="guests/{house}", methods=["GET"])
@app.table_input(
    arg_name="entries", table_name="GuestBook", partition_key="{house}", connection=STORAGE
)
async def read(req: func.HttpRequest, entries: str) -> func.HttpResponse:
    texts = sorted(entry["Text"] for entry in json.loads(entries))
    return func.HttpResponse(json.dumps(texts), mimetype="application/json")


@app.route(route="guests/{house}/{key}", methods=["GET"])
@app.table_input(
    arg_name="entries",
    table_name="GuestBook",
    partition_key="{house}",
    row_key="{key}",
    connection=STORAGE,
)
async def read_one(req: func.HttpRequest, entries: str) -> func.HttpResponse:
    found = json.loads(entries)
    return func.HttpResponse(found[0]["Text"] if found else "", status_code=200 if found else 404)
