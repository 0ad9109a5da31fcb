"""What a packed app runs in: the image that was built, or an environment that stands for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from image.app import write_app
from image.building import IN_NAMESPACES
from support.dockerfile import Stage, read_dockerfile
from support.process import COMMAND, HostProcess, free_port

SITE = "/home/site/wwwroot"
STATE = "/home/state"
SECRETS = "/run/secrets"

_CONTAINER = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
image=$1; layer=$2; mode=$3; workdir=$4; user=$5; shift 5
mount -t tmpfs layer "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
root=$layer/root
mount -t overlay -o "lowerdir=$image,upperdir=$layer/upper,workdir=$layer/work" layer "$root"
mkdir -p "$root/run/secrets"
mount -o "remount,$mode" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot --userspec="$user" "$root" env -i -C "$workdir" "$@"
"""
"""The process that it ends as has number 1, as in a container: what nobody handles is ignored."""


class Image(Protocol):
    """Something that containers of the packed app can be started from."""

    folder: Path
    """With `packed`, the build context."""
    stage: Stage
    """The last one of the Dockerfile."""

    def new_volume(self) -> Path:
        """An empty folder that belongs to the image's user."""
        ...

    def start(
        self,
        log: Path,
        volumes: Mapping[str, Path],
        environ: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
    ) -> HostProcess:
        """Run the image's command.

        Args:
            log: The file that receives all it prints.
            volumes: Folders of this machine, by their place in the container.
            environ: More environment variables.
            read_only: Whether nothing but volumes can be written.
        """
        ...


@contextmanager
def container(
    image: Image,
    log: Path,
    volumes: Mapping[str, Path],
    environ: Mapping[str, str] | None = None,
    *,
    read_only: bool = False,
) -> Iterator[HostProcess]:
    """A container that is ready; ended at the exit."""
    host = image.start(log, volumes, environ, read_only=read_only)
    try:
        host.wait_until_ready()
        yield host
    except BaseException as error:
        error.add_note(f"---- output of the container ----\n{host.output}")
        raise
    finally:
        host.kill()


def key_of(state: Path) -> str:
    """The master key that a host has made on its volume."""
    keys: dict[str, Any] = json.loads((state / "keys" / "host.json").read_text())
    return str(keys["masterKey"]["value"])


def write_context(folder: Path) -> Path:
    """Write the app and pack it; the build context."""
    write_app(folder / "app")
    packed = folder / "packed"
    command = [*COMMAND, "pack", str(folder / "app"), "--docker", "--output", str(packed)]
    subprocess.run(command, check=True)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "PASSPHRASE").write_text("from a file\n")
    return packed


@dataclass
class StandIn:
    """A virtual environment; the settings of the last stage, with other paths."""

    folder: Path
    stage: Stage

    def new_volume(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="volume-", dir=self.folder))

    def start(
        self,
        log: Path,
        volumes: Mapping[str, Path],
        environ: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
    ) -> HostProcess:
        assert not read_only, "an environment shares its file system with this machine"
        state = volumes.get(STATE) or self.new_volume()
        variables = {
            **self.stage.environ,
            "PATH": f"{self.folder / 'venv' / 'bin'}:/usr/bin:/bin",
            "HOME": str(state),
            "AzureWebJobsScriptRoot": str(volumes.get(SITE, self.folder / "packed" / "site")),
            "FUNC_PY_STATE_DIR": str(state),
            "FUNC_PY_SECRETS_DIR": str(self.folder / "secrets"),
            "PORT": str(free_port()),
            **(environ or {}),
        }
        # The files stay ours, but what their modes forbid is forbidden.
        bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        words = [*bare, "env", "-i", *(f"{k}={v}" for k, v in variables.items())]
        command = [*words, *self.stage.command]
        return HostProcess(self.folder, log, command=command, whole=True)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """What the Dockerfile says, done to a virtual environment and a folder nobody can write."""
    folder = Path(tempfile.mkdtemp(prefix="func-py-packed-"))
    try:
        packed = write_context(folder)
        venv.create(folder / "venv", with_pip=True, symlinks=True)
        pip = [str(folder / "venv" / "bin" / "pip"), "--quiet", "--disable-pip-version-check"]
        wheel = next(packed.glob("*.whl"))
        command = [*pip, "install", str(wheel), "-r", "requirements.txt"]
        subprocess.run(command, check=True, cwd=packed)
        for path in (packed / "site", *(packed / "site").rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield StandIn(folder, read_dockerfile(packed / "Dockerfile")[-1])
    finally:
        for path in (folder / "packed" / "site").rglob("*"):
            path.chmod(0o755)
        shutil.rmtree(folder)


class Container(HostProcess):
    """The command of an image, as process 1 among its own processes."""

    @property
    def main_pid(self) -> int:
        """Its number outside."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def send(self, number: signal.Signals) -> None:
        os.kill(self.main_pid, number)


@dataclass
class BuiltImage:
    """A root file system that `image.building` has made, in the folder `root`.

    What a container writes elsewhere than to volumes is in memory, and gone with its namespace.
    """

    folder: Path
    stage: Stage

    def new_volume(self) -> Path:
        volume = Path(tempfile.mkdtemp(prefix="volume-", dir=self.folder))
        os.chown(volume, int(self.stage.last("USER")), -1)
        return volume

    def start(
        self,
        log: Path,
        volumes: Mapping[str, Path],
        environ: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
    ) -> Container:
        words = self.words(volumes, environ or {}, self.stage.command, read_only=read_only)
        return Container(self.folder, log, command=words, whole=True)

    def words(
        self,
        volumes: Mapping[str, Path],
        environ: Mapping[str, str],
        command: list[str],
        *,
        read_only: bool = False,
    ) -> list[str]:
        """A command line that runs another one in a new container."""
        layer = self.folder / "layer"
        layer.mkdir(exist_ok=True)
        variables = {**self.stage.environ, **environ}
        mounts = {SECRETS: self.folder / "secrets", **volumes}
        return [
            *(*IN_NAMESPACES, "sh", "-euc", _CONTAINER, "sh"),
            *(str(self.folder / "root"), str(layer), "ro" if read_only else "rw"),
            *(self.stage.last("WORKDIR"), self.stage.last("USER")),
            *(word for place, path in mounts.items() for word in (str(path), place)),
            *("--", *(f"{k}={v}" for k, v in variables.items()), *command),
        ]


def built_image(folder: Path) -> BuiltImage:
    """The image that `python -m image` has built there."""
    return BuiltImage(folder, read_dockerfile(folder / "packed" / "Dockerfile")[-1])
