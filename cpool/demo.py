"""The demonstration behind ``cpool demo``: a network that trains on real digits, and a photograph pooled by every operator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import numpy as np

import cpool
from cpool.example_convnet import Adam, Array, Network, cross_entropy

TARGET = 0.97
SEED = 0
STEPS = 200


def require_extra() -> None:
    """Exit with the command to run where what the demonstration shows cannot be loaded."""
    for name in ("matplotlib", "PIL", "sklearn", "threadpoolctl"):
        try:
            import_module(name)
        except ImportError as error:
            raise SystemExit(f"cpool demo: cannot import {name} ({error}); run  pip install 'cpool[demo]'  "
                             "(in a checkout  pip install '.[demo]')") from None


def progress(done: int, total: int, text: str, stream: TextIO) -> None:
    """Draw a bar: in place on a terminal, as one line per call in a file or pipe."""
    full = 30 * done // total
    bar = f"[{'#' * full}{'.' * (30 - full)}] {done}/{total}  {text}"
    if stream.isatty():
        stream.write(f"\r\x1b[K{bar}" + ("\n" if done == total else ""))
    else:
        stream.write(bar + "\n")
    stream.flush()


def accuracy(network: Network, images: Array, labels: Array) -> float:
    return float((network.infer(images).argmax(axis=1) == labels).mean())


def step(network: Network, adam: Adam, images: Array, labels: Array) -> float:
    """One step of training; returns the loss before it."""
    loss, dscores = cross_entropy(network.forward(images), labels)
    network.backward(dscores)
    adam.step(network.gradients)
    return loss


def loss_after(steps: int, images: Array, labels: Array, *, batch_norm: bool, batch: int = 32) -> float:
    """The mean loss over the last 20 of so many steps, from the same seed with and without batch norm."""
    rng = np.random.default_rng(SEED)
    network = Network(rng, batch_norm=batch_norm)
    adam = Adam(network.parameters)
    losses = []
    for _ in range(steps):
        chosen = rng.integers(0, len(images), batch)
        losses.append(step(network, adam, images[chosen], labels[chosen]))
    return float(np.mean(losses[-20:]))


def train(network: Network, images: Array, labels: Array, *, epochs: int = 30, batch: int = 32,
          stream: TextIO | None = None) -> None:
    """Train on images [N, 8, 8, 1] with their labels, in an order that is the same in every run."""
    stream = sys.stderr if stream is None else stream
    rng = np.random.default_rng(SEED)
    adam = Adam(network.parameters)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(images))
        losses = []
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            losses.append(step(network, adam, images[chosen], labels[chosen]))
        reached = accuracy(network, images, labels)
        progress(epoch, epochs, f"loss {np.mean(losses):.4f}  training accuracy {reached:.1%}", stream)


def digits() -> tuple[Array, Array, Array, Array]:
    """The handwritten digits of scikit-learn: training and test images as [N, 8, 8, 1] in [0, 1], then their labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = (data.images / 16).astype(np.float32)[..., np.newaxis]
    train_x, test_x, train_y, test_y = train_test_split(images, data.target, test_size=0.25, random_state=SEED,
                                                        stratify=data.target)
    return train_x, test_x, train_y, test_y


def photograph() -> Array:
    """A photograph of scikit-learn, [H, W, 3], converted from uint8 to float32 in [0, 1]."""
    from sklearn.datasets import load_sample_image

    img: Array = load_sample_image("flower.jpg")
    return img.astype(np.float32) / 255


