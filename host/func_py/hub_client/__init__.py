"""The app's task hub, opened as host.json says: for hosts, and for clients without a host."""

from func_py.hub_client.commands import HubCommands, Page, Selection, Voice
from func_py.hub_client.configured import configured_client, configured_hub, hand_dir
from func_py.hub_client.place import HubPlace, delete_hub, run

__all__ = [
    "HubCommands",
    "HubPlace",
    "Page",
    "Selection",
    "Voice",
    "configured_client",
    "configured_hub",
    "delete_hub",
    "hand_dir",
    "run",
]
