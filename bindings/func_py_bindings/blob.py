"""The blob trigger, input and output: contents to `func.InputStream`, values to contents.

Knows no client of the service: the host reads a `BlobContent` and writes what `blob_bytes` gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.functions import _abc as sdk_abc
from azure.functions.meta import Datum

from func_py_bindings.contract import BindingSpec, BindingType, FunctionSpec
from func_py_bindings.converters import decoder, payload_datum, payload_form
from func_py_bindings.deferred import is_deferred
from func_py_bindings.expressions import Expression, parse_template

TRIGGER = "blobTrigger"
TYPE = "blob"

_CONTAINER = re.compile(r"\$root|\$logs|\$web|[a-z0-9](?:-?[a-z0-9]){2,62}")
_SOURCES = ("logsandcontainerscan", "eventgrid")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobContent:
    """A blob as it was read. `properties` are JSON values, with the names of the official host."""

    container: str
    name: str
    uri: str
    data: bytes
    properties: Mapping[str, object]
    metadata: Mapping[str, str]

    @property
    def path(self) -> str:
        """`container/name`."""
        return f"{self.container}/{self.name}"


class BlobPattern:
    """The path of a blob trigger, `container/pattern`: which blobs it means, and their data.

    Each expression stands for any text, as much as it can.

    Raises:
        ValueError: The path cannot be understood; the text says why.
    """

    def __init__(self, path: str) -> None:
        container, _, pattern = path.strip("/").partition("/")
        if problem := container_problem(container):
            raise ValueError(problem)
        self.container = container
        self._names: list[str] = []
        expression = ""
        for part in parse_template(pattern).parts:
            if isinstance(part, Expression):
                if len(part.path) > 1 or part.format:
                    raise ValueError(f"'{{{part}}}' in '{path}' must be a plain name")
                self._names.append(part.path[0])
                expression += "(.*)"
            else:
                expression += re.escape(part)
        lowered = [name.lower() for name in self._names]
        if len(set(lowered)) < len(lowered):
            raise ValueError(f"a name occurs twice in '{path}'")
        self._regex = re.compile(expression or ".*", re.DOTALL)

    def match(self, name: str) -> dict[str, str] | None:
        """What the expressions stand for in the name of a blob; None: it is not meant."""
        found = self._regex.fullmatch(name)
        return None if found is None else dict(zip(self._names, found.groups(), strict=True))


def blob_argument(
    spec: FunctionSpec, binding: BindingSpec
) -> Callable[[BlobContent | None], object]:
    """What makes the argument of a blob trigger or input; a blob that is none is None."""
    decode = decoder(spec, binding, TRIGGER if binding is spec.trigger else TYPE)
    form = payload_form(spec, binding)

    def argument(blob: BlobContent | None) -> object:
        if blob is None:
            return None
        metadata = {
            "BlobTrigger": blob.path,
            "Uri": blob.uri,
            "Properties": blob.properties,
            "Metadata": blob.metadata,
        }
        datum = payload_datum(blob.data, "bytes" if form == "either" else form)
        return decode(datum, {k: Datum(json.dumps(v), "json") for k, v in metadata.items()})

    return argument


def blob_data(blob: BlobContent, pattern: BlobPattern) -> Mapping[str, object]:
    """What binding expressions may refer to."""
    return {
        "BlobTrigger": blob.path,
        "Uri": blob.uri,
        "Properties": blob.properties,
        "Metadata": blob.metadata,
        **(pattern.match(blob.name) or {}),
    }


def blob_bytes(value: object) -> bytes:
    """The content that a value of an output means; something with `read` is read.

    Raises:
        TypeError: It can be no content.
    """
    read = getattr(value, "read", None)
    if callable(read):
        value = read()
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value).encode("utf-8")
    raise TypeError(
        f"a value of type '{type(value).__name__}' can be no content of a blob: set a str, bytes, "
        "or something with a read()"
    )


def container_problem(name: str) -> str | None:
    """Why a container cannot be called so, or None."""
    if _CONTAINER.fullmatch(name) and len(name) <= 63:
        return None
    return (
        f"'{name}' can be no name of a container: 3 to 63 lower-case letters, digits and single "
        "dashes, with a letter or digit at both ends"
    )


def split_path(path: str) -> tuple[str, str]:
    """Container and name of a blob.

    Raises:
        ValueError: It is no `container/name`.
    """
    container, _, name = path.strip("/").partition("/")
    if problem := container_problem(container):
        raise ValueError(problem)
    if not name:
        raise ValueError(f"'{path}' has no name of a blob after its container")
    return container, name


def _check(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    path = str(binding.get("path") or "")
    if not path:
        yield "it has no path."
        return
    try:
        if binding.type.lower() == TRIGGER.lower():
            BlobPattern(path)
        elif not parse_template(path).names:
            split_path(path)
    except ValueError as exc:
        yield f"path: {exc}."
    source = str(binding.get("source") or _SOURCES[0])
    if source.lower() not in _SOURCES:
        yield f"source: '{source}' is neither LogsAndContainerScan nor EventGrid."


def _accepts_input(annotation: object) -> bool:
    return is_deferred(annotation) or (
        isinstance(annotation, type) and issubclass(annotation, (sdk_abc.InputStream, bytes, str))
    )


def _accepts_output(annotation: object) -> bool:
    kinds = (str, bytes, bytearray, sdk_abc.InputStream)
    return (isinstance(annotation, type) and issubclass(annotation, kinds)) or callable(
        getattr(annotation, "read", None)
    )


def _accepts(annotation: object) -> bool:
    return _accepts_input(annotation) or _accepts_output(annotation)


TYPES = (
    BindingType(
        TRIGGER,
        directions=frozenset({"in"}),
        is_trigger=True,
        accepts=_accepts_input,
        check=_check,
    ),
    BindingType(TYPE, directions=frozenset({"in", "out"}), accepts=_accepts, check=_check),
)
