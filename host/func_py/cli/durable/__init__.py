"""`func-py durable`: the app's task hub from outside, with or without a running host."""

from __future__ import annotations

import click

from func_py.cli import LazyGroup


@click.group(
    "durable",
    cls=LazyGroup,
    lazy={
        "start-new": "durable.control:start_new",
        "raise-event": "durable.control:raise_event",
        "terminate": "durable.control:terminate",
        "suspend": "durable.control:suspend",
        "resume": "durable.control:resume",
        "rewind": "durable.control:rewind",
        "restart": "durable.control:restart",
        "get-instances": "durable.show:get_instances",
        "get-runtime-status": "durable.show:get_runtime_status",
        "get-history": "durable.show:get_history",
        "get-entities": "durable.entities:get_entities",
        "get-entity": "durable.entities:get_entity",
        "signal-entity": "durable.entities:signal_entity",
        "purge-history": "durable.hub:purge_history",
        "delete-task-hub": "durable.hub:delete_task_hub",
    },
)
def durable_group() -> None:
    """Start, look at, steer and delete orchestrations and entities.

    The commands open the task hub that the app's host.json names, not a host: what they send is
    taken up by the hosts that run on that hub, else by the next one. JSON goes to stdout and has
    the form of the management HTTP API; remarks go to stderr. Times are ISO 8601, and UTC unless
    they say otherwise.

    Exit codes: 0 done; 1 there is no such thing, or it cannot be done; 2 wrong arguments; 3 the
    store does not answer.
    """
