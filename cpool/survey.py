"""The survey behind ``cpool demo --survey``: the digits network trained with every operator, from the same start.

An operator enters by a row of ``ROWS``: what it is called, and the layer that it is for so many channels. Its picture is a
panel of ``demo.panels``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import numpy as np

import cpool
from cpool import demo
from cpool.example_convnet import Adam, Array, Convolution, Network, Pool

SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 10
BATCH = 32

# ---- Layers ----------------------------------------------------------------------------------------------------------


class RandomPool(Pool):
    """Pooling that draws while it trains, at every step other numbers; ``inference`` is what takes its place then."""

    def __init__(self, operator: Any, *args: Any, inference: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(operator, *args, seed=demo.SEED, offset=0, **options)
        self.inference = options if inference is None else inference

    def forward(self, x: Array) -> Array:
        self.options["offset"] += 1
        return super().forward(x)

    def infer(self, x: Array) -> Array:
        y: Array = self.operator(x, *self.args, axes=(1, 2), **self.inference)
        return y


# A map from what is learned to a parameter; given the parameter's gradient, to that of what is learned.
Map = Callable[..., Array]


def as_it_is(theta: Array, gradient: Array | None = None) -> Array:
    return theta if gradient is None else gradient


def positive(theta: Array, gradient: Array | None = None) -> Array:
    power: Array = np.exp(theta)
    return power if gradient is None else power * gradient


class LearnedPool(Pool):
    """Pooling with parameters: ``learned`` are those by name, with what is learned in their place and its map."""

    wrt = None

    def __init__(self, operator: Any, *args: Any, learned: dict[str, tuple[Any, Map]], **options: Any) -> None:
        super().__init__(operator, *args, **options)
        self.fixed = options
        self.maps = {name: how for name, (_, how) in learned.items()}
        self.parameters = [np.array(start, np.float32) for start, _ in learned.values()]

    def forward(self, x: Array) -> Array:
        given = {name: how(theta) for (name, how), theta in zip(self.maps.items(), self.parameters, strict=True)}
        self.options = self.fixed | given
        return super().forward(x)

    def backward(self, dy: Array) -> Array:
        gradients: Any = super().backward(dy)
        self.gradients = [how(theta, getattr(gradients, name))
                          for (name, how), theta in zip(self.maps.items(), self.parameters, strict=True)]
        dx: Array = gradients.x
        return dx


class LipPool(Pool):
    """Pooling by importance, whose logits are a convolution of single pixels."""

    wrt = None

    def __init__(self, channels: int) -> None:
        super().__init__(cpool.lip_pool, 2)
        self.logits = Convolution(np.random.default_rng(demo.SEED), channels, channels, size=1)
        self.parameters = self.logits.parameters

    def forward(self, x: Array) -> Array:
        self.args = (self.logits.forward(x), 2)
        return super().forward(x)

    def backward(self, dy: Array) -> Array:
        gradients: Any = super().backward(dy)
        dx: Array = gradients.x + self.logits.backward(gradients.logits)
        self.gradients = self.logits.gradients
        return dx


class FractionalPool(RandomPool):
    """Maxima at two thirds of the size."""

    def __init__(self) -> None:
        super().__init__(cpool.fractional_max_pool)

    def forward(self, x: Array) -> Array:
        self.args = (2, -(-2 * x.shape[1] // 3))
        return super().forward(x)

    def infer(self, x: Array) -> Array:
        return self.forward(x)


class KmaxPool(Pool):
    """The larger half of every column, then of every row."""

    def __init__(self) -> None:
        super().__init__(cpool.kmax_pool)

    def forward(self, x: Array) -> Array:
        start = perf_counter()
        y, self.down = cpool.kmax_pool.forward(x, x.shape[1] // 2, axis=1)
        y, self.along = cpool.kmax_pool.forward(y, x.shape[2] // 2, axis=2)
        self.seconds += perf_counter() - start
        return y

    def backward(self, dy: Array) -> Array:
        start = perf_counter()
        dx = cpool.kmax_pool.backward(cpool.kmax_pool.backward(dy, self.along), self.down)
        self.seconds += perf_counter() - start
        return dx


# ---- The operators ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """An operator of the survey: as it is written, and its layer for so many channels, which halves images."""

    label: str
    layer: Callable[[int], Pool]


ROWS = [
    Row("max_pool", lambda c: Pool(cpool.max_pool, 2)),
    Row("min_pool", lambda c: Pool(cpool.min_pool, 2)),
    Row("avg_pool", lambda c: Pool(cpool.avg_pool, 2)),
    Row("l2_pool", lambda c: Pool(cpool.l2_pool, 2)),
    Row("lp_pool, p learned", lambda c: LearnedPool(cpool.lp_pool, 2, norm="mean", learned={"p": (np.full(c, 0.7), positive)})),
    Row("soft_pool", lambda c: Pool(cpool.soft_pool, 2)),
    Row("soft_pool, beta learned", lambda c: LearnedPool(cpool.soft_pool, 2, learned={"beta": (np.ones(c), as_it_is)})),
    Row("lip_pool, logits learned", lambda c: LipPool(c)),
    Row("stochastic_pool", lambda c: RandomPool(cpool.stochastic_pool, 2)),
    Row("mixed_pool, a learned", lambda c: LearnedPool(cpool.mixed_pool, 2, learned={"a": (np.full(c, 0.5), as_it_is)})),
    Row("mixed_pool, random maps", lambda c: RandomPool(
        cpool.mixed_pool, 2, random="map", inference={"a": 0.5})),
    Row("gated_pool, gate learned", lambda c: LearnedPool(
        cpool.gated_pool, 2, learned={"weight": (np.zeros((c, 4)), as_it_is), "bias": (np.zeros(c), as_it_is)})),
    Row("tree_pool, masks learned", lambda c: LearnedPool(cpool.tree_pool, 2, learned={
        "leaves": (np.random.default_rng(demo.SEED).normal(0.25, 0.1, (4, c, 4)), as_it_is),
        "gates": (np.zeros((3, c, 4)), as_it_is)})),
    Row("rank_pool, weight learned", lambda c: LearnedPool(
        cpool.rank_pool, 2, learned={"weight": (np.zeros((c, 4)), cpool.softmax_weights)})),
    Row("dpp_pool, alpha, lam learned", lambda c: LearnedPool(
        cpool.dpp_pool, 2, learned={"alpha": (np.zeros(c), positive), "lam": (np.zeros(c), positive)})),
    Row("ada_pool, a learned", lambda c: LearnedPool(cpool.ada_pool, 2, learned={"a": (np.full(c, 0.5), as_it_is)})),
    Row("kmax_pool", lambda c: KmaxPool()),
    Row("blur_pool", lambda c: Pool(cpool.blur_pool, 3)),
    Row("fractional_max_pool, by 2/3", lambda c: FractionalPool()),
    Row("s3_pool", lambda c: RandomPool(cpool.s3_pool, 2)),
]  # fmt: skip


# ---- Training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What became of an operator: test accuracies, and seconds, of training and thereof in pooling, one for each seed."""

    label: str
    accuracy: Array
    seconds: Array
    pooling: Array

    @property
    def spread(self) -> float:
        return float(self.accuracy.std(ddof=1)) if len(self.accuracy) > 1 else 0.0

    def texts(self) -> tuple[str, str, str]:
        """Accuracy, seconds of training, seconds in pooling, as the table shows them."""
        share = self.pooling.sum() / self.seconds.sum()
        return (f"{self.accuracy.mean():.2%} ± {100 * self.spread:.2f}", f"{self.seconds.mean():.2f} s",
                f"{self.pooling.mean():.2f} s, {share:.0%}")


