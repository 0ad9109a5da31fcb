"""The engine: owns partitions of a task hub, runs their orchestrations, activities, entities."""

from func_py.durable.engine.edit_check import EditCheck, Misfits
from func_py.durable.engine.engine import Engine
from func_py.durable.engine.entity_pool import EntityRunner
from func_py.durable.engine.functions import (
    ActivityRunner,
    FunctionTable,
    OrchestratorFunction,
)
from func_py.durable.engine.options import EngineOptions
from func_py.durable.engine.versions import VersionFailure, VersionMatch

__all__ = [
    "ActivityRunner",
    "EditCheck",
    "Engine",
    "EngineOptions",
    "EntityRunner",
    "FunctionTable",
    "Misfits",
    "OrchestratorFunction",
    "VersionFailure",
    "VersionMatch",
]
