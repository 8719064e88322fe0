"""Synchronized batch norm: one batch on several processes, each of which sees only its part.

    python examples/synchronized_batch_norm.py [processes]

A training step of batch norm needs two small sums over the whole batch: moments forward, gradient sums backward. Each
process takes them of its part, sends a few numbers per channel, and gets back those of all, merged in the order of the parts.
That is what one process does with the same parts in the same order, so the results have the same bits, which is checked.
"""

from __future__ import annotations

import multiprocessing as mp
import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import cpool

SHAPE = (48, 16, 14, 14)


def batch() -> tuple[Any, ...]:
    """The whole batch, the gradient of the loss with respect to the result, weight and bias."""
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(1000, 3, size=SHAPE).astype(np.float32) for _ in range(2))
    weight, bias = (rng.normal(size=SHAPE[1]).astype(np.float32) for _ in range(2))
    return x, dy, weight, bias


def part(a: Any, rank: int, parts: int) -> Any:
    return a[rank * len(a) // parts : (rank + 1) * len(a) // parts]


def worker(rank: int, parts: int, link: Connection) -> None:
    """A step of training on one part; `link` takes a summand and gives the sum over all parts."""

    def all_reduce(mine: Any) -> Any:
        link.send(mine)
        return link.recv()

    x, dy, weight, bias = batch()
    x, dy = part(x, rank, parts), part(dy, rank, parts)
    running = cpool.RunningStats(SHAPE[1])
    total = all_reduce(cpool.moments(x))
    y, saved = cpool.batch_norm.forward(x, weight, bias, moments=total, running=running, relu=True)
    sums = all_reduce(cpool.batch_norm.sums(dy, saved))
    gradients = cpool.batch_norm.backward(dy, saved, sums=sums)
    link.send((y, *gradients, running.mean, running.var))


def distributed(parts: int) -> list[Any]:
    """What the workers return, one process for each part."""
    context = mp.get_context("spawn")
    links, processes = [], []
    for rank in range(parts):
        ours, theirs = context.Pipe()
        process = context.Process(target=worker, args=(rank, parts, theirs))
        process.start()
        links.append(ours)
        processes.append(process)
    for _ in range(2):  # moments, then gradient sums
        total = sum(link.recv() for link in links)
        for link in links:
            link.send(total)
    results = [link.recv() for link in links]
    for process in processes:
        process.join()
    return results


def alone(parts: int) -> list[Any]:
    """The same in one process."""
    x, dy, weight, bias = batch()
    xs, dys = ([part(a, rank, parts) for rank in range(parts)] for a in (x, dy))
    running = cpool.RunningStats(SHAPE[1])
    total = sum(cpool.moments(x) for x in xs)
    running.update(total)
    done = [cpool.batch_norm.forward(x, weight, bias, moments=total, relu=True) for x in xs]
    sums = sum(cpool.batch_norm.sums(dy, saved) for dy, (_, saved) in zip(dys, done, strict=True))
    return [(y, *cpool.batch_norm.backward(dy, saved, sums=sums), running.mean, running.var)
            for dy, (y, saved) in zip(dys, done, strict=True)]


def main(parts: int) -> None:
    together, single = distributed(parts), alone(parts)
    names = "y", "dx", "dweight", "dbias", "running mean", "running var"
    for rank, (ours, theirs) in enumerate(zip(together, single, strict=True)):
        for name, a, b in zip(names, ours, theirs, strict=True):
            if a.tobytes() != b.tobytes():
                raise SystemExit(f"process {rank}: {name} has other bits than that of a single process")
    x, dy, weight, bias = batch()
    y, saved = cpool.batch_norm.forward(x, weight, bias, relu=True)
    apart = max(float(np.abs(np.concatenate([r[i] for r in together]) - whole).max())
                for i, whole in ((0, y), (1, cpool.batch_norm.backward(dy, saved, wrt="x"))))
    print(f"{parts} processes: the same bits as one process; at most {apart:.1e} from the batch in one piece")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
