"""From drafts to specs: settings filled in, rules checked, everything decided once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from func_py.config.app_settings import resolve_names
from func_py.discovery.indexing import FunctionDraft
from func_py.discovery.retry import retry_policy
from func_py.discovery.validation import file_of, function_problems, parameters_of, trigger_of
from func_py.errors import ConfigError, DiscoveryError
from func_py_bindings.contract import (
    BindingSpec,
    FunctionSpec,
    RetryPolicy,
    is_coroutine_callable,
    user_code,
)
from func_py_bindings.durable_client import without_middleware
from func_py_bindings.registry import default_registry

logger = logging.getLogger(__name__)

_NO_TRIGGER = BindingSpec(type="", name="", direction="in")

_ANSWERED_ONCE = frozenset(
    {"httptrigger", "orchestrationtrigger", "activitytrigger", "entitytrigger", "warmuptrigger"}
)
"""Triggers whose functions are not repeated by the host, whatever their retry policy says."""


class BrokenFunction:
    """Stands for a function that cannot be called: each call raises why."""

    def __init__(self, error: BaseException) -> None:
        # What the user's module raised tells more than our sentence about it.
        cause = error.__cause__ if isinstance(error, DiscoveryError) else None
        self._error = cause or error
        self._traceback = self._error.__traceback__

    def __call__(self, *arguments: object, **named: object) -> NoReturn:
        """Raise, with the traceback of the first time."""
        raise self._error.with_traceback(self._traceback)


class SpecMaker:
    """Makes the specs of one app.

    Args:
        root: The app root.
        app: The app's name when a host runs several, else empty.
        environ: App settings.
    """

    def __init__(self, root: Path, app: str, environ: Mapping[str, str]) -> None:
        self._root = root
        self._app = app
        self._environ = environ
        self._registry = default_registry()

    def make(self, draft: FunctionDraft) -> tuple[FunctionSpec, list[str]]:
        """The spec of a draft, and every problem of it, each with its place and name.

        A function with problems must not be called; its trigger may be missing.
        """
        bindings, problems = self._with_settings(draft.bindings)
        draft = replace(draft, bindings=tuple(bindings))
        trigger = trigger_of(draft, self._registry) or _NO_TRIGGER
        retry = None
        if draft.error is not None:
            problems.append(str(draft.error))
        else:
            problems += function_problems(draft, self._registry)
            try:
                retry = self._retry(draft, trigger)
            except ValueError as exc:
                problems.append(str(exc))
        where = f"{draft.location}: function '{draft.name}': "
        return self._spec(draft, trigger, retry), [where + problem for problem in problems]

    def _with_settings(
        self, bindings: tuple[BindingSpec, ...]
    ) -> tuple[list[BindingSpec], list[str]]:
        resolved, problems = [], []
        for binding in bindings:
            try:
                resolved.append(self._resolved(binding))
            except ConfigError as exc:
                problems.append(f"binding '{binding.name}': {exc.path}: {exc.problem}")
                resolved.append(binding)
        return resolved, problems

    def _resolved(self, binding: BindingSpec) -> BindingSpec:
        # As in the official host, where a route is the one text that refers to no setting.
        if binding.type.lower() == "httptrigger":
            return binding
        properties: dict[str, Any] = {
            key: resolve_names(value, self._environ, "", key) if isinstance(value, str) else value
            for key, value in binding.properties.items()
        }
        return replace(binding, properties=properties)

    def _retry(self, draft: FunctionDraft, trigger: BindingSpec) -> RetryPolicy | None:
        if draft.retry is None:
            return None
        if trigger.type.lower() in _ANSWERED_ONCE:
            logger.warning(
                "%s: function '%s': a retry policy has no effect on a '%s'.",
                draft.location,
                draft.name,
                trigger.type,
            )
            return None
        return retry_policy(draft.retry)

    def _spec(
        self, draft: FunctionDraft, trigger: BindingSpec, retry: RetryPolicy | None
    ) -> FunctionSpec:
        function = draft.function if draft.error is None else BrokenFunction(draft.error)
        return FunctionSpec(
            name=draft.name,
            app_root=self._root,
            directory=draft.directory or Path(file_of(function) or draft.script).parent,
            script_file=draft.script,
            function=function,
            is_async=is_coroutine_callable(without_middleware(function)),
            trigger=trigger,
            bindings=draft.bindings,
            parameters=parameters_of(function),
            python_name=getattr(user_code(function), "__name__", draft.name),
            app=self._app,
            retry=retry,
            lifespan=draft.lifespan,
            is_disabled=draft.is_disabled,
        )


def in_error(spec: FunctionSpec, problem: str) -> FunctionSpec:
    """The same function as one that is listed with a problem, and raises it when it is called."""
    function = spec.function
    if not isinstance(function, BrokenFunction):
        function = BrokenFunction(DiscoveryError([problem]))
    return replace(
        spec,
        function=function,
        is_async=False,
        parameters=(),
        python_name=spec.name,
        bindings=(spec.trigger,),
        retry=None,
        problem=problem,
    )
