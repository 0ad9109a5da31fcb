"""The files of a new app."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from func_py.errors import UserError

_FILES = {
    "host.json": """\
{
  "version": "2.0",
  "logging": {
    "applicationInsights": {
      "samplingSettings": {
        "isEnabled": true,
        "excludedTypes": "Request"
      }
    }
  },
  "extensionBundle": {
    "id": "Microsoft.Azure.Functions.ExtensionBundle",
    "version": "[4.*, 5.0.0)"
  }
}
""",
    "local.settings.json": """\
{
  "IsEncrypted": false,
  "Values": {
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true"
  }
}
""",
    ".gitignore": """\
# Secrets, and the state of the local host
local.settings.json
.func-py/

# Python
__pycache__/
*.py[cod]
.venv/
.python_packages/
""",
    ".funcignore": """\
.git*
.vscode
.venv
.func-py
__pycache__
local.settings.json
test
tests
""",
    "requirements.txt": """\
azure-functions
""",
    "function_app.py": """\
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
""",
}


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one file."""

    file: str
    is_new: bool
    """False: it was there and was left alone."""


def write_project(folder: Path, *, overwrite: bool = False) -> list[Written]:
    """Write the files of an app without functions; the folder is made when it does not exist.

    Args:
        folder: The app root.
        overwrite: Write files that are there already, too.

    Raises:
        UserError: A file cannot be written; those before it are.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in _FILES.items():
            file = folder / name
            is_new = overwrite or not file.exists()
            if is_new:
                file.write_text(text, encoding="utf-8")
            written.append(Written(name, is_new))
    except OSError as exc:
        raise UserError(f"{exc.filename}: cannot be written: {exc.strerror}.") from exc
    return written
