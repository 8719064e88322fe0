"""Calls from many threads, in forked and spawned processes, and the settings that go with them."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cpool

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 8, 60, 70)).astype(np.float32)


def work(i):
    """One of some calls, large enough to be spread over threads: its results."""
    kind = i % 5
    if kind == 0:
        y, saved = cpool.max_pool.forward(X, 3, stride=2)
        return y, saved.indices, cpool.max_pool.backward(y, saved)
    if kind == 1:
        y, saved = cpool.avg_pool.forward(X, 5, stride=1, axes=(1, 2))
        return y, cpool.avg_pool.backward(y, saved)
    if kind == 2:
        y, saved = cpool.lp_pool.forward(X[:2, :4], 3, p=np.array([1.5, 2, np.inf, 3]))
        return y, *cpool.lp_pool.backward(y, saved)
    if kind == 3:
        return cpool.lp_pool(X, cpool.adaptive(7, 9), p=3.5), cpool.min_pool(X[0, 0], 2)
    y, saved = cpool.max_pool.forward(X, 2)
    return cpool.max_unpool(y, saved.indices, 2, output_size=(60, 70)), cpool.avg_pool(X[:, :, ::-2, ::3], 3)


EXPECTED = [[a.copy() for a in work(i)] for i in range(5)]


def right(i):
    return all(np.array_equal(a, b) for a, b in zip(work(i), EXPECTED[i % 5], strict=True))


def start(program, timeout=60):
    """Run a Python program; its warnings are its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", textwrap.dedent(program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired as expired:
        pytest.fail(f"no end after {timeout} s; stderr: {expired.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- Threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_callers(threads):
    """One pool serves them all; whoever finds it busy works alone."""
    barrier = threading.Barrier(6)

    def calls(first):
        with cpool.num_threads(threads):
            barrier.wait(30)
            return all(right(first + i) for i in range(15))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(calls, range(6)))


def test_calls_of_different_sizes():
    """Each thread keeps its workspace; it serves whatever comes next."""

    def calls(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            x = rng.integers(-99, 99, tuple(rng.integers(1, 40, 3))).astype(np.float64)
            window = tuple(int(n) for n in (rng.integers(1, n + 1) for n in x.shape[1:]))
            y, saved = cpool.lp_pool.forward(x, window, p=1, stride=1)
            with cpool.num_threads(1), cpool.using_isa("scalar"):
                if not np.array_equal(y, cpool.lp_pool(x, window, p=1, stride=1)):
                    return False
            cpool.lp_pool.backward(y, saved)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(calls, range(4)))


def test_calls_from_threads_of_threads():
    def outer(i):
        with ThreadPoolExecutor(2) as inner:
            return all(inner.map(right, range(i, i + 4)))

    with cpool.num_threads(3), ThreadPoolExecutor(3) as pool:
        assert all(pool.map(outer, range(3)))


def test_one_saved_for_many():
    """`forward` is called once, `backward` by many at once."""
    y, saved = cpool.lp_pool.forward(X, 3, p=2.5)
    expected = cpool.lp_pool.backward(y, saved)
    with ThreadPoolExecutor(4) as pool:
        for gradient in pool.map(lambda _: cpool.lp_pool.backward(y, saved), range(12)):
            assert np.array_equal(gradient.x, expected.x)
            assert gradient.p == expected.p


def ticks_during(call):
    """How often another thread came to its turn during a call, where only the call itself can give it one."""
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0002)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    thread.start()
    sys.setswitchinterval(3600)  # nobody is asked to make room
    try:
        before = ticks[0]
        call()
        return ticks[0] - before
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()


@pytest.mark.parametrize("threads", [1, 2])
def test_other_threads_go_on(threads):
    x = np.broadcast_to(np.float32(1), (20, 1000, 1000))
    dense = np.ones((2, 900, 900), np.float32)
    y, saved = cpool.lp_pool.forward(dense, (3, 3), stride=2, p=2.5)
    _, selected = cpool.max_pool.forward(np.ones((4, 1500, 1500), np.float32), (2, 2), stride=1)
    with cpool.num_threads(threads):
        for call in [lambda: cpool.avg_pool(x, (40, 40), stride=20), lambda: cpool.lp_pool(dense, (3, 3), p=2.5),
                     lambda: cpool.lp_pool.backward(y, saved), lambda: selected.indices]:
            # A machine that has other things to do may give a turn to nobody.
            assert any(ticks_during(call) for _ in range(20))


# ---- Settings --------------------------------------------------------------------------------------------------------


def test_settings_of_a_thread():
    default = cpool.get_num_threads()
    seen, entered, left = [], threading.Event(), threading.Event()

    def other():
        with cpool.num_threads(default + 3), cpool.using_isa("scalar"):
            entered.set()
            left.wait(30)
            seen.append((cpool.get_num_threads(), cpool.isa()))
        seen.append(cpool.get_num_threads())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(30)
    assert cpool.get_num_threads() == default
    with cpool.num_threads(default + 1):
        assert cpool.get_num_threads() == default + 1
        left.set()
        thread.join()
    assert seen == [(default + 3, "scalar"), default]
    assert cpool.get_num_threads() == default


