"""Batch norm: the cases, PyTorch where it is installed, two threads, and the targets."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import cpool
from benchmarks.harness import QUICK, Rounds, Target, copier, heading, machine, measure, report, say, table, write_json, zone

Array = np.ndarray[Any, Any]
CASES = [(32, 64, 56, 56), (16, 64, 112, 112), (8, 256, 14, 14), (32, 512, 7, 7), (4096, 512), (1, 64, 224, 224)]
# Arrays that are read and written: the limit is a copy of so many bytes.
ARRAYS = {"inference": 2, "training": 2, "backward": 3}


@dataclass(frozen=True)
class Row:
    """One way to call cpool, beside its limit and PyTorch."""

    name: str
    layout: str
    form: str
    traffic: int
    limit: float
    best: float
    two: float | None    # on two threads
    torch: float | None

    @property
    def ratio(self) -> float:
        return self.best / self.limit

    @property
    def bound(self) -> float:
        """The target for the ratio to the limit, float32 and one thread."""
        if self.form == "inference":
            return 1.1
        if self.name == "32x512x7x7":
            return 2.2
        if self.layout == "last":
            return 1.65 if self.form == "training" else 1.8
        if self.form == "training":
            return 1.4 if zone(self.traffic) == "DRAM" else 2.0
        return 1.5 if self.name == "16x64x112x112" else 1.4  # x and dy of a channel may exceed L2


def forms(shape: tuple[int, ...], layout: str, threads: int) -> dict[str, Callable[[], object]]:
    """The calls of a case by form, into arrays that are there."""
    rng = np.random.default_rng(0)
    lying = (shape[0], *shape[2:], shape[1]) if layout == "last" else shape
    x, dy = (rng.standard_normal(lying, np.float32) for _ in range(2))
    y, dx = np.empty_like(x), np.empty_like(x)
    weight, bias = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)
    mean, var = np.zeros(shape[1]), np.ones(shape[1])
    axis = -1 if layout == "last" else 1
    _, saved = cpool.batch_norm.forward(x, weight, bias, channel_axis=axis)

    def call(run: Callable[..., object], *args: Any, **options: Any) -> Callable[[], object]:
        def body() -> object:
            with cpool.num_threads(threads):
                return run(*args, **options)

        return body

    return {
        "inference": call(cpool.batch_norm, x, weight, bias, mean=mean, var=var, channel_axis=axis, out=y),
        "training": call(cpool.batch_norm.forward, x, weight, bias, channel_axis=axis, out=y),
        "backward": call(cpool.batch_norm.backward, dy, saved, out=dx),
    }


def torch_forms(shape: tuple[int, ...], layout: str, threads: int) -> dict[str, Callable[[], object]]:
    """The same of PyTorch, which allocates its results; none where it is not installed."""
    try:
        import torch  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    form = torch.channels_last if layout == "last" else torch.contiguous_format
    x, dy = (torch.randn(shape).contiguous(memory_format=form) if len(shape) == 4 else torch.randn(shape) for _ in range(2))
    weight, bias, mean, var = torch.ones(shape[1]), torch.zeros(shape[1]), torch.zeros(shape[1]), torch.ones(shape[1])
    _, *kept = torch.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5)
    return {
        "inference": lambda: torch.native_batch_norm(x, weight, bias, mean, var, False, 0.1, 1e-5),
        "training": lambda: torch.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5),
        "backward": lambda: torch.ops.aten.native_batch_norm_backward(dy, x, weight, mean, var, *kept, True, 1e-5, [True] * 3),
    }


def rows(wanted: Callable[[str], bool], rounds: Rounds, threads: int, cpus: int) -> Iterator[Row]:
    for shape, layout in product(CASES, ("first", "last")):
        if len(shape) == 2 and layout == "first":  # for a matrix they are the same
            continue
        name = "x".join(map(str, shape))
        chosen = [form for form in ARRAYS if wanted(f"{name} {layout} {form}")]
        if not chosen:
            continue
        ours, peer = forms(shape, layout, threads), torch_forms(shape, layout, threads)
        shared = forms(shape, layout, 2) if threads == 1 and cpus > 1 else {}
        for form in chosen:
            traffic = ARRAYS[form] * 4 * int(np.prod(shape))
            contestants = {"limit": copier(traffic, threads), "cpool": ours[form]}
            contestants |= {"torch": peer[form]} if peer else {}
            contestants |= {"two": shared[form]} if shared else {}
            best = {key: timing.best for key, timing in measure(contestants, rounds).items()}
            yield Row(name, layout, form, traffic, best["limit"], best["cpool"], best.get("two"), best.get("torch"))


def targets(measured: list[Row]) -> Iterator[Target]:
    for form, layout in product(ARRAYS, ("first", "last")):
        chosen = [row for row in measured if (row.form, row.layout) == (form, layout)]
        for bound in sorted({row.bound for row in chosen}):
            yield Target(f"{form}, channels {layout}", bound, {row.name: row.ratio for row in chosen if row.bound == bound})
    faster = {f"{row.name} {row.layout} {row.form}": row.best / row.two for row in measured if row.two and row.best > 1e-3}
    yield Target("two threads", 1.7, faster, at_least=True)


def run(options: argparse.Namespace) -> None:
    """batch norm: every case beside its limit and PyTorch"""
    rounds, facts = QUICK if options.quick else Rounds(), machine()
    try:
        from torch import __version__ as torch_version
    except ImportError:
        torch_version = None
    say(heading(facts, rounds, {"torch": torch_version}))
    pattern = re.compile(options.only)
    measured = list(rows(lambda name: pattern.search(name) is not None, rounds, options.threads, facts["cpus"]))
    say("\nTimes in us.")
    say(table(["case", "layout", "form", "in", "MB", "limit", "best", "x limit", "target", "two threads", "torch"], (
        (row.name, row.layout, row.form, zone(row.traffic), row.traffic / 1e6, row.limit * 1e6, row.best * 1e6, row.ratio,
         row.bound, None if row.two is None else row.best / row.two, None if row.torch is None else row.torch * 1e6)
        for row in measured), 4))
    checked = list(targets(measured))
    if options.check:
        say("\nTargets for float32, which are meant for one thread:")
        say(report(checked))
    write_json(Path("benchmark_norm.json"), {
        "machine": facts, "rows": [vars(row) | {"ratio": row.ratio} for row in measured],
        "targets": [target.report() for target in checked]})
