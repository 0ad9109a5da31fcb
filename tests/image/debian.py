"""A minimal Debian with Python, in the place of the stock image that a Dockerfile begins from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from image.building import IN_NAMESPACES

_PACKAGES = "python3,python3-venv,ca-certificates"
_ELSE = "name the root file system of another image with Python: make image-check IMAGE_BASE=folder"
_SOURCES = ("apt-get", "indextargets", "Created-By: Packages", "--format")


def make_base(folder: Path) -> None:
    """Install it with debootstrap, from where this machine's apt gets its own packages.

    Raises:
        SystemExit: This machine cannot; the text says why and what else there is.
    """
    missing = [name for name in ("apt-get", "debootstrap") if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"{missing[0]} is not there: apt-get install debootstrap, or {_ELSE}")
    mirror, suite, components = _source()
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    words = ["--variant=minbase", f"--include={_PACKAGES}", f"--components={components}"]
    command = ["debootstrap", *words, suite, str(unfinished), mirror]
    if subprocess.run([*IN_NAMESPACES, *command]).returncode:
        raise SystemExit(f"debootstrap has failed, see {unfinished}/debootstrap. Or {_ELSE}")
    unfinished.rename(folder)


def _source() -> tuple[str, str, str]:
    """Where apt gets this machine's release: address, name, components."""
    format_ = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = subprocess.run([*_SOURCES, format_], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    # Updates of a release come under `<release>-updates`, and debootstrap takes no two suites.
    mirror, suite = next(
        (uri, name) for uri, name, part in rows if part == "main" and "-" not in name
    )
    components = [part for uri, name, part in rows if (uri, name) == (mirror, suite)]
    return mirror, suite, ",".join(dict.fromkeys(components))
