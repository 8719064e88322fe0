"""Batch norm: the cases beside their limit and other libraries, two threads, and the targets."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from statistics import geometric_mean
from time import perf_counter
from typing import Any

import numpy as np

import cpool
from benchmarks import peers
from benchmarks.harness import QUICK, Rounds, Target, heading, machine, measure, report, say, table, write_json, zone

Array = np.ndarray[Any, Any]
Calls = dict[str, Callable[[], Any]]
CASES = [(32, 64, 56, 56), (16, 64, 112, 112), (8, 256, 14, 14), (32, 512, 7, 7), (4096, 512), (1, 64, 224, 224)]
LAYOUTS = ("first", "last")
# Arrays that are read and written: the limit is a copy of so many bytes.
ARRAYS = {"inference": 2, "training": 2, "backward": 3}
WORTH_SHARING = 1e-3  # seconds of a call that is timed on two threads as well


@dataclass(frozen=True)
class Row:
    """One way to call cpool, beside its limit and its peers; seconds."""

    name: str
    layout: str
    form: str
    traffic: int
    limit: float
    best: float
    speedup: float | None = None  # by two threads
    peers: dict[str, float] = field(default_factory=dict)

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

    def over(self, layouts: tuple[str, ...]) -> float | None:
        """How much faster than the fastest peer whose arrays have such a layout."""
        times = [seconds for label, seconds in self.peers.items() if label.rsplit(maxsplit=1)[-1] in layouts]
        return min(times) / self.best if times else None


@dataclass(frozen=True)
class Arrays:
    """What a case reads and writes, in one block of memory: which pages of the system an array gets changes times by half."""

    shape: tuple[int, ...]
    layout: str
    block: Array

    @staticmethod
    def of(shape: tuple[int, ...], layout: str) -> Arrays:
        n = prod(shape)
        room = np.empty(3 * n + 16, np.float32)  # of large pages where there are any, unlike np.zeros
        room.fill(0)
        first = -room.ctypes.data // 4 % 16  # a cache line has 16
        block = room[first:first + 3 * n]
        block[:2 * n] = np.random.default_rng(0).standard_normal(2 * n, np.float32)
        return Arrays(shape, layout, block)

    def __getitem__(self, i: int) -> Array:
        n = prod(self.shape)
        lying = (self.shape[0], *self.shape[2:], self.shape[1]) if self.layout == "last" else self.shape
        return self.block[i * n:(i + 1) * n].reshape(lying)

    def copies(self, form: str, threads: int, versions: dict[str, str | None]) -> Calls:
        """Copies within the block, half of what a form moves from its beginning to its end."""
        half = ARRAYS[form] * prod(self.shape) // 2
        return peers.copies_of(self.block[:half], self.block[len(self.block) - half:], threads, versions)


def parameters(channels: int, dtype: type) -> list[Array]:
    """Weight, bias, mean and variance."""
    return [np.ones(channels, np.float32), np.zeros(channels, np.float32), np.zeros(channels, dtype), np.ones(channels, dtype)]


def forms(a: Arrays) -> Calls:
    """The calls of cpool by form, into the third array."""
    x, dy, y = a[0], a[1], a[2]
    weight, bias, mean, var = parameters(a.shape[1], np.float64)
    axis = -1 if a.layout == "last" else 1
    _, saved = cpool.batch_norm.forward(x, weight, bias, channel_axis=axis)
    return {
        "inference": lambda: cpool.batch_norm(x, weight, bias, mean=mean, var=var, channel_axis=axis, out=y),
        "training": lambda: cpool.batch_norm.forward(x, weight, bias, channel_axis=axis, out=y)[0],
        "backward": lambda: cpool.batch_norm.backward(dy, saved, out=y).x,
    }


def torch_forms(a: Arrays, threads: int) -> Calls:
    """The same of PyTorch; what receives its gradients it allocates, a form that takes them copies."""
    import torch

    torch.set_num_threads(threads)
    x, dy, y = (torch.from_numpy(np.moveaxis(a[i], -1, 1) if a.layout == "last" else a[i]) for i in range(3))
    weight, bias, mean, var = map(torch.from_numpy, parameters(a.shape[1], np.float32))
    norm, statistics = torch.ops.aten.native_batch_norm, {"momentum": 0.1, "eps": 1e-5}
    running = mean.clone(), var.clone()
    _, *kept = norm(x, weight, bias, *running, training=True, **statistics)
    out = {"out": y, "save_mean": torch.empty_like(mean), "save_invstd": torch.empty_like(mean)}
    none = out | {"save_mean": torch.empty(0), "save_invstd": torch.empty(0)}
    return {
        "inference": lambda: norm.out(x, weight, bias, mean, var, training=False, **statistics, **none)[0],
        "training": lambda: norm.out(x, weight, bias, *running, training=True, **statistics, **out)[0],
        "backward": lambda: torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, var, *kept, True, statistics["eps"], [True] * 3)[0],
    }


def _onnxruntime(a: Arrays, threads: int) -> Callable[[], Any]:
    from onnx import TensorProto, helper, numpy_helper

    names = ["weight", "bias", "mean", "var"]
    values = [numpy_helper.from_array(value, name)
              for name, value in zip(names, parameters(a.shape[1], np.float32), strict=True)]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("BatchNormalization", ["x", *names], ["y"])], "norm", [x], [y], values)
    return peers.onnx_call(peers.onnx_session(graph, threads), a[0], {"y": a[2]})


def _openvino(a: Arrays, threads: int) -> Callable[[], Any]:
    import openvino
    from openvino import opset14 as ops

    x = ops.parameter(a.shape, np.float32)
    weight, bias, mean, var = map(ops.constant, parameters(a.shape[1], np.float32))
    model = openvino.Model([ops.result(ops.batch_norm_inference(x, weight, bias, mean, var, 1e-5))], [x])
    return peers.openvino_call(peers.openvino_request(model, threads), a[0], [a[2]])


def peers_of(arrays: dict[str, Arrays], threads: int, versions: dict[str, str | None]) -> dict[str, Calls]:
    """By label, which ends with the layout of the arrays, and form."""
    found: dict[str, Calls] = {}
    for layout, a in arrays.items():
        if versions["torch"]:
            found[f"torch {layout}"] = torch_forms(a, threads)
    default = arrays.get("first", next(iter(arrays.values())))  # those of the others, or a matrix
    if versions["onnxruntime"]:
        found[f"onnxruntime {default.layout}"] = {"inference": _onnxruntime(default, threads)}
    if versions["openvino"]:
        found[f"openvino {default.layout}"] = {"inference": _openvino(default, threads)}
    return found


def speedup(call: Callable[[], Any], rounds: Rounds) -> float:
    """By two threads. Times are the best of several calls in a row: a busy system takes a while to run a second thread."""
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(rounds.count):
        for threads in best:
            with cpool.num_threads(threads):
                end = perf_counter() + 15 * rounds.seconds
                start = 0.0
                while start < end:
                    start = perf_counter()
                    call()
                    best[threads] = min(best[threads], perf_counter() - start)
    return best[1] / best[2]


def same(a: Array, b: Array, layout: str) -> bool:
    b = np.moveaxis(b, 1, -1) if layout == "last" and b.shape != a.shape else b
    return np.allclose(a, b, rtol=1e-3, atol=1e-3)


def rows(wanted: Callable[[str], bool], rounds: Rounds, threads: int, cpus: int, versions: dict[str, str | None],
         notes: list[str]) -> Iterator[Row]:
    for shape in CASES:
        name = "x".join(map(str, shape))
        arrays = {layout: Arrays.of(shape, layout) for layout in LAYOUTS if len(shape) > 2 or layout == "last"}
        chosen = [form for form in ARRAYS if any(wanted(f"{name} {layout} {form}") for layout in arrays)]
        if not chosen:
            continue
        own = {layout: forms(a) for layout, a in arrays.items()}
        others = peers_of(arrays, threads, versions)
        for form in chosen:
            contestants: Calls = {f"cpool {layout}": own[layout][form] for layout in arrays}
            for label, calls in others.items():
                layout = label.rsplit(maxsplit=1)[-1]
                if form in calls and same(own[layout][form]().copy(), peers.to_numpy(calls[form]()), layout):
                    contestants[label] = calls[form]
                elif form in calls:
                    notes.append(f"{name} {form}: {label} has another result and is left out")
            copies = {layout: a.copies(form, threads, versions) for layout, a in arrays.items()}
            contestants |= {f"{label} {layout}": call for layout in arrays for label, call in copies[layout].items()}
            best = {key: timing.best for key, timing in measure(contestants, rounds).items()}
            of_peers = {label: best[label] for label in others if label in best}
            for layout in arrays:
                seconds = best[f"cpool {layout}"]
                shared = threads == 1 and cpus > 1 and seconds > WORTH_SHARING
                yield Row(name, layout, form, ARRAYS[form] * 4 * prod(shape),
                          min(best[f"{label} {layout}"] for label in copies[layout]), seconds,
                          speedup(own[layout][form], rounds) if shared else None, of_peers)


def targets(measured: list[Row]) -> Iterator[Target]:
    for form, layout in product(ARRAYS, LAYOUTS):
        chosen = [row for row in measured if (row.form, row.layout) == (form, layout)]
        for bound in sorted({row.bound for row in chosen}):
            yield Target(f"{form}, channels {layout}", bound, {row.name: row.ratio for row in chosen if row.bound == bound})
    means = {"training": 1.6, "backward": 1.3}
    for form in ARRAYS:
        for text, layouts in (("its layout", ()), ("any layout", LAYOUTS)):
            over = {f"{row.name} {row.layout}": row.over(layouts or (row.layout,)) for row in measured if row.form == form}
            faster = {name: ratio for name, ratio in over.items() if ratio is not None}
            yield Target(f"{form}, speed over the fastest peer in {text}", 0.95, faster, at_least=True)
            if form in means and faster:
                yield Target(f"{form}, ... geometric mean", means[form], {"all": geometric_mean(faster.values())},
                             at_least=True)
    sped = {f"{row.name} {row.layout} {row.form}": row.speedup for row in measured if row.speedup is not None}
    yield Target("two threads", 1.7, sped, at_least=True)


def run(options: argparse.Namespace) -> None:
    """batch norm: every case beside its limit and its peers"""
    rounds, facts = QUICK if options.quick else Rounds(options.rounds), machine()
    versions = {name: version for name, version in peers.installed().items() if name != "scikit-image"}
    say(heading(facts, rounds, versions))
    pattern = re.compile(options.only)
    notes: list[str] = []
    measured = list(rows(lambda name: pattern.search(name) is not None, rounds, options.threads, facts["cpus"], versions,
                         notes))
    labels = sorted({label for row in measured for label in row.peers})
    say("\nTimes in us; of a peer: its time over that of cpool.")
    say(table(["case", "layout", "form", "in", "MB", "limit", "best", "x limit", "target", "two threads", *labels], (
        (row.name, row.layout, row.form, zone(row.traffic), row.traffic / 1e6, row.limit * 1e6, row.best * 1e6, row.ratio,
         row.bound, row.speedup, *(row.peers[label] / row.best if label in row.peers else None for label in labels))
        for row in measured), 4))
    for note in notes:
        say(note)
    checked = list(targets(measured))
    if options.check:
        say("\nTargets for float32, which are meant for one thread:")
        say(report(checked))
    write_json(Path("benchmark_norm.json"), {
        "machine": facts, "rows": [vars(row) | {"ratio": row.ratio} for row in measured],
        "targets": [target.report() for target in checked]})
