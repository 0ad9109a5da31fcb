"""What the kernel knows of processes: their tree, memory and CPU time (Linux)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes. `rss` counts shared pages in full, `pss` each process's part of them."""

    rss: int
    pss: int


def own_pid() -> int:
    """This process."""
    return os.getpid()


def tree(root: int) -> Sequence[int]:
    """The process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(sorted(children.get(pid, ())))
    return found


def memory(pid: int) -> Memory:
    """What a process holds; nothing when it is gone."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return Memory(rss=0, pss=0)
    kilobytes = {
        line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if " kB" in line
    }
    return Memory(rss=1024 * kilobytes.get("Rss", 0), pss=1024 * kilobytes.get("Pss", 0))


def cpu_s(pid: int) -> float:
    """CPU seconds used by a process so far, all threads; 0 when it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0


def command(pid: int) -> str:
    """The command line, shortened for a table."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return " ".join(word.decode(errors="replace") for word in words if word)[:60]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (state) on."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()
