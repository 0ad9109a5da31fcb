"""What becomes of the returned value where nobody waits for one."""

from __future__ import annotations

from collections.abc import Mapping

from func_py.invocation.invoker import Finish
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.converters import has_implicit_output


def no_result(spec: FunctionSpec) -> Finish[None]:
    """The end of invocations of a function whose trigger takes no result.

    A value that no binding takes is a mistake, as in the official worker: raises TypeError.
    """
    takes_value = spec.return_binding is not None or has_implicit_output(spec)

    def finish(returned: object, outputs: Mapping[str, object]) -> None:
        if returned is not None and not takes_value:
            raise TypeError(
                f"function '{spec.name}' without a $return binding returned a non-None value of "
                f"type '{type(returned).__name__}'"
            )

    return finish
