"""What every benchmark needs: rounds that are interleaved, the limit, the machine, the table, the files."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from threading import Thread
from time import perf_counter
from typing import Any

import numpy as np

import cpool

DRAM = 30e6  # bytes of traffic above which a row is called DRAM: no cache that one core has to itself holds them


@dataclass(frozen=True)
class Rounds:
    """How long to measure: every contestant runs `count` rounds of about `seconds` (one call, where a call takes longer)."""

    count: int = 9
    seconds: float = 2e-3


QUICK = Rounds(3, 2e-4)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call."""

    best: float
    median: float


def _once(run: Callable[[], object], calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        run()
    return (perf_counter() - start) / calls


def measure(contestants: dict[str, Callable[[], object]], rounds: Rounds) -> dict[str, Timing]:
    """Time the contestants round by round, each round in another order, so that what disturbs the machine meets all alike, and
    none always comes behind the same one, which leaves more or less of their common arrays in the caches.

    Where a round has several calls an untimed one precedes them: caches are warm with the contestant's own data.
    """
    calls = {}
    for name, run in contestants.items():
        run()
        calls[name] = max(1, int(rounds.seconds / max(_once(run, 1), 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names, order = list(contestants), Random(1)
    for _ in range(rounds.count):
        order.shuffle(names)
        for name in names:
            if calls[name] > 1:
                contestants[name]()
            seconds[name].append(_once(contestants[name], calls[name]))
    return {name: Timing(min(times), median(times)) for name, times in seconds.items()}


@cache
def _helpers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def copier(traffic: int, threads: int) -> Callable[[], None]:
    """A call that reads and writes `traffic` bytes, half each, on so many threads."""
    return copier_of(np.ones(traffic // 2, np.uint8), np.ones(traffic // 2, np.uint8), threads)


def copier_of(source: np.ndarray, target: np.ndarray, threads: int) -> Callable[[], None]:
    """A call that copies an array on so many threads."""
    if threads == 1:
        return lambda: np.copyto(target, source)
    ends = np.linspace(0, len(source), threads + 1, dtype=int)
    parts = [(target[a:b], source[a:b]) for a, b in pairwise(ends)]

    def run() -> None:
        others = [_helpers(threads - 1).submit(np.copyto, *part) for part in parts[1:]]
        np.copyto(*parts[0])
        for other in others:
            other.result()

    return run


def caches() -> dict[str, int]:
    """Bytes of the data caches of the first CPU, by level, as Linux reports them."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size.removesuffix("K")) * 1024
    return sizes


def zone(traffic: int) -> str:
    """Where the arrays of a row live: L1, L2 or L3, or DRAM if they have more than 30 MB."""
    if traffic > DRAM:
        return "DRAM"
    sizes = caches()
    return next((level for level in ("L1", "L2") if traffic <= sizes.get(level, 0)), "L3")


def _rise(job: tuple[Callable[[], tuple[Callable[[], object], int]], int, str]) -> int:
    prepare, threads, isa = job
    extra = 0

    def on_a_new_thread(body: Callable[[], None]) -> None:  # workspace is kept per thread and goes with it
        thread = Thread(target=body)
        thread.start()
        thread.join()

    def warm_up() -> None:
        nonlocal run, new
        with cpool.num_threads(threads), cpool.using_isa(isa):
            run, new = prepare()
            run()

    def measured() -> None:
        nonlocal extra
        with cpool.num_threads(threads), cpool.using_isa(isa):
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before = _resident("VmRSS")
            run()
            extra = max(_resident("VmHWM") - before - new, 0)

    run: Callable[[], object]
    new = 0
    on_a_new_thread(warm_up)
    on_a_new_thread(measured)
    return extra


def _resident(key: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith(key))


def extra_memory(jobs: Sequence[Callable[[], tuple[Callable[[], object], int]]]) -> Iterator[int]:
    """How many bytes of resident memory a call needs at its peak beyond what is there before, one number per job.

    A job, which must be picklable, sets a call up and says how many bytes of new results it returns: these do not count. All
    run in a process of their own where large blocks go back to the system when they are freed. Linux counts to about 0.25 MiB.
    """
    how = [(job, cpool.get_num_threads(), cpool.isa()) for job in jobs]
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    try:
        with get_context("spawn").Pool(1) as pool:
            yield from pool.imap(_rise, how)
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


def machine() -> dict[str, Any]:
    """What a reader has to know of the machine to compare numbers."""
    cpu = Path("/proc/cpuinfo").read_text()
    models = [line.split(":")[1].strip() for line in cpu.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "caches": caches(), "system": platform.platform(),
            "python": platform.python_version(), "numpy": np.__version__, "cpool": cpool.__version__,
            "isa": cpool.isa(), "cpus": len(os.sched_getaffinity(0)), "threads": cpool.get_num_threads()}


def heading(facts: dict[str, Any], rounds: Rounds, peers: dict[str, str | None]) -> str:
    """The lines above the tables; a peer without a version is absent."""
    sizes = ", ".join(f"{level} {size // 1024} KiB" for level, size in facts["caches"].items()) or "unknown"
    there = ", ".join(f"{name} {version}" for name, version in peers.items() if version)
    absent = ", ".join(name for name, version in peers.items() if not version)
    return "\n".join([
        f"{facts['cpu']}; data caches: {sizes}; more than {DRAM / 1e6:.0f} MB of traffic is called DRAM",
        f"cpool {facts['cpool']} ({facts['isa']}), {facts['threads']} thread(s) for everyone; "
        f"{rounds.count} interleaved rounds of about {rounds.seconds * 1e3:g} ms",
        f"peers: {there or 'none'}",
        f"absent, not compared: {absent or 'none'}",
    ])


def table(header: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int) -> str:
    """Columns as wide as their cells, text to the left and numbers, three digits of each, to the right."""
    def cell(value: object) -> str:
        if value is None:
            return "-"
        if isinstance(value, float):
            return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return str(value)

    cells = [list(header), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(text.ljust(width) if i < text_columns else text.rjust(width)
                               for i, (text, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_picture(path: Path, title: str, rows: Sequence[tuple[str, dict[str, float]]],
                  axis: str = "time over the time to copy the same bytes (1: the limit)") -> bool:
    """Draw ratios, one line per row and one marker per contestant. False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    names = dict.fromkeys(name for _, ratios in rows for name in ratios)
    contestants = sorted(names, key=lambda name: not name.startswith("cpool"))
    figure = Figure(figsize=(12, 2.5 + 0.19 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for name, marker in zip(contestants, "oDsxv^<>+1234P*dhpX", strict=False):
        points = [(ratios[name], y) for y, (_, ratios) in enumerate(rows) if name in ratios]
        own = name.startswith("cpool")
        ax.plot(*zip(*points, strict=True), marker, label=name, markersize=6 if own else 4, alpha=1 if own else 0.6,
                zorder=3 if own else 2)
    ax.axvline(1, color="black", linewidth=1)
    ax.set(xscale="log", xlabel=axis, ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7)
    ax.grid(axis="x", which="both", alpha=0.3)
    ax.set_title(title, fontsize=9)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=100)
    return True


@dataclass(frozen=True)
class Target:
    """What is aimed at: a value of every row that it concerns, at most (or at least) `bound`."""

    name: str
    bound: float
    values: dict[str, float]  # by row
    at_least: bool = False

    def report(self) -> tuple[object, ...]:
        """A line of the report: the target, the worst value, the row that has it, and pass or MISS."""
        sign = ">=" if self.at_least else "<="
        if not self.values:
            return self.name, "not measured", "", sign, self.bound, None, None
        worst = (min if self.at_least else max)(self.values, key=self.values.__getitem__)
        held = [value >= self.bound if self.at_least else value <= self.bound for value in self.values.values()]
        return (self.name, "pass" if all(held) else "MISS", worst, sign, self.bound, self.values[worst],
                f"{sum(held)}/{len(held)}")


def report(targets: Iterable[Target]) -> str:
    return table(["target", "", "worst row", "", "bound", "worst", "held"], [target.report() for target in targets], 4)


def say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
