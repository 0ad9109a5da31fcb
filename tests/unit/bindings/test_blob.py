# mypy: disable-error-code="untyped-decorator"
"""Blob bindings: which blobs a path means, what arguments are made of them, and they of values."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest
from support.apps import functions

from func_py_bindings.blob import (
    BlobContent,
    BlobPattern,
    blob_argument,
    blob_bytes,
    blob_data,
)
from func_py_bindings.contract import BindingSpec
from func_py_bindings.registry import default_registry

BLOB = BlobContent(
    container="samples",
    name="a/b.txt",
    uri="http://host/samples/a/b.txt",
    data="grün".encode(),
    properties={"Length": 5, "ETag": "x"},
    metadata={"author": "Ada"},
)


@pytest.mark.parametrize(
    ("path", "name", "data"),
    [
        ("samples", "a/b.txt", {}),
        ("samples/{name}", "a/b.txt", {"name": "a/b.txt"}),
        ("samples/{name}.{ext}", "a.b.txt", {"name": "a.b", "ext": "txt"}),
        ("samples/{dir}/{name}", "a/b/c", {"dir": "a/b", "name": "c"}),
        ("samples/in-{name}", "out-x", None),
        ("samples/{{{name}}}", "{x}", {"name": "x"}),
        ("samples/a.c", "abc", None),
        ("$root/{name}", "x", {"name": "x"}),
    ],
)
def test_pattern_of_a_trigger(path: str, name: str, data: dict[str, str] | None) -> None:
    assert BlobPattern(path).match(name) == data


@pytest.mark.parametrize(
    ("kind", "properties", "problem"),
    [
        ("blobTrigger", {}, "it has no path."),
        ("blobTrigger", {"path": "No/{name}"}, "can be no name of a container"),
        ("blobTrigger", {"path": "abc/{a.b}"}, "must be a plain name"),
        ("blobTrigger", {"path": "abc/{a}{A}"}, "a name occurs twice"),
        ("blobTrigger", {"path": "abc", "source": "Magic"}, "source: 'Magic'"),
        ("blob", {"path": "abc"}, "has no name of a blob"),
        ("blob", {"path": "abc/{x"}, "has no closing"),
    ],
)
def test_mistakes_in_declarations_are_told(
    kind: str, properties: dict[str, str], problem: str
) -> None:
    found = default_registry().find(kind)
    assert found is not None
    (sentence,) = found.check(BindingSpec(kind, "b", "in", properties), lambda: None)
    assert problem in sentence


def argument(code: Callable[..., Any], blob: BlobContent | None = BLOB) -> Any:
    app = func.FunctionApp()
    app.function_name("f")(app.blob_trigger("b", "samples/{name}", "")(code))
    spec = functions(app)["f"]
    return blob_argument(spec, spec.trigger)(blob)


def test_stream_has_everything_the_service_says() -> None:
    def code(b: func.InputStream) -> None: ...

    stream = argument(code)
    assert (stream.name, stream.uri, stream.length) == ("samples/a/b.txt", BLOB.uri, 5)
    assert (stream.blob_properties["ETag"], stream.metadata) == ("x", {"author": "Ada"})
    assert stream.read(2) + stream.read() == "grün".encode()


def test_annotation_decides_between_text_and_bytes() -> None:
    def text(b: str) -> None: ...
    def raw(b: bytes) -> None: ...

    assert argument(text) == "grün"
    assert argument(raw) == "grün".encode()
    assert argument(text, None) is None


def test_expressions_find_what_the_pattern_stands_for() -> None:
    data = blob_data(BLOB, BlobPattern("samples/{dir}/{file}"))
    assert (data["dir"], data["file"], data["BlobTrigger"]) == ("a", "b.txt", "samples/a/b.txt")


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("grün", "grün".encode()),
        (bytearray(b"x"), b"x"),
        (io.StringIO("x"), b"x"),
        (io.BytesIO(b"x"), b"x"),
        ({"a": 1}, b'{"a": 1}'),
    ],
)
def test_value_becomes_content(value: object, content: bytes) -> None:
    assert blob_bytes(value) == content


def test_value_that_can_be_no_content_is_refused() -> None:
    with pytest.raises(TypeError, match="can be no content of a blob"):
        blob_bytes(object())
