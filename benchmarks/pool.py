"""Pooling: the cases, what they are compared with, and the targets."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import groupby, product
from math import exp, log, prod
from pathlib import Path
from typing import Any

import numpy as np

import cpool
from benchmarks import peers
from benchmarks.harness import (
    QUICK,
    Rounds,
    Target,
    Timing,
    copier,
    extra_memory,
    heading,
    machine,
    measure,
    report,
    say,
    table,
    write_json,
    write_picture,
    zone,
)
from cpool.demo import progress

Array = np.ndarray[Any, Any]
FORMS = ("call", "training", "backward")
OPERATORS = {"max": cpool.max_pool, "avg": cpool.avg_pool, "lp": cpool.lp_pool}


@dataclass(frozen=True)
class Case:
    """A pooling layer. `kind` is sliding, adaptive or whole; of adaptive the window is the size of the result."""

    name: str
    op: str
    channels: int
    spatial: tuple[int, ...]
    window: int
    stride: int = 0  # 0: the window
    padding: int = 0
    kind: str = "sliding"
    batches: tuple[int, ...] = (1, 8)
    layouts: tuple[str, ...] = ("first", "last")
    forms: tuple[str, ...] = FORMS
    dtype: str = "float32"
    p: float = 2.0

    @property
    def text(self) -> str:
        size, place = "x".join([str(self.window)] * len(self.spatial)), "x".join(map(str, self.spatial))
        how = {"sliding": f"{size}/{self.stride or self.window}" + f" p{self.padding}" * bool(self.padding),
               "adaptive": f"adaptive {size}", "whole": "whole"}[self.kind]
        power = f" p={self.p:g}" if self.op == "lp" else ""
        return f"{self.name}: {self.op}{power} {how} {place} C{self.channels}{' f64' * (self.dtype == 'float64')}"


STRIDED = ("first", "last", "strided")
CASES = [
    #    name              op    C     spatial       window stride padding
    Case("ResNet",        "max", 64,   (112, 112),   3, 2, 1, layouts=STRIDED),
    Case("ResNet",        "max", 64,   (112, 112),   3, 2, 1, layouts=STRIDED, dtype="float64"),
    Case("VGG",           "max", 128,  (112, 112),   2, layouts=STRIDED),
    Case("VGG",           "max", 256,  (56, 56),     2),
    Case("Inception",     "avg", 192,  (35, 35),     3, 1, 1, layouts=STRIDED),
    Case("Inception",     "max", 64,   (147, 147),   3, 2),
    Case("YOLO-SPP",      "max", 512,  (20, 20),     5, 1, 2),
    Case("YOLO-SPP",      "max", 512,  (20, 20),     9, 1, 4),
    Case("YOLO-SPP",      "max", 512,  (20, 20),     13, 1, 6),
    Case("global",        "avg", 2048, (7, 7),       7, kind="whole"),
    Case("global",        "max", 512,  (14, 14),     14, kind="whole"),
    Case("DenseNet",      "avg", 128,  (56, 56),     2),
    Case("DenseNet",      "avg", 128,  (56, 56),     2, dtype="float64"),
    Case("U-Net 3-d",     "max", 32,   (32, 32, 32), 2),
    Case("audio 1-d",     "max", 64,   (16000,),     4),
    Case("audio 1-d",     "avg", 64,   (16000,),     4),
    Case("adaptive",      "avg", 256,  (56, 56),     7, kind="adaptive"),
    Case("adaptive",      "avg", 256,  (13, 13),     7, kind="adaptive"),
    Case("adaptive",      "max", 256,  (13, 13),     7, kind="adaptive"),
    Case("in L1",         "max", 4,    (28, 28),     2, batches=(1,)),
    Case("in L1",         "avg", 4,    (28, 28),     3, 1, 1, batches=(1,)),
    Case("in L2",         "max", 64,   (28, 28),     3, 1, 1, batches=(1,)),
    Case("in L2",         "max", 32,   (56, 56),     3, 2, 1, batches=(1,)),
    Case("odd 7",         "max", 512,  (7, 7),       3, 1, 1),
    Case("odd 13",        "max", 256,  (13, 13),     3, 2),
    Case("odd 14",        "avg", 512,  (14, 14),     2),
    Case("odd 14",        "max", 512,  (14, 14),     3, 1, 1),
    Case("odd 55",        "max", 96,   (55, 55),     3, 2),
    Case("few channels",  "max", 3,    (224, 224),   3, 2, 1),
    Case("few channels",  "avg", 3,    (224, 224),   2),
    Case("few channels",  "max", 3,    (224, 224),   3, 1, 1),
    Case("few channels",  "max", 3,    (64, 64),     3, 2, 1, batches=(1,)),
    Case("large plane",   "max", 1,    (8192, 8192), 2, batches=(1,), layouts=("first",)),
    Case("over 255 taps", "max", 64,   (64, 64),     17, 1, 8, batches=(1,)),
    Case("over 255 taps", "avg", 64,   (224, 224),   16, batches=(1,)),
    Case("over 255 taps", "max", 64,   (224, 224),   16, batches=(1,)),
    Case("lp",            "lp",  64,   (112, 112),   3, 2, forms=("call",), batches=(8,)),
    Case("lp",            "lp",  64,   (112, 112),   3, 2, forms=("call",), batches=(1,), p=2.5),
]


@dataclass(frozen=True)
class Row:
    """One way to call cpool, beside its limit and its peers."""

    name: str
    layout: str
    form: str
    fresh: bool
    plane: int
    tile: bool           # windows do not overlap
    stride1_max: bool
    three_channels: bool
    float32: bool
    traffic: int         # bytes: inputs read once and outputs written once
    zone: str
    limit: Timing
    own: Timing
    plain: Timing | None  # training: the call without it, same round
    peers: dict[str, Timing]
    window: int
    stride: int

    @property
    def label(self) -> str:
        return f"{self.name} {self.form}{' fresh' * self.fresh} {self.layout}"

    @property
    def ratio(self) -> float:
        return self.own.best / self.limit.best

    def faster_than(self, peer: str) -> float:
        return self.peers[peer].best / self.own.best

    @property
    def fastest(self) -> str | None:
        return min(self.peers, key=lambda peer: self.peers[peer].best, default=None)


# ---- One case --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Solved:
    """A case on arrays of one layout: `x` as given to cpool, and results of the same layout."""

    case: Case
    x: Array
    axes: tuple[int, ...]

    @staticmethod
    def of(case: Case, x: Array, layout: str) -> Solved:
        rank = len(case.spatial)
        if layout == "last":
            return Solved(case, np.ascontiguousarray(np.moveaxis(x, 1, -1)), tuple(range(1, 1 + rank)))
        if layout == "strided":  # a crop: rows with gaps between them
            whole = np.zeros(x.shape[:2] + tuple(n + 2 for n in case.spatial), x.dtype)
            crop = whole[(..., *[slice(1, -1)] * rank)]
            crop[...] = x
            x = crop
        return Solved(case, x, tuple(range(2, 2 + rank)))

    @property
    def arguments(self) -> tuple[cpool.adaptive | Any, dict[str, Any]]:
        case, rank = self.case, len(self.case.spatial)
        options: dict[str, Any] = {"axes": self.axes} | ({"p": case.p} if case.op == "lp" else {})
        if case.kind == "adaptive":
            return cpool.adaptive(*[case.window] * rank), options
        if case.kind == "whole":
            return cpool.whole, options
        return (case.window,) * rank, options | {"stride": case.stride or case.window, "padding": case.padding}

    def run(self, form: str, fresh: bool) -> tuple[Callable[[], Array], int]:
        """The call, which returns y or dx, and its traffic in bytes."""
        op: Any = OPERATORS[self.case.op]
        window, options = self.arguments
        y, saved = op.forward(self.x, window, **options)
        traffic = self.x.nbytes + y.nbytes
        if form == "backward":
            dy = np.empty_like(y)
            dy[...] = as_layout(self, gradient(channels_first(self, y).shape, y.dtype))
            dx = None if fresh else np.empty_like(self.x)
            wrt = {"wrt": "x"} if self.case.op == "lp" else {}
            return lambda: op.backward(dy, saved, out=dx, **wrt), traffic + saved.nbytes
        out = None if fresh else y
        if form == "training":
            return lambda: op.forward(self.x, window, out=out, **options)[0], traffic + saved.nbytes
        return lambda: op(self.x, window, out=out, **options), traffic


def channels_first(solved: Solved, a: Array) -> Array:
    return np.moveaxis(a, -1, 1) if solved.axes[0] == 1 else a


def as_layout(solved: Solved, a: Array) -> Array:
    return np.moveaxis(a, 1, -1) if solved.axes[0] == 1 else a


@lru_cache(1)
def gradient(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.random.default_rng(2).standard_normal(shape, dtype=dtype.type)


def data(case: Case, batch: int) -> Array:
    x = np.random.default_rng(1).standard_normal((batch, case.channels, *case.spatial), dtype=np.dtype(case.dtype).type)
    return np.abs(x) if case.op == "lp" else x  # PyTorch's lp_pool does not take magnitudes


def problem(case: Case, x: Array, y: Array, form: str, fresh: bool, threads: int) -> peers.Problem:
    rank = len(case.spatial)
    return peers.Problem(case.op, case.kind, (case.window,) * rank, (case.stride or case.window,) * rank,
                         (case.padding,) * rank, case.p, form, fresh, threads, x, y, gradient(y.shape, y.dtype))


def rows_of(solved: dict[str, Solved], form: str, fresh: bool, rounds: Rounds, versions: dict[str, str | None],
            notes: list[str]) -> Iterator[Row]:
    """Measure one form of a case, given in its layouts: cpool in each of them and every peer in one set of rounds."""
    threads, case, x = cpool.get_num_threads(), solved["first"].case, solved["first"].x
    name = f"{case.text} b{len(x)}"
    contestants: dict[str, Callable[[], object]] = {}
    traffic = 0
    for layout, one in solved.items():
        contestants[f"cpool {layout}"], traffic = one.run(form, fresh)
        if form == "training":
            contestants[f"plain {layout}"] = one.run("call", fresh)[0]
    copies = peers.copies(traffic, threads, versions)
    contestants |= copies

    expected = solved["first"].run(form, True)[0]()
    y = expected if form != "backward" else solved["first"].run("call", True)[0]()
    labels = []
    for label, call in peers.calls(problem(case, x, y, form, fresh, threads), versions):
        result = peers.to_numpy(call()).reshape(expected.shape)
        if np.allclose(result, expected, rtol=1e-4, atol=1e-5):
            contestants[label] = call
            labels.append(label)
        else:
            notes.append(f"{name} {form}: {label} has another result and is left out")

    times = measure(contestants, rounds)
    limit = min((times[copy] for copy in copies), key=lambda timing: timing.best)
    stride = case.stride or case.window
    tile = {"sliding": stride >= case.window, "adaptive": all(n % case.window == 0 for n in case.spatial),
            "whole": True}[case.kind]
    for layout in case.layouts:
        yield Row(
            name=name, layout=layout, form=form, fresh=fresh, plane=prod(case.spatial),
            tile=tile, stride1_max=case.op == "max" and stride == 1,
            three_channels=case.channels == 3, float32=case.dtype == "float32", traffic=traffic, zone=zone(traffic),
            limit=limit, own=times[f"cpool {layout}"], plain=times.get(f"plain {layout}"),
            peers={label: times[label] for label in labels}, window=case.window, stride=stride)


# ---- Two calls against each other ------------------------------------------------------------------------------------

SMALL = [("max", 3, 1, 1), ("max", 3, 2, 1), ("max", 2, 2, 0), ("avg", 2, 2, 0)]

Sides = tuple[Callable[[], object], Callable[[], object], float]


def sides(ours: Case, other: Case, form: str, per_byte: bool) -> Sides:
    """Two calls, and what the ratio of their times is divided by."""
    (a, bytes_a), (b, bytes_b) = (Solved.of(case, data(case, case.batches[0]), "first").run(form, False)
                                  for case in (ours, other))
    return a, b, bytes_a / bytes_b if per_byte else 1.0


def pairs() -> Iterator[tuple[str, str, Callable[[], Sides]]]:
    """Target, name, and what sets the two calls up."""
    both = ("call", "backward")

    def one(op: str, channels: int, side: int, window: int, stride: int = 0, padding: int = 0, batch: int = 1,
            **rest: Any) -> Case:
        return Case("", op, channels, (side, side), window, stride, padding, batches=(batch,), **rest)

    for op, form in product(("max", "avg"), both):
        by_size = {size: one(op, 16, 112, size, 1, size // 2) for size in (3, 13, 65)}  # as many outputs for every size
        for size, smaller in ((13, 3), (65, 13)):
            yield (f"{size}x{size} over {smaller}x{smaller}", f"{op} 112x112 C16 {form}",
                   partial(sides, by_size[size], by_size[smaller], form, False))
    for (op, *window), side, form in product(SMALL, (7, 14), both):
        small, large = (one(op, 32 * (56 // n) ** 2, n, *window) for n in (side, 56))  # as many elements
        yield ("small planes, per byte", f"{op} {window[0]}x{window[0]}/{window[1]} {side} over 56 {form}",
               partial(sides, small, large, form, True))
    for p, channels, batch in ((2.0, 64, 8), (2.0, 64, 1), (2.0, 8, 1), (2.5, 64, 1)):
        yield ("lp p=2 over average" if p == 2 else "general p over average", f"3x3/2 112x112 C{channels} b{batch} call",
               partial(sides, one("lp", channels, 112, 3, 2, batch=batch, p=p), one("avg", channels, 112, 3, 2, batch=batch),
                       "call", False))
    for op, form in product(("max", "avg"), both):
        yield ("adaptive over sliding", f"{op} 56 to 7 {form}",
               partial(sides, one(op, 256, 56, 7, kind="adaptive"), one(op, 256, 56, 8), form, False))


# ---- Two threads -----------------------------------------------------------------------------------------------------


def thread_jobs() -> Iterator[tuple[str, Case, str, str]]:
    cases = [case for case in CASES if case.layouts == STRIDED and case.dtype == "float32"]
    for case, layout, form in product(cases, ("first", "last"), FORMS):
        if form != "training" or case.op == "max":
            yield f"{case.text} b8 {form} {layout}", case, layout, form


def thread_contestants(case: Case, layout: str, form: str) -> dict[str, Callable[[], object]]:
    """cpool on one thread and on two, then copies on one and on two."""
    call, traffic = Solved.of(case, data(case, 8), layout).run(form, False)

    def on(threads: int) -> Callable[[], None]:
        def run() -> None:
            with cpool.num_threads(threads):
                call()
        return run

    return {"one": on(1), "two": on(2), "copy on one": copier(traffic, 1), "copy on two": copier(traffic, 2)}


# ---- Memory ----------------------------------------------------------------------------------------------------------


def memory_job(case: Case, form: str, layout: str) -> tuple[Callable[[], object], int]:
    """A call into given arrays, and the bytes of what it returns in new ones nevertheless."""
    solved = Solved.of(case, data(case, 1), layout)
    run, traffic = solved.run(form, False)
    return run, traffic - solved.run("call", False)[1] if form == "training" else 0


def memory_jobs() -> Iterator[tuple[str, Callable[[], tuple[Callable[[], object], int]]]]:
    for case in CASES:
        for form in case.forms:
            if form != "training" or case.op == "max":
                for layout in case.layouts:
                    yield f"{case.text} b1 {form} {layout}", partial(memory_job, case, form, layout)


# ---- Targets ---------------------------------------------------------------------------------------------------------


def geometric_mean(values: list[float]) -> dict[str, float]:
    return {f"geometric mean of {len(values)}": exp(sum(map(log, values)) / len(values))} if values else {}


def targets(rows: list[Row], ratios: dict[str, dict[str, float]], memory: dict[str, int], avx512: bool) -> Iterator[Target]:
    """All of them, with what was measured. Limits are for float32 and results in given arrays."""
    given = [row for row in rows if row.float32 and not row.fresh]

    def bounded(name: str, bound: float, chosen: Iterable[Row],
                value: Callable[[Row], float] = lambda row: row.ratio) -> Target:
        return Target(name, bound, {row.label: value(row) for row in chosen})

    calls = [row for row in given if row.form == "call" and ": lp" not in row.name]
    training = [row for row in given if row.form == "training"]
    backward = [row for row in given if row.form == "backward"]
    in_cache = [row for row in calls if row.zone in ("L1", "L2")]
    wide = [row for row in in_cache if row.plane >= 400]
    small = [row for row in in_cache if 49 < row.plane < 400]
    yield bounded("forward, DRAM, over limit", 1.15, [row for row in calls if row.zone == "DRAM"])
    yield bounded("forward, L3, over limit", 1.5, [row for row in calls if row.zone == "L3"])
    yield bounded("forward, L1 and L2, over limit", 2.0 if avx512 else 2.5, wide)
    yield bounded("forward, L1 and L2, planes under 400", 3.0 if avx512 else 4.0, small)
    yield bounded("forward, L1 and L2, 7x7", 4.0, [row for row in in_cache if row.plane <= 49])
    few = [row for row in calls if row.three_channels and row.layout == "last" and row.zone in ("L3", "DRAM")]
    yield bounded("forward, 3 channels last, L3 and DRAM", 1.8, few)

    def over_plain(row: Row) -> float:
        assert row.plain
        return row.own.best / row.plain.best

    dense = [row for row in training if row.stride1_max and row.window == 3 and row.zone != "DRAM"]
    yield bounded("training over call, DRAM", 1.35, [row for row in training if row.zone == "DRAM"], over_plain)
    yield bounded("training over call, in cache", 2.0 if avx512 else 2.5,
                  [row for row in training if row.zone != "DRAM" and (avx512 or row not in dense)], over_plain)
    if not avx512:
        yield bounded("training over call, in cache, 3x3/1", 3.0, dense, over_plain)

    large = [row for row in backward if row.zone == "DRAM"]
    cached = [row for row in backward if row.zone != "DRAM"]
    yield bounded("backward, DRAM, over limit", 1.3, [row for row in large if avx512 or not row.stride1_max])
    if not avx512:
        yield bounded("backward, DRAM, max of stride 1", 1.8, [row for row in large if row.stride1_max])
    yield bounded("backward, in cache, windows apart", 2.0, [row for row in cached if row.tile])
    for bound, stride in ((4.0, 2), (7.0, 1)):
        chosen = [row for row in cached if not row.tile and (row.window, row.stride) == (3, stride)]
        yield bounded(f"backward, in cache, 3x3/{stride}", bound, chosen)

    for form in FORMS:
        compared = [row for row in rows if row.float32 and row.form == form and row.peers]
        speeds = {row.label: row.faster_than(row.fastest) for row in compared if row.fastest}
        yield Target(f"{form}: speed over fastest peer", 0.95, speeds, at_least=True)
        yield Target(f"{form}: mean speed over fastest", 2.0, geometric_mean(list(speeds.values())), at_least=True)
        if form != "backward":
            over_torch = [row.faster_than("torch") for row in compared if "torch" in row.peers]
            yield Target(f"{form}: mean speed over torch contiguous", 10.0, geometric_mean(over_torch), at_least=True)

    for name, bound in (("13x13 over 3x3", 2.5), ("65x65 over 13x13", 2.2), ("small planes, per byte", 2.0),
                        ("lp p=2 over average", 1.3), ("adaptive over sliding", 1.3)):
        yield Target(name, bound, ratios.get(name, {}))
    yield Target("two threads over one, above 1 ms", 1.7, ratios.get("two threads", {}), at_least=True)
    yield Target("extra memory, MiB per worker", 1.0,
                 {name: size / 2**20 / cpool.get_num_threads() for name, size in memory.items()})


# ---- The command -----------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> None:
    """pooling: every case beside its limit and its peers"""
    rounds = QUICK if options.quick else Rounds(options.rounds)
    versions, facts = peers.installed(), machine()
    say(heading(facts, rounds, versions))
    pattern = re.compile(options.only)

    def wanted(name: str) -> bool:
        return pattern.search(name) is not None

    jobs = [(case, batch, form, fresh) for case in CASES for batch in case.batches for form in case.forms
            if form != "training" or case.op == "max"
            for fresh in ((False, True) if form == "call" or batch == case.batches[0] else (False,))
            if wanted(f"{case.text} b{batch} {form}{' fresh' * fresh}")]
    chosen_pairs = [(target, name, make) for target, name, make in pairs() if wanted(f"{target}: {name}")]
    chosen_threads = [job for job in thread_jobs() if wanted(f"two threads: {job[0]}")] if facts["cpus"] > 1 else []
    chosen_memory = [(name, job) for name, job in memory_jobs() if wanted(f"memory: {name}")]
    total, done = len(jobs) + len(chosen_pairs) + len(chosen_threads) + len(chosen_memory), 0

    def step(text: str) -> None:
        nonlocal done
        done += 1
        progress(done, total, text, sys.stderr)

    rows: list[Row] = []
    notes: list[str] = []
    for (case, batch), forms in groupby(jobs, key=lambda job: job[:2]):
        x = data(case, batch)
        solved = {layout: Solved.of(case, x, layout) for layout in case.layouts}
        for *_, form, fresh in forms:
            rows += rows_of(solved, form, fresh, rounds, versions, notes)
            step(f"{case.text} b{batch} {form}{' fresh' * fresh}")

    ratios: dict[str, dict[str, float]] = {}
    pair_rows = []
    for target, name, make in chosen_pairs:
        ours, other, work = make()
        times = measure({"ours": ours, "other": other}, rounds)
        ratio = times["ours"].best / times["other"].best / work
        ratios.setdefault(target, {})[name] = ratio
        pair_rows.append((target, name, times["ours"].best * 1e6, times["other"].best * 1e6, ratio))
        step(f"{target}: {name}")

    thread_rows = []
    for name, case, layout, form in chosen_threads:
        times = measure(thread_contestants(case, layout, form), rounds)
        one, two, copy_one, copy_two = (timing.best for timing in times.values())
        thread_rows.append((name, one * 1e6, two * 1e6, one / two, copy_one / copy_two, two / copy_two))
        if one > 1e-3:
            ratios.setdefault("two threads", {})[name] = one / two
        step(f"two threads: {name}")

    memory: dict[str, int] = {}
    for (name, _), size in zip(chosen_memory, extra_memory([job for _, job in chosen_memory]), strict=True):
        memory[name] = size
        step(f"memory: {name}")

    labels = list(dict.fromkeys(label for row in rows for label in row.peers))
    say("\nTimes in us. Under a peer: its time over that of cpool (above 1: cpool is faster).")
    say(table(["case", "form", "layout", "MB", "in", "limit", "best", "median", "x limit", *labels], (
        (row.name, row.form + " fresh" * row.fresh, row.layout, row.traffic / 1e6, row.zone, row.limit.best * 1e6,
         row.own.best * 1e6, row.own.median * 1e6, row.ratio,
         *(row.faster_than(label) if label in row.peers else None for label in labels)) for row in rows), 3))
    say("\nTwo calls against each other, times in us.")
    say(table(["target", "case", "ours", "other", "ratio"], pair_rows, 2))
    say("\nTwo threads, times in us.")
    say(table(["case", "one", "two", "faster", "copy faster", "two over copy"], thread_rows, 1))
    say("\nMemory beyond inputs and results during a call, largest first.")
    largest = sorted(memory.items(), key=lambda item: -item[1])[:10]
    say(table(["case", "MiB"], ((name, size / 2**20) for name, size in largest), 1))
    for note in notes:
        say(f"note: {note}")

    avx512 = options.isa == "avx512"
    checked = list(targets(rows, ratios, memory, avx512))
    if options.check:
        say(f"\nTargets for float32{'' if options.threads == 1 else ', which are meant for one thread'}:")
        say(report(checked))
    write_json(Path("benchmark_pool.json"), {
        "machine": facts, "peers": versions, "rounds": asdict(rounds), "notes": notes,
        "rows": [asdict(row) | {"ratio": row.ratio} for row in rows], "pairs": pair_rows, "threads": thread_rows,
        "memory": memory, "targets": [target.report() for target in checked]})
    lines: dict[str, dict[str, float]] = {}
    for row in rows:
        line = lines.setdefault(f"{row.name} {row.form}{' fresh' * row.fresh}", {})
        line[f"cpool {row.layout}"] = row.ratio
        line |= {label: timing.best / row.limit.best for label, timing in row.peers.items()}
    drawn = write_picture(Path("benchmark_pool.png"), heading(facts, rounds, versions), list(lines.items())) if rows else False
    say("\nwrote benchmark_pool.json" + (" and benchmark_pool.png" if drawn else
        "; no picture, which needs rows and matplotlib:  pip install '.[bench]'"))