def train_once(row: Row, seed: int, data: tuple[Array, Array, Array, Array], epochs: int) -> tuple[float, float, float]:
    """Test accuracy, and seconds of training and in pooling. A seed is the weights and the order of the images for all rows."""
    train_x, test_x, train_y, test_y = data
    network = Network(np.random.default_rng(seed), pool=row.layer)
    adam, rng = Adam(network.parameters), np.random.default_rng(seed)
    start = perf_counter()
    for _ in range(epochs):
        order = rng.permutation(len(train_x))
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            demo.step(network, adam, train_x[chosen], train_y[chosen])
    seconds, pooling = perf_counter() - start, network.pooling_seconds
    return demo.accuracy(network, test_x, test_y), seconds, pooling


def survey(rows: Sequence[Row], data: tuple[Array, Array, Array, Array], *, seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS,
           stream: TextIO | None = None) -> list[Result]:
    """Train with every row from every seed; the results, most accurate first."""
    stream = sys.stderr if stream is None else stream
    results = []
    for i, row in enumerate(rows):
        runs = []
        for j, seed in enumerate(seeds):
            runs.append(train_once(row, seed, data, epochs))
            done, text = i * len(seeds) + j + 1, f"{row.label}, seed {seed}: {runs[-1][0]:.1%}"
            demo.progress(done, len(rows) * len(seeds), text, stream)
        results.append(Result(row.label, *np.array(runs).T))
    return sorted(results, key=lambda result: -result.accuracy.mean())


