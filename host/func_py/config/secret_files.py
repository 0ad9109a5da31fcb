"""App settings in files, as container platforms hand secrets over. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from func_py.errors import ConfigError

VARIABLE = "FUNC_PY_SECRETS_DIR"


def secret_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in the folder that `FUNC_PY_SECRETS_DIR` names: file name → text.

    A line break at the end of a file is not part of the text. Hidden files, of which platforms make
    some, and folders are passed over; a folder that does not exist holds no secrets.

    Raises:
        ConfigError: A file cannot be read, or holds no text.
    """
    folder = environ.get(VARIABLE, "")
    if not folder or not Path(folder).is_dir():
        return {}
    found = {}
    for file in sorted(Path(folder).iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            raise ConfigError(VARIABLE, str(file), f"cannot be read: {error}") from error
        found[file.name] = text.removesuffix("\n").removesuffix("\r")
    return found
