"""What this host knows of an instance: the engine's view, and where its user code stands."""

from __future__ import annotations

from msgspec.structs import replace

from func_py.durable.engine import Engine
from func_py.durable.engine.live import LiveInstance
from func_py.durable.model import ActivityTask, EntityBatch, split_entity_id
from func_py.invocation import Invoker
from func_py.management.why import Look


def looking(engine: Engine, invoker: Invoker) -> Look:
    """A function that looks at an instance; see `Engine.look`."""

    async def look(instance_id: str) -> LiveInstance:
        seen = await engine.look(instance_id)
        entity = split_entity_id(instance_id)

        def is_ours(cause: object) -> bool:
            match cause:
                case ActivityTask():
                    return cause.instance_id == instance_id
                case EntityBatch():
                    return (cause.name, cause.key) == entity
                case _:
                    return False

        places = {
            (cause.execution_id, cause.task_id) if isinstance(cause, ActivityTask) else "": place
            for cause, place in invoker.places(is_ours)
        }
        calls = [
            replace(call, place=places.get((call.execution_id, call.task_id), ""))
            for call in seen.calls
        ]
        batch = seen.batch and replace(seen.batch, place=places.get("", ""))
        return replace(seen, calls=calls, batch=batch)

    return look
