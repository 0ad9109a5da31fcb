"""Names that a binding gives with expressions, made anew for each invocation."""

from __future__ import annotations

from func_py.clock import Clock
from func_py_bindings.contract import BindingSpec, FunctionSpec, Invocation
from func_py_bindings.expressions import parse_template


class Naming:
    """One property of a binding, such as `queueName`; absent, it is an empty text.

    Raises:
        ValueError: Its braces are wrong.
    """

    def __init__(
        self, function: FunctionSpec, binding: BindingSpec, key: str, clock: Clock
    ) -> None:
        self._function = function.name
        self._where = f"binding '{binding.name}': {key}"
        self._clock = clock
        text = binding.get(key)
        self.template = parse_template("" if text is None else str(text))

    def name(self, invocation: Invocation) -> str:
        """The text for one invocation.

        Raises:
            ValueError: An expression has no value.
        """
        try:
            return self.template.render(invocation.binding_data, self._function, self._clock.now())
        except ValueError as exc:
            raise ValueError(f"{self._where}: {exc}") from exc