def test_settings_of_tasks():
    async def task(n):
        with cpool.num_threads(n):
            await asyncio.sleep(0.001 * n)
            before = cpool.get_num_threads()
            right_now = right(n)
            await asyncio.sleep(0.001)
            return before == cpool.get_num_threads() == n and right_now

    async def tasks():
        return await asyncio.gather(*[task(n) for n in range(1, 6)])

    assert all(asyncio.run(tasks()))


def test_set_num_threads_is_for_all_threads():
    default = cpool.get_num_threads()
    try:
        cpool.set_num_threads(default + 2)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(cpool.get_num_threads).result() == default + 2
            assert pool.submit(right, 0).result()
    finally:
        cpool.set_num_threads(default)


def test_settings_change_while_others_work():
    stop, failures = threading.Event(), []

    def calls():
        i = 0
        while not stop.is_set():
            if not right(i):
                failures.append(i)
            i += 1

    threads = [threading.Thread(target=calls) for _ in range(2)]
    default = cpool.get_num_threads()
    for thread in threads:
        thread.start()
    try:
        for i in range(60):
            cpool.set_num_threads(i % 4 + 1)
            with cpool.num_threads(i % 3 + 1), cpool.using_isa(cpool.isas()[i % len(cpool.isas())]):
                assert right(i)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        cpool.set_num_threads(default)
    assert not failures


# ---- Processes -------------------------------------------------------------------------------------------------------

# Forks `count` children after `before`; each must get everything right on threads of its own and end by itself.
FORK = """
    import os, sys, threading, time, test_threads as t, cpool
    cpool.set_num_threads(3)

    def children(count):
        for i in range(count):
            child = os.fork()
            if child == 0:
                os._exit(0 if all([t.right(j) for j in range(5)]) else 3)
            end = time.monotonic() + 20
            while (state := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
                time.sleep(0.002)
            if state == (0, 0):
                os.kill(child, 9)
            assert state[1] == 0 and state[0] == child, f"child {i}: {state}"

    def calls(stop):
        i = 0
        while not stop.is_set():
            assert t.right(i)
            i += 1
"""


def test_fork():
    start(FORK + """
    assert all([t.right(i) for i in range(5)])
    children(5)
    assert all([t.right(i) for i in range(5)])
    """)


def test_fork_before_any_work():
    start("""
    import os, numpy as np
    import cpool
    child = os.fork()
    cpool.set_num_threads(3)
    import test_threads as t
    good = all([t.right(i) for i in range(5)])
    if child == 0:
        os._exit(0 if good else 3)
    assert good and os.waitpid(child, 0)[1] == 0
    """)


def test_fork_while_another_thread_works():
    start(FORK + """
    stop = threading.Event()
    threads = [threading.Thread(target=calls, args=(stop,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        children(15)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all([t.right(i) for i in range(5)])
    """)


def test_fork_of_a_fork():
    start(FORK + """
    assert t.right(0)
    child = os.fork()
    if child == 0:
        assert t.right(1)
        children(2)
        assert t.right(2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(f"""
        import multiprocessing, test_threads as t, cpool
        if __name__ == "__main__":
            assert t.right(0)
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                assert all(pool.map(t.right, range(8)))
                y, saved = cpool.max_pool.forward(t.X, 2)
                dx = pool.apply(cpool.max_pool.backward, (y, saved))
            assert (dx == cpool.max_pool.backward(y, saved)).all()
    """))
    start(f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')" if method == "fork" else f"""
    import subprocess, sys
    sys.exit(subprocess.run([sys.executable, '-W', 'ignore', {str(program)!r}]).returncode)
    """)


def test_the_end_of_the_interpreter():
    """Threads at work do not keep it from ending, nor does it crash."""
    for _ in range(3):
        start("""
        import threading, test_threads as t, cpool
        cpool.set_num_threads(3)

        def calls():
            while True:
                t.work(1)

        threading.Thread(target=calls, daemon=True).start()
        assert t.right(0)
        """)


def test_contents_that_change_meanwhile():
    """Taps and positions are not trusted: another thread may write them at any time."""
    start("""
    import threading, numpy as np, cpool
    rng = np.random.default_rng(0)
    y = np.ones((8, 100, 100), np.float32)
    good = rng.integers(0, 40000, y.shape)
    indices, stop = good.copy(), threading.Event()

    def scribble():
        while not stop.is_set():
            indices[...] = 2**62
            indices[...] = -2**62
            indices[...] = good

    thread = threading.Thread(target=scribble)
    thread.start()
    results = {"done": 0, "refused": 0}
    for i in range(200):
        try:
            _, saved = cpool.max_unpool.forward(y, indices, (2, 2), output_size=(200, 200))
            cpool.max_unpool.backward(np.ones((8, 200, 200), np.float32), saved)
            results["done"] += 1
        except ValueError:
            results["refused"] += 1
    stop.set()
    thread.join()
    """)
