"""Interleaved timing of rivals in one process, and peak memory of whole processes.

Rounds go A B C A B C ...; reported are medians and the ratio of each rival to the first,
round by round. A run while other processes use the machine is marked as disturbed.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: CPU that other processes may use before a run counts as disturbed.
MAX_FOREIGN = 0.1


def _cpu_seconds() -> float:
    """CPU seconds used by all processes since boot."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    busy = sum(int(x) for i, x in enumerate(fields[:8]) if i not in (3, 4))
    return busy / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def machine() -> str:
    """One line about where this runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line for line in lines if line.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else platform.processor()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def compare(
    title: str,
    rivals: dict[str, Callable[[], object]],
    rounds: int = 7,
    warm: int = 1,
    before: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Time rivals in turn; print medians and the ratio of each to the first; return medians.

    ``before`` is called before every round, outside the timing.
    """
    for _ in range(warm):
        for call in rivals.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in rivals}
    begun, foreign, own = time.perf_counter(), _cpu_seconds(), _own_seconds()
    for _ in range(rounds):
        before()
        for name, call in rivals.items():
            gc.collect()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    wall = time.perf_counter() - begun
    others = ((_cpu_seconds() - foreign) - (_own_seconds() - own)) / wall
    first = next(iter(rivals))
    print(f"\n{title} ({rounds} rounds)")
    for name, values in times.items():
        ratios = [v / base for v, base in zip(values, times[first], strict=True)]
        print(
            f"  {name:<34} {statistics.median(values):9.4f} s  "
            f"[{min(values):.4f}, {max(values):.4f}]   x {statistics.median(ratios):.2f}"
        )
    if others > MAX_FOREIGN:
        print(f"  disturbed: other processes used {others:.2f} CPU during this comparison")
    sys.stdout.flush()
    return {name: statistics.median(values) for name, values in times.items()}


#: A small process between us and the command: a child is charged with the memory of the
#: process that started it until it has one of its own.
_WATCH = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss / 1024, time.perf_counter() - start, os.waitstatus_to_exitcode(status))
"""


def peak_memory(arguments: list[str], cwd: str) -> tuple[float, float, int]:
    """Run a command; its peak resident memory in MB, seconds, exit code.

    Of a command that fails the end of what it said is printed.
    """
    watch = [sys.executable, "-c", _WATCH, *arguments]
    done = subprocess.run(watch, cwd=cwd, capture_output=True, text=True, check=True)
    memory, seconds, code = done.stdout.split()
    if int(code):
        print(done.stderr[-3000:])
    return float(memory), float(seconds), int(code)
