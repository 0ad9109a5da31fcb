"""Parameters that are clients of the service's own SDK, as an extension of the app's makes them.

An app opts in by annotating a blob binding with a type of the package
`azurefunctions-extensions-bindings-blob`. Nothing here imports that: without an app that has, there
are no such parameters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azure.functions.meta import Datum

from func_py_bindings.contract import BindingSpec, FunctionSpec
from func_py_bindings.converters import annotation_of

_BASE = "azurefunctions.extensions.base"
_CONNECTION = "AzureWebJobsStorage"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBindingData:
    """What an extension makes a client of, in the words of the official worker."""

    version: str
    source: str
    content_type: str
    content: str


def is_deferred(annotation: object) -> bool:
    """Whether an annotation is a type of an extension."""
    base: Any = sys.modules.get(_BASE)
    return base is not None and bool(base.get_binding_registry().check_supported_type(annotation))


def deferred_blob(
    spec: FunctionSpec, binding: BindingSpec, sdk_type: str
) -> Callable[[str, str], object] | None:
    """What makes the argument of a container and a blob's name; None: the parameter is ordinary.

    Clients are made once for each blob: they are the SDK's, and hold connections.
    """
    annotation = annotation_of(spec.function, binding.name)
    if not is_deferred(annotation):
        return None
    converter = sys.modules[_BASE].get_binding_registry().get(sdk_type)
    connection = str(binding.get("connection") or _CONNECTION)
    made: dict[tuple[str, str], object] = {}

    def argument(container: str, name: str) -> object:
        key = (container, name)
        if key not in made or not _is_client(made[key]):
            place = {"Connection": connection, "ContainerName": container, "BlobName": name}
            data = ModelBindingData(
                version="1.0",
                source="AzureStorageBlobs",
                content_type="application/json",
                content=json.dumps(place),
            )
            datum = Datum(data, "model_binding_data")
            made[key] = converter.decode(datum, trigger_metadata=None, pytype=annotation)
        return made[key]

    return argument


def _is_client(value: object) -> bool:
    """A download is read once; a client is for every call."""
    return type(value).__name__.endswith("Client")
