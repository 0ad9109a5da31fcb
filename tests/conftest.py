"""Every test starts from an environment that says nothing to the host."""

from __future__ import annotations

import os

_SAYS_SOMETHING = ("AZURE", "FUNC_PY_", "FUNCTIONS_", "PYTHON_", "WEBSITE_", "NO_COLOR")

for _name in list(os.environ):
    if _name.upper().startswith(_SAYS_SOMETHING):
        del os.environ[_name]
