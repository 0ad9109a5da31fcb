"""What must hold of a function before it can run; each rule yields one complete sentence.

The rules are the official host's (names, bindings, routes) and the official worker's (signature),
so that an app that loads here also loads there. Where the official host is stricter without need,
a warning says so.
"""

from __future__ import annotations

import inspect
import logging
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

import azure.functions as func

from func_py.discovery.indexing import FunctionDraft, duplicate_name
from func_py.timers.schedule import parse_schedule
from func_py_bindings import timer
from func_py_bindings.contract import RETURN, BindingSpec, FunctionSpec, user_code
from func_py_bindings.durable_function import describe
from func_py_bindings.http import endpoint_of
from func_py_bindings.http_streaming import is_stream_request, is_stream_response
from func_py_bindings.registry import Registry

logger = logging.getLogger(__name__)

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_BINDING_NAME = re.compile(r"[a-z][a-z0-9]{0,127}", re.IGNORECASE)
_CONTEXT = "context"

_Collision = tuple[FunctionSpec, str]


def function_problems(draft: FunctionDraft, registry: Registry) -> Iterator[str]:
    """Every problem of one function, without its name and place."""
    if not _FUNCTION_NAME.fullmatch(draft.name) or draft.name.lower() == "host":
        yield "this is not a valid function name: a letter, then letters, digits, '_' and '-'."
    yield from _binding_problems(draft, registry)
    if not _is_driven(draft):
        yield from _signature_problems(draft, registry)


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that user code declares."""
    return tuple(inspect.signature(function).parameters)


def file_of(function: Callable[..., Any]) -> str:
    """The file that holds the user's code, or an empty text for a builtin."""
    code = getattr(user_code(function), "__code__", None)
    return "" if code is None else str(code.co_filename)


def trigger_of(draft: FunctionDraft, registry: Registry) -> BindingSpec | None:
    """The trigger among the bindings, or None when there is not exactly one."""
    triggers = [b for b in draft.bindings if is_trigger(b, registry)]
    return triggers[0] if len(triggers) == 1 else None


def is_trigger(binding: BindingSpec, registry: Registry) -> bool:
    """Whether a binding starts the function; by its name where the type is unknown."""
    known = registry.find(binding.type)
    return binding.type.lower().endswith("trigger") if known is None else known.is_trigger


def app_problems(functions: Sequence[FunctionSpec]) -> list[tuple[FunctionSpec, str]]:
    """Problems between functions: names, durable names and routes that collide.

    Each comes with the function that is in error, the later one by name.
    """
    return [
        *_name_collisions(functions),
        *_durable_collisions(functions),
        *_route_conflicts(functions),
    ]


def _binding_problems(draft: FunctionDraft, registry: Registry) -> Iterator[str]:
    if not draft.bindings:
        yield "at least one binding must be declared."
        return
    triggers = [b.name for b in draft.bindings if is_trigger(b, registry)]
    if len(triggers) != 1:
        count = "no trigger" if not triggers else f"{len(triggers)} triggers"
        yield f"a function must have exactly one trigger, this one has {count}."
    seen: set[str] = set()
    for binding in draft.bindings:
        name = binding.name
        if name.lower() in seen:
            yield f"multiple bindings with name '{name}': binding names must be unique."
        seen.add(name.lower())
        yield from _one_binding(draft, binding, registry)


def _one_binding(draft: FunctionDraft, binding: BindingSpec, registry: Registry) -> Iterator[str]:
    name = binding.name
    if name == RETURN:
        if binding.direction != "out":
            yield '"$return" binding must have direction set to "out".'
    elif not _BINDING_NAME.fullmatch(name):
        if not name.replace("_", "").isalnum():
            yield f"the binding name '{name}' is invalid: a letter, then letters and digits."
        else:
            logger.warning(
                "%s: function '%s': the binding name '%s' works here, but Azure allows only "
                "letters and digits in it.",
                draft.location,
                draft.name,
                name,
            )
    known = registry.find(binding.type)
    if known is None:
        yield f"binding '{name}': {registry.unknown(binding.type)}"
        return
    if binding.direction not in known.directions:
        allowed = "' or '".join(sorted(known.directions))
        yield f"binding '{name}': a '{known.name}' binding has direction '{allowed}'."
    for problem in known.check(binding, draft.function):
        yield f"binding '{name}': {problem}"
    if known.name == timer.TYPE:
        try:
            parse_schedule(str(binding.get("schedule") or ""), UTC)
        except ValueError as exc:
            yield f"binding '{name}': {exc}"


def _is_driven(draft: FunctionDraft) -> bool:
    """Orchestrators and entities: the SDK's handle takes the context by position."""
    return any(b.type.lower() in ("orchestrationtrigger", "entitytrigger") for b in draft.bindings)


