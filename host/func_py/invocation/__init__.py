"""Invocations: user functions called with arguments, context and log."""

from func_py.invocation.activities import ActivityCalls, failure_details
from func_py.invocation.context import InvocationContext
from func_py.invocation.entities import EntityCalls
from func_py.invocation.invoker import (
    Around,
    Failure,
    InvocationLog,
    Invoker,
    PreparedFunction,
)
from func_py.invocation.retries import RetryingInvoker

__all__ = [
    "ActivityCalls",
    "Around",
    "EntityCalls",
    "Failure",
    "InvocationContext",
    "InvocationLog",
    "Invoker",
    "PreparedFunction",
    "RetryingInvoker",
    "failure_details",
]
