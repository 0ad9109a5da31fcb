"""Recognises functions that take and give streams: those of the SDK's streaming extension.

An app opts in by annotating its trigger with the request type of an extension such as
`azurefunctions-extensions-http-fastapi`. Nothing here imports one: without an app that has, there
are no such functions.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from func_py_bindings.contract import FunctionSpec

_BASE = "azurefunctions.extensions.base"


def base_extension() -> ModuleType | None:
    """The module in which an extension registers its types, when the app has loaded one."""
    base = sys.modules.get(_BASE)
    return base if base is not None and base.HttpV2FeatureChecker.http_v2_enabled() else None


def is_stream_request(annotation: object) -> bool:
    """Whether a parameter takes the request as a stream."""
    base: Any = base_extension()
    return base is not None and bool(base.RequestTrackerMeta.check_type(annotation))


def is_stream_response(annotation: object) -> bool:
    """Whether a returned value can be sent by the extension."""
    base: Any = base_extension()
    return base is not None and bool(base.ResponseTrackerMeta.check_type(annotation))


def takes_stream(spec: FunctionSpec) -> bool:
    """Whether a function's HTTP trigger gives it the request as a stream."""
    if base_extension() is None or spec.problem:
        return False
    return is_stream_request(typing.get_type_hints(spec.function).get(spec.trigger.name))


def stream_data(request: object) -> Mapping[str, object]:
    """What binding expressions may refer to of a streamed request: its route and its query."""
    return {
        **getattr(request, "query_params", {}),
        **getattr(request, "path_params", {}),
    }
