"""The engine: owns partitions of a task hub and runs their orchestrations and activities."""

from func_py.durable.engine.engine import Engine
from func_py.durable.engine.functions import (
    ActivityRunner,
    FunctionTable,
    OrchestratorFunction,
)
from func_py.durable.engine.options import EngineOptions

__all__ = ["ActivityRunner", "Engine", "EngineOptions", "FunctionTable", "OrchestratorFunction"]
