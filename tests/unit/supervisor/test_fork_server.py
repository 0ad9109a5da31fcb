"""What the fork server needs of the machine."""

from __future__ import annotations

import tempfile

import pytest

from func_py.errors import UserError
from func_py.supervisor.fork_server import ForkServer


def test_without_a_folder_for_temporary_files_the_error_says_what_to_mount(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_folder() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", no_folder)

    with pytest.raises(UserError, match="mount one at /tmp"):
        ForkServer("func_py.runtime.main:run", [])
