"""The SDK's orchestration context, whose errors say which value could not become JSON, and where.

Nothing else is changed: what is raised stays what the SDK, or the user's `to_json`, raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.durable_functions.models import DurableOrchestrationContext

from func_py_bindings.explained import explain_read, explaining

Arguments = Mapping[str, Any]


def _function(name: Any) -> str:
    """The name that the SDK takes from a function object of the decorators."""
    return str(name._function._name if hasattr(name, "_function") else name)


def _activity_input(given: Arguments) -> str:
    return f"the input of activity '{_function(given['name'])}'"


def _child_input(given: Arguments) -> str:
    return f"the input of sub-orchestration '{_function(given['name'])}'"


def _operation_input(given: Arguments) -> str:
    return f"the input of operation '{given['operationName']}' of '{given['entityId']}'"


class ExplainingContext(DurableOrchestrationContext):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's context with explained errors. `orchestrator_name` is set by who makes it."""

    orchestrator_name = ""

    call_activity = explaining(DurableOrchestrationContext.call_activity, "input_", _activity_input)
    call_activity_with_retry = explaining(
        DurableOrchestrationContext.call_activity_with_retry, "input_", _activity_input
    )
    call_sub_orchestrator = explaining(
        DurableOrchestrationContext.call_sub_orchestrator, "input_", _child_input
    )
    call_sub_orchestrator_with_retry = explaining(
        DurableOrchestrationContext.call_sub_orchestrator_with_retry, "input_", _child_input
    )
    call_entity = explaining(
        DurableOrchestrationContext.call_entity, "operationInput", _operation_input
    )
    signal_entity = explaining(
        DurableOrchestrationContext.signal_entity, "operationInput", _operation_input
    )
    call_http = explaining(
        DurableOrchestrationContext.call_http,
        "content",
        lambda given: f"the content for {given['uri']}",
        plain=True,
    )
    continue_as_new = explaining(
        DurableOrchestrationContext.continue_as_new,
        "input_",
        lambda given: f"the next input of orchestrator '{given['self'].orchestrator_name}'",
    )

    def get_input(self, expected_type: type | None = None) -> Any:
        """See the SDK."""
        try:
            return super().get_input(expected_type)
        except Exception as error:
            what = f"the input of orchestrator '{self.orchestrator_name}'"
            explain_read(error, self._input, what, expected_type or self._input_expected_type)
            raise