def _signature_problems(draft: FunctionDraft, registry: Registry) -> Iterator[str]:
    bound = {b.name: b for b in draft.bindings if b.name != RETURN}
    parameters = set(parameters_of(draft.function))
    if _CONTEXT not in bound:
        parameters.discard(_CONTEXT)
    if missing := sorted(parameters - bound.keys()):
        yield (
            f"the parameters {_names(missing)} have no binding. "
            f"Bindings of this function: {_names(sorted(bound)) or 'none'}."
        )
    if missing := sorted(bound.keys() - parameters):
        yield (
            f"the bindings {_names(missing)} have no parameter. "
            f"Parameters of this function: {_names(sorted(parameters)) or 'none'}."
        )
    try:
        annotations = typing.get_type_hints(draft.function)
    except Exception as exc:  # noqa: BLE001  # Annotations are user code.
        yield f"its annotations cannot be resolved: {type(exc).__name__}: {exc}"
        return
    yield from _annotation_problems(draft, registry, bound, annotations)


def _annotation_problems(
    draft: FunctionDraft,
    registry: Registry,
    bound: Mapping[str, BindingSpec],
    annotations: Mapping[str, Any],
) -> Iterator[str]:
    takes_stream = any(is_stream_request(annotation) for annotation in annotations.values())
    for name, annotation in annotations.items():
        if name == "return":
            if not (takes_stream and is_stream_response(annotation)):
                yield from _return_problems(draft, registry, annotation)
        elif name == _CONTEXT and name not in bound:
            if getattr(annotation, "__name__", "") != "Context":
                yield (
                    'the "context" parameter is expected to be of type azure.functions.Context, '
                    f"got {_type_name(annotation)}."
                )
        elif name in bound:
            yield from _parameter_problems(bound[name], registry, annotation)


def _parameter_problems(binding: BindingSpec, registry: Registry, annotation: Any) -> Iterator[str]:
    is_out = _is_out(annotation)
    if is_out != (binding.direction == "out"):
        wanted = "azure.functions.Out[...]" if binding.direction == "out" else "a plain type"
        yield (
            f"parameter '{binding.name}' is an {binding.direction} binding: annotate it with "
            f"{wanted}, not {_type_name(annotation)}."
        )
        return
    if is_out:
        arguments = typing.get_args(annotation)
        annotation = arguments[0] if arguments else Any
    known = registry.find(binding.type)
    if known is None or annotation is Any or isinstance(annotation, typing.TypeVar):
        return
    if not known.accepts(annotation):
        yield (
            f"parameter '{binding.name}': a '{known.name}' binding does not match the annotation "
            f"{_type_name(annotation)}."
        )


def _return_problems(draft: FunctionDraft, registry: Registry, annotation: Any) -> Iterator[str]:
    if _is_out(annotation):
        yield "the return annotation must not be azure.functions.Out."
        return
    binding = next((b for b in draft.bindings if b.name == RETURN), None)
    known = None if binding is None else registry.find(binding.type)
    if known is None or annotation is Any or not isinstance(annotation, type):
        return
    if not known.accepts(annotation):
        yield (
            f"the return annotation {_type_name(annotation)} does not match the output binding "
            f"'{known.name}'."
        )


def _name_collisions(functions: Sequence[FunctionSpec]) -> Iterator[_Collision]:
    seen: dict[str, FunctionSpec] = {}
    for spec in functions:
        first = seen.setdefault(spec.name.lower(), spec)
        if first is not spec:
            yield spec, duplicate_name(spec.name, first.location, spec.location)


def _durable_collisions(functions: Sequence[FunctionSpec]) -> Iterator[_Collision]:
    seen: dict[tuple[str, str], FunctionSpec] = {}
    for spec in functions:
        durable = describe(spec)
        if durable is None or durable.name.lower() == spec.name.lower():
            continue
        first = seen.setdefault((durable.kind, durable.name.lower()), spec)
        if first is not spec:
            problem = (
                f"{spec.location}: the {durable.kind} name '{durable.name}' of function "
                f"'{spec.name}' is taken already, by function '{first.name}' at {first.location}."
            )
            yield spec, problem


def _route_conflicts(functions: Sequence[FunctionSpec]) -> Iterator[_Collision]:
    seen: dict[str, list[tuple[frozenset[str], FunctionSpec]]] = {}
    for spec in sorted(functions, key=lambda f: f.name.lower()):
        endpoint = endpoint_of(spec)
        if endpoint is None:
            continue
        others = seen.setdefault(endpoint.route.lower(), [])
        for methods, other in others:
            if not methods or not endpoint.methods or methods & endpoint.methods:
                problem = (
                    f"{spec.location}: the route '{endpoint.route}' of function '{spec.name}' "
                    f"conflicts with the route of function '{other.name}' at {other.location}."
                )
                yield spec, problem
                break
        others.append((endpoint.methods, spec))


def _is_out(annotation: Any) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, func.Out)


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return f"{annotation.__module__}.{annotation.__qualname__}"
    return repr(annotation)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
