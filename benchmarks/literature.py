"""Operators of the literature: each beside a plain pool of the same windows, and beside what composes it in PyTorch."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import cpool
from benchmarks import peers
from benchmarks.harness import QUICK, Rounds, heading, machine, measure, say, table, write_json, write_picture
from cpool.demo import progress

Array = np.ndarray[Any, Any]
SHAPE = (8, 64, 112, 112)


def weights(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32) / 3


# ---- What is composed: elements of windows in the last axis, then operations on them -----------------------------------------


def windows(x: Any, case: Case, outside: float) -> Any:
    import torch.nn.functional as F

    padded = F.pad(x, (case.padding,) * 4, value=outside) if case.padding else x
    return padded.unfold(2, case.window, case.stride).unfold(3, case.window, case.stride).flatten(-2)


def soft(x: Any, u: Any, case: Case) -> Any:
    logits = windows(x, case, float("-inf"))
    return (logits.softmax(-1) * u).sum(-1)


def lip(x: Any, u: Any, case: Case, logits: Any) -> Any:
    return (windows(logits, case, float("-inf")).softmax(-1) * u).sum(-1)


def stochastic(x: Any, u: Any, case: Case) -> Any:
    import torch

    sums = u.clamp(min=0).cumsum(-1)
    drawn = torch.rand(sums.shape[:-1]) * sums[..., -1]
    return u.gather(-1, (sums > drawn[..., None]).to(torch.uint8).argmax(-1, keepdim=True))[..., 0]


def share(x: Any, u: Any, case: Case) -> Any:
    positive = u.clamp(min=0)
    return (positive * positive).sum(-1) / positive.sum(-1).clamp(min=1e-38)


def mixed(x: Any, u: Any, case: Case) -> Any:
    return 0.5 * windows(x, case, float("-inf")).amax(-1) + 0.5 * u.sum(-1) / windows(x * 0 + 1, case, 0.0).sum(-1)


def gated(x: Any, u: Any, case: Case, weight: Any, bias: Any) -> Any:
    gate = ((u * weight).sum(-1) + bias).sigmoid()
    return gate * windows(x, case, float("-inf")).amax(-1) + (1 - gate) * u.sum(-1) / windows(x * 0 + 1, case, 0.0).sum(-1)


def rank(x: Any, u: Any, case: Case, weight: Any) -> Any:
    ranked = windows(x, case, float("-inf")).sort(-1, descending=True)[0]
    return (ranked.where(ranked > float("-inf"), 0.0) * weight).sum(-1)


def dpp(x: Any, u: Any, case: Case, alpha: Any, lam: Any) -> Any:
    there = windows(x * 0 + 1, case, 0.0)
    mean = u.sum(-1, keepdim=True) / there.sum(-1, keepdim=True)
    weight = (alpha + ((u - mean) ** 2 + 1e-3) ** (lam / 2)) * there
    return (weight * u).sum(-1) / weight.sum(-1)


def tree(x: Any, u: Any, case: Case, leaves: Any, gates: Any) -> Any:
    first, second = (u * leaves[0]).sum(-1), (u * leaves[1]).sum(-1)
    gate = (u * gates[0]).sum(-1).sigmoid()
    return gate * first + (1 - gate) * second


def ada(x: Any, u: Any, case: Case) -> Any:
    there = windows(x * 0 + 1, case, 0.0)
    mean = u.sum(-1, keepdim=True) / there.sum(-1, keepdim=True)
    small, large = u.abs().minimum(mean.abs()), u.abs().maximum(mean.abs())
    ratio = small / large.clamp(min=1e-38)
    alike = (2 * ratio / (1 + ratio * ratio)).exp() * there
    return 0.5 * (alike * u).sum(-1) / alike.sum(-1) + 0.5 * soft(x, u, case)


@dataclass(frozen=True)
class Case:
    """An operator on windows of SHAPE. `given` are its arguments beside the window: arrays are parameters with gradients."""

    name: str
    op: Any
    composed: Callable[..., Any]
    given: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    beside: str = "avg"
    window: int = 3
    stride: int = 2
    padding: int = 1
    draws: bool = False
    forms: tuple[str, ...] = ("forward", "backward")

    @property
    def text(self) -> str:
        return f"{self.name} {self.window}x{self.window}/{self.stride}{' p1' * self.padding}"

    @property
    def place(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding}


CASES = [
    Case("soft", cpool.soft_pool, soft),
    Case("lip", cpool.lip_pool, lip, {"logits": weights(*SHAPE)}),
    Case("stochastic", cpool.stochastic_pool, stochastic, options={"seed": 1}, beside="max", draws=True),
    Case("stochastic inference", cpool.stochastic_pool, share, forms=("forward",)),
    Case("mixed", cpool.mixed_pool, mixed),
    Case("gated", cpool.gated_pool, gated, {"weight": weights(9), "bias": weights(1)[0]}),
    Case("rank", cpool.rank_pool, rank, {"weight": weights(9)}, beside="max"),
    Case("rank", cpool.rank_pool, rank, {"weight": weights(4)}, beside="max", window=2, padding=0),
    Case("dpp", cpool.dpp_pool, dpp, {"alpha": np.float32(0.5), "lam": np.float32(1.5)}),
    Case("tree", cpool.tree_pool, tree, {"leaves": weights(2, 9), "gates": weights(1, 9)}),
    Case("ada", cpool.ada_pool, ada),
]


# ---- One case ----------------------------------------------------------------------------------------------------------------


def arguments(case: Case, x: Array) -> tuple[tuple[Any, ...], dict[str, Any]]:
    keywords = {name: value for name, value in case.given.items() if name != "logits"}
    second = (case.given["logits"],) if "logits" in case.given else ()
    return (x, *second, case.window), keywords | case.place


def contestants(case: Case, form: str, x: Array, threads: int, versions: dict[str, str | None]) -> dict[str, Callable[[], Any]]:
    """By name: cpool, the plain pool of the same windows, and the composed expression."""
    found: dict[str, Callable[[], Any]] = {}
    plain: Any = cpool.avg_pool if case.beside == "avg" else cpool.max_pool
    given, options = arguments(case, x)
    dy = np.random.default_rng(2).standard_normal(plain.output_shape(x.shape, case.window, **case.place), dtype=np.float32)
    y = np.empty_like(dy)
    if form == "forward" and case.draws:
        found["cpool"] = lambda: case.op.forward(*given, **options, **case.options, out=y)[0]
        found["plain"] = lambda: plain.forward(x, case.window, **case.place, out=y)[0]
    elif form == "forward":
        found["cpool"] = lambda: case.op(*given, **options, out=y)
        found["plain"] = lambda: plain(x, case.window, **case.place, out=y)
    else:
        _, saved = case.op.forward(*given, **options, **case.options)
        _, of_plain = plain.forward(x, case.window, **case.place)
        found["cpool"] = lambda: case.op.backward(dy, saved)
        found["plain"] = lambda: plain.backward(dy, of_plain)
    if versions["torch"]:
        found["composed"] = composed(case, form, x, dy, threads)
    return found


def composed(case: Case, form: str, x: Array, dy: Array, threads: int) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(threads)
    a, g = torch.from_numpy(x), torch.from_numpy(dy)
    given = {name: torch.from_numpy(np.asarray(value)) for name, value in case.given.items()}

    def forward() -> Any:
        return case.composed(a, windows(a, case, 0.0), case, *given.values())

    if form == "forward":
        def run() -> Any:
            with torch.no_grad():
                return forward()

        return run
    inputs = [a.requires_grad_(), *(value.requires_grad_() for value in given.values())]
    y = forward()
    return lambda: torch.autograd.grad(y, inputs, g, retain_graph=True)[0]


def check(case: Case, form: str, found: dict[str, Callable[[], Any]], notes: list[str]) -> None:
    """What computes something else is not compared with."""
    if "composed" not in found or case.draws:
        return
    own = found["cpool"]()
    own = own[0] if isinstance(own, tuple) else own
    if not np.allclose(peers.to_numpy(found["composed"]()), own, rtol=1e-3, atol=1e-4):
        notes.append(f"{case.text} {form}: the composed expression has another result and is left out")
        del found["composed"]


def run(options: argparse.Namespace) -> None:
    """Operators of the literature: beside a plain pool of the same windows, and beside expressions composed in PyTorch."""
    rounds = QUICK if options.quick else Rounds(count=options.rounds)
    versions = peers.installed()
    shape = (1, 2, 12, 12) if options.quick else SHAPE
    jobs = [(case, form) for case in CASES for form in case.forms]
    jobs = [(case, form) for case, form in jobs if re.search(options.only, f"{case.text} {form}")]
    facts = machine()
    notes: list[str] = []
    rows: list[list[Any]] = []
    for done, (case, form) in enumerate(jobs):
        progress(done, len(jobs), f"{case.text} {form}", sys.stderr)
        if "logits" in case.given:
            case.given["logits"] = weights(*shape)
        x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
        found = contestants(case, form, x, options.threads, versions)
        check(case, form, found, notes)
        times = measure(found, rounds)
        own = times["cpool"].best
        over_plain = own / times["plain"].best
        against = times["composed"].best / own if "composed" in times else None
        rows.append([f"{case.text} {form}", own * 1e6, times["cpool"].median * 1e6, case.beside, over_plain, against])
    progress(len(jobs), len(jobs), "done", sys.stderr)

    say(heading(facts, rounds, {"torch": versions["torch"]}))
    say(f"\nfloat32 {'x'.join(map(str, shape))}, channels first; times in us. over: time over that of the plain pool; "
        "composed: time of the composed expression over that of cpool. backward is all gradients, of parameters as well")
    say(table(["case", "best", "median", "plain pool", "over", "composed"], rows, 1))
    for note in notes:
        say(f"note: {note}")
    write_json(Path("benchmark_literature.json"), {"machine": facts, "rounds": asdict(rounds), "notes": notes, "rows": rows})
    lines = [(name, {"cpool": over} | ({"composed": over * against} if against else {})) for name, *_, over, against in rows]
    title = heading(facts, rounds, versions)
    drawn = bool(rows) and write_picture(Path("benchmark_literature.png"), title, lines, "time over that of the plain pool")
    say("\nwrote benchmark_literature.json" + " and benchmark_literature.png" * drawn)
