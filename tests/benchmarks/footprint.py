"""Footprint: memory and idle CPU of `func-py start`, summed over all its processes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import processes
from benchmarks.spawned import func_py_start
from benchmarks.table import passed, print_table

IDLE_S = 10.0
_SETTLE_S = 2.0
_MB = 1024 * 1024

MAX_RSS = 150 * _MB
MAX_PSS = 120 * _MB
MAX_CPU = 0.01
"""Of one core."""


def main() -> None:
    """Run one orchestration, leave the host idle, and print what it holds and uses."""
    with tempfile.TemporaryDirectory() as folder, func_py_start(Path(folder)) as host:
        if (status := host.request("POST", "/api/start/sequence")) != 202:
            raise RuntimeError(f"the orchestration could not be started: {status}")
        time.sleep(_SETTLE_S)
        pids = processes.tree(host.pid)
        before = {pid: processes.cpu_s(pid) for pid in pids}
        began = time.perf_counter()
        time.sleep(IDLE_S)
        elapsed = time.perf_counter() - began
        rows = []
        rss = pss = 0
        cpu = 0.0
        for pid in pids:
            held = processes.memory(pid)
            used = (processes.cpu_s(pid) - before[pid]) / elapsed
            rss, pss, cpu = rss + held.rss, pss + held.pss, cpu + used
            rows.append([processes.command(pid), _mb(held.rss), _mb(held.pss), f"{used:.2%}"])
    rows.append(["all processes", _mb(rss), _mb(pss), f"{cpu:.2%}"])
    rows.append(["target", f"< {_mb(MAX_RSS)}", f"< {_mb(MAX_PSS)}", f"< {MAX_CPU:.0%}"])
    rows.append(["ok", passed(rss < MAX_RSS), passed(pss < MAX_PSS), passed(cpu < MAX_CPU)])
    print_table("Footprint after one orchestration", ["process", "RSS", "PSS", "idle CPU"], rows)


def _mb(size: int) -> str:
    return f"{size / _MB:.0f} MB"


if __name__ == "__main__":
    main()
