"""Worker extensions: hooks that libraries register with the SDK to run around user code.

Only with `PYTHON_ENABLE_WORKER_EXTENSIONS`. A hook that fails is logged and changes nothing.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any

from azure.functions import ExtensionMeta

from func_py.invocation.context import current_invocation
from func_py_bindings.contract import FunctionSpec, is_coroutine_callable

_LOGGER = "azure_functions_worker.extension"
"""The official worker's name: extensions find their loggers below it."""


def extensions_loaded(functions: Iterable[FunctionSpec]) -> None:
    """Tell the extensions about every function that was loaded."""
    for spec in functions:
        directory = str(spec.directory)
        _run("post_function_load_app_level", _app_hooks(), spec.name, directory)
        _run("post_function_load", _function_hooks(spec), spec.name, directory)


def with_extensions(spec: FunctionSpec, call: Callable[..., Any]) -> Callable[..., Any]:
    """Run the hooks before `call`, app level first, and after it in the reverse order.

    Those after it are left out when it raises.
    """
    if is_coroutine_callable(call):

        @functools.wraps(call)
        async def extended(**arguments: Any) -> Any:
            _before(spec, arguments)
            returned = await call(**arguments)
            _after(spec, arguments, returned)
            return returned

        return extended

    @functools.wraps(call)
    def extended_plain(**arguments: Any) -> Any:
        _before(spec, arguments)
        returned = call(**arguments)
        _after(spec, arguments, returned)
        return returned

    return extended_plain


def _before(spec: FunctionSpec, arguments: dict[str, Any]) -> None:
    context = current_invocation.get()
    _run("pre_invocation_app_level", _app_hooks(), context, arguments, logs=True)
    _run("pre_invocation", _function_hooks(spec), context, arguments, logs=True)


def _after(spec: FunctionSpec, arguments: dict[str, Any], returned: object) -> None:
    context = current_invocation.get()
    _run("post_invocation", _function_hooks(spec), context, arguments, returned, logs=True)
    _run("post_invocation_app_level", _app_hooks(), context, arguments, returned, logs=True)


def _app_hooks() -> Any:
    return ExtensionMeta.get_application_hooks()


def _function_hooks(spec: FunctionSpec) -> Any:
    return ExtensionMeta.get_function_hooks(spec.name)


def _run(name: str, hooks: Any, *arguments: object, logs: bool = False) -> None:
    """Call every hook of one name; `logs`: each gets its own logger as first argument."""
    for hook in getattr(hooks, name, ()):
        logger = logging.getLogger(f"{_LOGGER}.{hook.ext_name}")
        try:
            hook.ext_impl(*((logger,) if logs else ()), *arguments)
        except Exception:
            logger.exception("The hook %s of the extension %s failed.", name, hook.ext_name)
