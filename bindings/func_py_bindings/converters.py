"""Values of bindings through the converters of the SDK, as the official worker uses them.

A parameter that is annotated as `str` or `bytes` gets the value as it is, like one whose type the
SDK does not know.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

import azure.functions as func
from azure.functions.meta import Datum

from func_py_bindings.contract import BindingSpec, FunctionSpec

Decode = Callable[[Datum, Mapping[str, Datum]], object]
"""A datum and the trigger's metadata to the argument. Raises ValueError: it does not fit."""


def decoder(spec: FunctionSpec, binding: BindingSpec, sdk_type: str) -> Decode:
    """What makes the argument of an input binding.

    Args:
        spec: The function; the annotation of the parameter counts.
        binding: The trigger or input.
        sdk_type: The binding type as the SDK spells it.
    """
    converter = func.get_binding_registry().get(sdk_type)
    if converter is None or annotation_of(spec.function, binding.name) in (str, bytes):
        return lambda datum, metadata: datum.value
    takes_metadata = converter.has_trigger_support() and binding is spec.trigger

    def decode(datum: Datum, metadata: Mapping[str, Datum]) -> object:
        try:
            given = metadata if takes_metadata else None
            value: object = converter.decode(datum, trigger_metadata=given)
        except NotImplementedError as exc:
            raise ValueError(
                f"function '{spec.name}', binding '{binding.name}': a '{sdk_type}' binding cannot "
                f"make an argument of a value of type '{datum.type}'"
            ) from exc
        return value

    return decode


def annotation_of(function: Callable[..., Any], parameter: str) -> object:
    """The annotation of a parameter, or None. Those of loaded functions can be resolved."""
    return typing.get_type_hints(function).get(parameter)


PayloadForm = Literal["text", "bytes", "either"]


def payload_form(spec: FunctionSpec, binding: BindingSpec) -> PayloadForm:
    """In which form an input wants its payload: `dataType` decides, else the annotation does."""
    declared = str(binding.get("dataType") or "").lower()
    if declared in ("binary", "stream"):
        return "bytes"
    if declared == "string":
        return "text"
    annotation = annotation_of(spec.function, binding.name)
    return "bytes" if annotation is bytes else "text" if annotation is str else "either"


def payload_datum(payload: bytes, form: PayloadForm) -> Datum:
    """A payload as the SDK takes it; `either` is text wherever it can be read as such.

    Raises:
        ValueError: Text is wanted, and the payload is none.
    """
    if form != "bytes":
        try:
            return Datum(payload.decode("utf-8"), "string")
        except UnicodeDecodeError as exc:
            if form == "text":
                raise ValueError(
                    "the payload is no UTF-8 text: annotate the parameter with bytes"
                ) from exc
    return Datum(payload, "bytes")


def has_implicit_output(spec: FunctionSpec) -> bool:
    """Whether a returned value is no mistake though no binding is called `$return`.

    So it is where one of the bindings has a type that the SDK does not know, except for clients.
    """
    registry = func.get_binding_registry()
    for binding in spec.bindings:
        converter = registry.get(binding.type)
        if converter is None:
            if binding.type.lower() not in ("durableclient", "orchestrationclient"):
                return True
        elif hasattr(converter, "has_implicit_output") and converter.has_implicit_output():
            return True  # Those of outputs alone have no such method.
    return False
