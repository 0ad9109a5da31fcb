"""Builds the image of a packed app without an engine, and tests it: `make image-check`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from image.building import IN_NAMESPACES, build
from image.containers import write_context
from image.debian import make_base

_TESTS = ("e2e/test_packed.py", "image/checks.py")
# As an engine does: a network of its own, in which every user may listen on port 80.
_NETWORK = """
ip link set lo up
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
exec "$@"
"""


def main(arguments: list[str]) -> int:
    """Make the base unless it is there, pack, build, test; returns an exit code.

    Args:
        arguments: The folder to work in, and the root file system to begin from or nothing. What
            was built stays in that folder when a test fails.
    """
    if os.geteuid() != 0:
        raise SystemExit("image-check mounts and changes users: run it as root.")
    folder = Path(arguments[0]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    base = Path(arguments[1]).resolve() if arguments[1:] else folder / "base"
    if not base.is_dir():
        make_base(base)
    made = folder / "made"
    shutil.rmtree(made, ignore_errors=True)
    context = write_context(made)
    build(context, base, made).rename(made / "root")
    pytest = [sys.executable, "-m", "pytest", *_TESTS, "-v", "--built-image", str(made)]
    within = [*IN_NAMESPACES, "--mount-proc", "--net", "sh", "-euc", _NETWORK, "sh"]
    failed = subprocess.run([*within, *pytest]).returncode
    if not failed:
        shutil.rmtree(made)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
