"""Discovery: the user's app imported, its functions listed, every mistake of it in one message."""

from func_py.discovery.apps import (
    APPS_FOLDER,
    SCRIPT_FILE,
    app_folders,
    is_app,
    load_app,
    load_apps,
)
from func_py.discovery.importing import imports_of_ours

__all__ = [
    "APPS_FOLDER",
    "SCRIPT_FILE",
    "app_folders",
    "imports_of_ours",
    "is_app",
    "load_app",
    "load_apps",
]
