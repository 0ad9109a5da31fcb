"""What to say about a host that is not on a developer's machine."""

from __future__ import annotations

from collections.abc import Mapping

from func_py.config.local_settings import is_development
from func_py.config.settings import HostConfig
from func_py.config.state_dir import VARIABLE, is_volatile
from func_py.keys import keys_directory


def state_notices(config: HostConfig, environ: Mapping[str, str], *, embedded: bool) -> list[str]:
    """A warning when what the host keeps goes away with its container.

    Args:
        config: Says where that is.
        environ: The app's environment.
        embedded: Whether the app's task hub is in the state folder.
    """
    if is_development(environ):
        return []
    kept = {"new keys": keys_directory(config.state_dir, environ)}
    if embedded:
        kept = {"an empty task hub": config.state_dir, **kept}
    lost = [what for what, folder in kept.items() if is_volatile(folder, environ)]
    if not lost:
        return []
    problem = f"{kept[lost[0]]} is on no volume that outlives the container: a new one starts with "
    remedy = f"Mount a named volume there, or set {VARIABLE} to a folder on one."
    return [f"{problem}{' and '.join(lost)}. {remedy}"]