# ---- What it looks like ----------------------------------------------------------------------------------------------

HEADINGS = ("operator", "test accuracy", "training", "in pooling")


def table(results: Sequence[Result]) -> str:
    """The results as lines of text."""
    lines = [HEADINGS, *((result.label, *result.texts()) for result in results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *(text.rjust(width) for text, width in
                                                           zip(line[1:], widths[1:], strict=True))]) for line in lines)


def draw_table(figure: Any, results: Sequence[Result], about: str) -> None:
    """The results as a table whose accuracies are drawn as well: a dot for each seed, a bar of the spread to both sides."""
    ax, count = figure.subplots(), len(results)
    places = {"operator": (-0.55, "left"), "test accuracy": (-0.02, "right"), "training": (1.17, "right"),
              "in pooling": (1.4, "right")}
    across = ax.get_yaxis_transform()
    for y, line in enumerate([HEADINGS, *((result.label, *result.texts()) for result in results)], -1):
        for (x, side), text in zip(places.values(), line, strict=True):
            ax.text(x, y, text, transform=across, ha=side, va="center", fontsize=13, weight="bold" if y < 0 else "normal")
    for y, result in enumerate(results):
        ax.axhspan(y - 0.5, y + 0.5, color="0.95" if y % 2 else "white", zorder=0)
        ax.errorbar(100 * result.accuracy.mean(), y, xerr=100 * result.spread, fmt="|", color="tab:blue", markersize=14,
                    elinewidth=5, alpha=0.6, zorder=2)
        ax.plot(100 * result.accuracy, np.full(len(result.accuracy), y), ".", color="black", markersize=6, zorder=3)
    ax.set_ylim(count - 0.5, -1.5)
    ax.set_yticks([])
    ax.tick_params(labelsize=12)
    ax.set_xlabel("test accuracy in percent: a dot for each seed, the mean, and the spread (standard deviation)", fontsize=12)
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.grid(axis="x", color="0.85", zorder=1)
    ax.set_title(about, fontsize=14, pad=12)
    ax.set_position((0.30, 0.12, 0.42, 0.76))


def write_sheet(path: Path, results: Sequence[Result], pictures: list[tuple[str, Array]], about: str) -> None:
    """Write the table above the labelled pictures as one image file."""
    from matplotlib.figure import Figure

    columns = 5
    height, width = pictures[0][1].shape[:2]
    rows = -(-len(pictures) // columns)
    above, below = 0.36 * (len(results) + 1) + 1.8, rows * (4 * height / width + 0.5) + 0.6
    figure = Figure(figsize=(4 * columns, above + below))
    parts: Any = figure.subfigures(2, 1, height_ratios=(above, below))
    top, bottom = parts
    draw_table(top, results, about)
    bottom.suptitle(f"What they make of a picture x [{height}, {width}, 3]; every call also has axes=(0, 1)", fontsize=14)
    demo.draw_pictures(bottom, pictures, columns)
    bottom.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 1 / below, wspace=0.03, hspace=0.22)
    figure.savefig(path, dpi=90)


def main(out: Path) -> None:
    """Train, print the table, and write it with the labelled pictures to `out`."""
    demo.require_extra()
    from threadpoolctl import threadpool_limits  # type: ignore[import-not-found, import-untyped, unused-ignore]

    data = demo.digits()
    about = (f"A small network, {EPOCHS} epochs of {len(data[0])} handwritten digits, tested on {len(data[1])} others; "
             f"every operator from the same {len(SEEDS)} starts")
    print(f"{about}; pooling and batch norm by cpool {cpool.__version__} ({cpool.isa()})", flush=True)
    with threadpool_limits(1, user_api="blas"):  # as in the demonstration
        results = survey(ROWS, data)
    print(table(results))
    print(f"mean ± standard deviation over the seeds, in percent; seconds are means, on {cpool.get_num_threads()} threads")
    pictures = list(demo.panels(demo.photograph()))
    write_sheet(out, results, pictures, about)
    print(f"wrote {out}: the table, and {len(pictures)} labelled pictures")
