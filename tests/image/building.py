"""Executes the steps of a Dockerfile in copies of a root file system, as `docker build` would.

Mounts are made in namespaces of single steps, so that none is left when a step fails.
"""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.dockerfile import Stage, read_dockerfile

IN_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""Runs what follows where its mounts and processes are its own, and end with it."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ONLY_SAID = ("VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD")
"""Steps that change no file: those who run the image follow them."""
_MACHINE_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")
_MACHINE_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")

_RUN = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1; workdir=$2; path=$3; user=$4; text=$5; shift 5
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place; do mount --bind -o ro "$(realpath "$place")" "$root$place"; done
exec chroot --userspec="$user" "$root" env -C "$workdir" PATH="$path" /bin/sh -c "$text"
"""


@dataclass
class _Layer:
    """A stage that is being built."""

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": _SYSTEM_PATH, "HOME": "/root"})
    workdir: str = "/"
    user: str = "0:0"

    def place(self, path: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / os.path.normpath(os.path.join(self.workdir, path)).lstrip("/")


def build(context: Path, base: Path, folder: Path) -> Path:
    """Build the image of a packed app.

    Args:
        context: The build context, with its Dockerfile.
        base: A root file system with `python3`; it stands for what every `FROM` names.
        folder: Gets a folder for each stage.

    Returns:
        The root file system of the last stage.

    Raises:
        SystemExit: A step failed; it has said why.
    """
    layers: dict[str, _Layer] = {}
    root = base
    for number, stage in enumerate(read_dockerfile(context / "Dockerfile")):
        name = stage.name or f"stage-{number}"
        _tell(f"FROM {stage.base}  (here: {base})")
        root = folder / name
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(root)], check=True)
        layers[name] = _Layer(root)
        _execute(stage, layers[name], context, layers)
    return root


def _execute(stage: Stage, layer: _Layer, context: Path, layers: dict[str, _Layer]) -> None:
    for step in stage.steps:
        _tell(f"{step.instruction} {step.text}")
        match step.instruction:
            case "RUN":
                _run(step.text, layer)
            case "COPY":
                _copy(shlex.split(step.text), layer, context, layers)
            case "ENV":
                name, _, value = step.text.partition("=")
                layer.environ[name] = value
            case "WORKDIR":
                layer.place(step.text).mkdir(parents=True, exist_ok=True)
                layer.workdir = step.text
            case "USER":
                layer.user = step.text
            case other if other not in _ONLY_SAID:
                raise SystemExit(f"image-check cannot execute {other}: teach it in {__file__}")
            case _:
                pass


def _run(text: str, layer: _Layer) -> None:
    """A RUN, with this machine's way to its package index, as build arguments would give it."""
    settings = _machine_settings()
    words = [word for value in settings.values() for word in value.split()]
    places = [*_MACHINE_FILES, *(word for word in words if word.startswith("/"))]
    places = [place for place in dict.fromkeys(places) if Path(place).exists()]
    for place in places:
        _make_mount_point(layer.root / place.lstrip("/"), is_folder=Path(place).is_dir())
    path = layer.environ["PATH"]
    arguments = [str(layer.root), layer.workdir, path, layer.user, text, *places]
    # The settings may hold a password: they are not arguments, which everybody can read.
    environ = {**settings, **layer.environ}
    command = [*IN_NAMESPACES, "sh", "-euc", _RUN, "sh", *arguments]
    failed = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL).returncode
    if failed:
        raise SystemExit(f"This step ended with {failed}: RUN {text}")


def _machine_settings() -> dict[str, str]:
    """Variables that have pip in an image reach what it reaches on this machine."""
    settings = {k: v for k, v in os.environ.items() if k.lower() in _MACHINE_VARIABLES}
    settings["PIP_QUIET"] = "2"
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # What pip takes from the environment wins over its files, and is listed first.
    for line in reversed(listed.splitlines()):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2].upper().replace("-", "_")
        settings[f"PIP_{name}"] = str(ast.literal_eval(value))
    return settings


def _make_mount_point(place: Path, *, is_folder: bool) -> None:
    if place.is_symlink():
        place.unlink()  # It would lead out of the image.
    if is_folder:
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _copy(words: list[str], layer: _Layer, context: Path, layers: dict[str, _Layer]) -> None:
    """A COPY: to root, with the modes of the sources; of a folder, what is in it."""
    origin, skipped = context, _ignored(context)
    if words[0].startswith("--from="):
        origin, skipped = layers[words.pop(0).partition("=")[2]].root, []
    *sources, target = words
    place = layer.place(target)
    for path in (path for source in sources for path in sorted(origin.glob(source.lstrip("/")))):
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            for inner in path.iterdir():
                _copy_one(inner, place / inner.name, skipped)
        else:
            _copy_one(path, place / path.name if target.endswith("/") else place, skipped)


def _copy_one(source: Path, target: Path, skipped: list[str]) -> None:
    ignore = shutil.ignore_patterns(*skipped)
    if ignore(str(source.parent), [source.name]):
        return
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _ignored(context: Path) -> list[str]:
    """The names that `.dockerignore` leaves out at any depth; it has no other patterns."""
    return [line.removeprefix("**/") for line in (context / ".dockerignore").read_text().split()]


def _tell(text: str) -> None:
    sys.stdout.write(f"=> {text}\n")
    sys.stdout.flush()
