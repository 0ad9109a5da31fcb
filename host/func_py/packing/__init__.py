"""Puts an app, its requirements and this host together for a machine or a container image.

Loads nothing of the app: it copies files.
"""

from func_py.packing.context import Packed, PackOptions, pack_app

__all__ = ["PackOptions", "Packed", "pack_app"]
