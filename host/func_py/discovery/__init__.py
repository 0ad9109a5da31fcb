"""Discovery: the user's app imported, its functions listed, every mistake of it in one message."""

from func_py.discovery.apps import (
    APPS_FOLDER,
    SCRIPT_FILE,
    app_folders,
    is_app,
    load_app,
    load_apps,
)

__all__ = ["APPS_FOLDER", "SCRIPT_FILE", "app_folders", "is_app", "load_app", "load_apps"]
