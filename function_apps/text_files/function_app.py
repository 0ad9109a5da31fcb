"""Text files that are put into a container, and counted when they are there."""

import json
import logging
import re
from collections import Counter

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

STORAGE = "AzureWebJobsStorage"


@app.route(route="texts/{name}", methods=["PUT"])
@app.blob_output(arg_name="text", path="texts/{name}.txt", connection=STORAGE)
async def put_text(req: func.HttpRequest, text: func.Out[bytes]) -> func.HttpResponse:
    text.set(req.get_body())
    return func.HttpResponse(status_code=202)


@app.blob_trigger(arg_name="text", path="texts/{name}.txt", connection=STORAGE)
@app.blob_output(arg_name="counts", path="counts/{name}.json", connection=STORAGE)
def count_file(text: func.InputStream, counts: func.Out[str]) -> None:
    logging.info("Counting the words of %s, %d bytes.", text.name, text.length)
    words = Counter(re.findall(r"\w+", text.read().decode().lower()))
    counts.set(json.dumps(words))


@app.route(route="texts/{name}/words", methods=["GET"])
@app.blob_input(arg_name="counts", path="counts/{name}.json", connection=STORAGE)
async def show_words(req: func.HttpRequest, counts: str) -> func.HttpResponse:
    if counts is None:
        return func.HttpResponse("not counted yet\n", status_code=404)
    return func.HttpResponse(counts, mimetype="application/json")