def panels(x: Array) -> Iterator[tuple[str, Array]]:
    """Pool the picture x [H, W, 3] by every operator there is: the call, but for the axes, and the picture it gives."""
    axes = (0, 1)

    def call(name: str, *args: Any, **options: Any) -> tuple[str, Array]:
        shown = ["x", *map(repr, args), *(f"{key}={value!r}" for key, value in options.items())]
        return f"{name}({', '.join(shown)})", getattr(cpool, name)(x, *args, axes=axes, **options)

    yield "x, the photograph", x
    yield call("max_pool", 8)
    yield call("min_pool", 8)
    yield call("avg_pool", 8)
    yield call("l2_pool", 8)
    yield call("lp_pool", 8, p=0.5, norm="mean")
    yield call("lp_pool", 8, p=8.0, norm="mean")
    yield call("soft_pool", 8, beta=20.0)
    yield "lip_pool(x, -20 * x, 8)", cpool.lip_pool(x, -20 * x, 8, axes=axes)
    drawn, _ = cpool.stochastic_pool.forward(x, 8, axes=axes, seed=1)
    yield "stochastic_pool.forward(x, 8, seed=1)", drawn
    yield call("stochastic_pool", 8)
    yield call("dpp_pool", 8, alpha=0.1, lam=2.0)
    yield call("mixed_pool", 8, a=0.5)
    yield call("ada_pool", 8)
    gate = np.full(64, 0.5, np.float32)
    yield "gated_pool(x, 8, weight=full(64, .5), bias=-16)", cpool.gated_pool(x, 8, axes=axes, weight=gate, bias=-16.0)
    corners = np.eye(64, dtype=np.float32)[[0, 63]]
    yield "tree_pool(x, 8, leaves=[first, last], gates=[first - last])", cpool.tree_pool(
        x, 8, axes=axes, leaves=corners, gates=(corners[0] - corners[1])[None])
    median = np.eye(64, dtype=np.float32)[32]
    yield "rank_pool(x, 8, weight=eye(64)[32]), the median", cpool.rank_pool(x, 8, axes=axes, weight=median)
    yield "kmax_pool(x, 80, axis=1), of every row", cpool.kmax_pool(x, 80, axis=1)
    y, saved = cpool.max_pool.forward(x, 2, axes=axes)
    sparse = cpool.max_unpool(y, saved.indices, 2, axes=axes)
    height, width = sparse.shape[0] // 3, sparse.shape[1] // 3
    yield "max_unpool(y, indices, 2), the middle", sparse[height : 2 * height, width : 2 * width]
    yield call("max_pool", 9, stride=1, padding="same")
    yield call("min_pool", 9, stride=1, padding="same")
    yield call("avg_pool", (1, 65), stride=1, padding="same")
    yield call("max_pool", 2, stride=1, dilation=50)
    yield call("blur_pool", 7, stride=8)
    yield call("fractional_max_pool", 8, (71, 107), seed=1)
    kept, _ = cpool.s3_pool.forward(x, 8, axes=axes, grid=64, seed=1)
    yield "s3_pool.forward(x, 8, grid=64, seed=1)", kept
    yield call("s3_pool", 8)
    yield call("dpid_pool", 8, lam=1.0)
    yield call("adaptive_avg_pool", (12, 18))
    yield call("adaptive_max_pool", (12, 18))
    yield call("global_avg_pool")
    yield call("global_max_pool")


def write_sheet(path: Path, pictures: list[tuple[str, Array]], columns: int = 4) -> None:
    """Write the labelled pictures as one image file."""
    from matplotlib.figure import Figure

    rows = -(-len(pictures) // columns)
    height, width = pictures[0][1].shape[:2]
    figure = Figure(figsize=(4 * columns, rows * (4 * height / width + 0.5) + 0.5), layout="constrained")
    figure.suptitle(f"cpool {cpool.__version__}: x is a picture [{height}, {width}, 3], every call also has axes=(0, 1)")
    draw_pictures(figure, pictures, columns)
    figure.savefig(path, dpi=100)


def draw_pictures(figure: Any, pictures: list[tuple[str, Array]], columns: int) -> None:
    """Draw the labelled pictures in a figure of matplotlib, or a part of one."""
    width, height = pictures[0][1].shape[1::-1]
    axes = figure.subplots(-(-len(pictures) // columns), columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (label, picture) in zip(axes, pictures, strict=False):
        # A size of its own for every result would make small ones unreadable: all are drawn as large as the first.
        interpolation = "nearest" if picture.shape[1] < width else "auto"
        ax.imshow(np.clip(picture, 0, 1), extent=(0, width, height, 0), interpolation=interpolation)
        ax.set_title(f"{label}\n{' x '.join(map(str, picture.shape))}", fontsize=10)


def main(out: Path) -> None:
    """Run both parts; accuracy, loss and the shares of time of pooling and batch norm are printed, the sheet goes to `out`."""
    require_extra()
    from threadpoolctl import threadpool_limits  # type: ignore[import-not-found, import-untyped, unused-ignore]

    train_x, test_x, train_y, test_y = digits()
    network = Network(np.random.default_rng(SEED))
    print(f"training on {len(train_x)} handwritten digits, convolution in NumPy, pooling and batch norm by cpool "
          f"({cpool.isa()})", flush=True)
    # The matrices of the convolutions are so small that threads of BLAS cost more than they save, on a busy machine ten times.
    with threadpool_limits(1, user_api="blas"):
        start = perf_counter()
        train(network, train_x, train_y)
        seconds = perf_counter() - start
        pooling, norm = network.pooling_seconds, network.batch_norm_seconds
        plain, normed = (loss_after(STEPS, train_x, train_y, batch_norm=on) for on in (False, True))
    reached = accuracy(network, test_x, test_y)
    print(f"test accuracy {reached:.2%} on {len(test_x)} digits it has not seen, by running statistics")
    print(f"pooling took {pooling / seconds:.1%} of the time, batch norm {norm / seconds:.1%}: {pooling:.2f} s and "
          f"{norm:.2f} s of {seconds:.2f} s")
    print(f"loss after {STEPS} steps from the same seed: {normed:.4f} with batch norm, {plain:.4f} without")

    pictures = list(panels(photograph()))
    write_sheet(out, pictures)
    print(f"wrote {out}: a photograph and {len(pictures) - 1} results of pooling it")
    if reached < TARGET:
        raise SystemExit(f"cpool demo: test accuracy {reached:.2%} is below the {TARGET:.0%} this network reaches")
