"""What the machine is like at the moment: the numbers mean little without it."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

_WRITES = 100


def describe_machine(folder: Path) -> str:
    """Cores, load, and what it takes to make 4 KB durable in `folder`."""
    load = os.getloadavg()[0]
    sync_ms = 1000 * statistics.median(_sync_times(folder / "sync-probe"))
    return f"{os.cpu_count()} cores, load {load:.1f} before the start, fdatasync {sync_ms:.2f} ms"


def _sync_times(path: Path) -> list[float]:
    times = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        for _ in range(_WRITES):
            os.write(descriptor, bytes(4096))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    return times
