"""Cold start: from the spawn of `func-py start` on a durable app to its first HTTP 200."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.spawned import func_py_start
from benchmarks.table import passed, print_table

RUNS = 5
TARGET_S = 1.5


def main() -> None:
    """Start it several times and print the median; the first start also creates the task hub."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            with func_py_start(Path(folder)) as host:
                times.append(host.first_answer_s)
    median = statistics.median(times)
    rows = [
        ["first start, new task hub", f"{times[0]:.2f} s", "", ""],
        [f"median of {RUNS}", f"{median:.2f} s", f"< {TARGET_S} s", passed(median < TARGET_S)],
    ]
    print_table("Cold start: spawn to first 200", ["", "measured", "target", "ok"], rows)


if __name__ == "__main__":
    main()
