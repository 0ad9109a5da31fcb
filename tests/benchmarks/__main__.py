"""Runs every benchmark program, one after another: `python -m benchmarks` in the folder `tests`."""

from __future__ import annotations

import subprocess
import sys

PROGRAMS = (
    "durable",
    "entities",
    "replay",
    "scale",
    "azure_chains",
    "hosts",
    "http_starts",
    "http_hello",
    "cold_start",
    "reload",
    "footprint",
)


def main() -> int:
    """Run them in processes of their own, so that none measures what another left behind."""
    failed = 0
    for program in PROGRAMS:
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{program}"]).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
