"""Moves a task hub to another store: into a file, and from the file into an empty hub."""

from func_py.durable.moving.contents import instances, new_host
from func_py.durable.moving.exporting import export_hub
from func_py.durable.moving.file import HubFile, Summary
from func_py.durable.moving.importing import import_hub, refuse_full
from func_py.durable.moving.unfinished import refuse_unfinished

__all__ = [
    "HubFile",
    "Summary",
    "export_hub",
    "import_hub",
    "instances",
    "new_host",
    "refuse_full",
    "refuse_unfinished",
]
