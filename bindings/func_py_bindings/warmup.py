"""The warmup trigger: a function that runs once in a process, before the first work comes."""

from __future__ import annotations

from collections.abc import Callable

from azure.functions.meta import Datum
from azure.functions.warmup import WarmUpContext

from func_py_bindings.contract import BindingType, FunctionSpec
from func_py_bindings.converters import decoder

TYPE = "warmupTrigger"


def warmup_argument(spec: FunctionSpec) -> Callable[[None], object]:
    """What makes the argument of a warmup function."""
    decode = decoder(spec, spec.trigger, TYPE)
    return lambda nothing: decode(Datum("{}", "json"), {})


def _accepts(annotation: object) -> bool:
    return annotation in (str, bytes) or (
        isinstance(annotation, type) and issubclass(annotation, WarmUpContext)
    )


TYPES = (BindingType(TYPE, directions=frozenset({"in"}), is_trigger=True, accepts=_accepts),)
