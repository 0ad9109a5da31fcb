"""The app's task hub, opened as host.json says: for hosts, and for clients without a host."""

from func_py.hub_client.commands import HubCommands, Page, Selection, Voice
from func_py.hub_client.configured import (
    configured_client,
    configured_hub,
    hand_dir,
    sockets_dir,
)
from func_py.hub_client.hubs import MOST_COUNTED, HubLine, count_unfinished, list_hubs
from func_py.hub_client.place import HubPlace, delete_hub, make_hub, run

__all__ = [
    "MOST_COUNTED",
    "HubCommands",
    "HubLine",
    "HubPlace",
    "Page",
    "Selection",
    "Voice",
    "configured_client",
    "configured_hub",
    "count_unfinished",
    "delete_hub",
    "hand_dir",
    "list_hubs",
    "make_hub",
    "run",
    "sockets_dir",
]
