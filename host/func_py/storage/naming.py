"""Names that a binding gives with expressions, made anew for each invocation."""

from __future__ import annotations

import re

from func_py.clock import Clock
from func_py_bindings.contract import BindingSpec, FunctionSpec, Invocation
from func_py_bindings.expressions import Template, parse_template

_BARE = re.compile(r"[-+]?\d+(\.\d+)?L?|true|false")


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
        return self._rendered(self.template, invocation)

    def _rendered(self, template: Template, invocation: Invocation) -> str:
        try:
            return template.render(invocation.binding_data, self._function, self._clock.now())
        except ValueError as exc:
            raise ValueError(f"{self._where}: {exc}") from exc


class FilterNaming(Naming):
    """A filter in OData. What is filled in stays one value, whatever a caller sends."""

    def name(self, invocation: Invocation) -> str:
        """The filter for one invocation.

        Raises:
            ValueError: An expression has no value, or one that must stand in quotes and does not.
        """
        text = ""
        for part in self.template.parts:
            if isinstance(part, str):
                text += part
                continue
            value = self._rendered(Template((part,)), invocation)
            if text.count("'") % 2:
                text += value.replace("'", "''")
            elif _BARE.fullmatch(value):
                text += value
            else:
                raise ValueError(
                    f"{self._where}: the value of {{{part}}} is no number and no truth value, "
                    f"so it must stand in quotes: '{{{part}}}'"
                )
        return text
