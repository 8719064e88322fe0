"""``python -m benchmarks``: what it measures is measured right, on tiny cases and without any peer."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import cpool

ROOT = Path(__file__).parent.parent
TINY = r"^(in L1: .* call first|in L1: max .* (call|training|backward)|memory: in L1: max .* call first|lp p=2 .* C8 )"


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.chdir(tmp_path)
    for module in ("torch", "onnxruntime", "openvino", "skimage"):
        monkeypatch.setitem(sys.modules, module, None)


def test_pool(capsys, tmp_path):
    from benchmarks.__main__ import main

    main(["pool", "--quick", "--check", "--only", TINY, "--isa", "scalar"])
    printed = capsys.readouterr()
    assert "absent, not compared: torch, onnxruntime, openvino, scikit-image" in printed.out
    assert "[##############################]" in printed.err
    written = json.loads((tmp_path / "benchmark_pool.json").read_text())
    assert written["machine"]["isa"] == "scalar"
    assert written["notes"] == []  # NumPy's results agree
    assert {row["form"] for row in written["rows"]} == {"call", "training", "backward"}
    assert {row["layout"] for row in written["rows"]} == {"first", "last"}
    assert any("numpy" in row["peers"] for row in written["rows"])
    for row in written["rows"]:
        assert row["name"] in printed.out
        assert 0 < row["ratio"] < np.inf and row["own"]["best"] <= row["own"]["median"]
        assert row["traffic"] > 4 * 28 * 28 * 4
    assert [pair[:2] for pair in written["pairs"]] == [["lp p=2 over average", "3x3/2 112x112 C8 b1 call"]]
    assert all(0 < pair[-1] < np.inf for pair in written["pairs"])
    assert len(written["memory"]) == 1
    assert any(target[1] in ("pass", "MISS") for target in written["targets"])


def test_literature(capsys, tmp_path):
    from benchmarks.__main__ import main

    main(["literature", "--quick"])
    written = json.loads((tmp_path / "benchmark_literature.json").read_text())
    names = [name for name, *_ in written["rows"]]
    assert len(names) == len(set(names)) > 15
    printed = capsys.readouterr().out
    for name, best, _, plain, over, composed in written["rows"]:
        assert name in printed and plain in ("avg", "max")
        assert 0 < best < np.inf and 0 < over < np.inf
        assert composed is None  # without PyTorch


def test_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the [bench] extra")
    from benchmarks.harness import write_picture

    path = tmp_path / "picture.png"
    assert write_picture(path, "two rows", [("first", {"cpool": 1.2, "peer": 20.0}), ("second", {"cpool": 0.9})])
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_no_picture_without_matplotlib(monkeypatch, tmp_path):
    from benchmarks.harness import write_picture

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not write_picture(tmp_path / "picture.png", "one row", [("first", {"cpool": 1.2})])


def test_contestants_take_turns():
    from benchmarks.harness import Rounds, measure

    order = []
    times = measure({name: (lambda name=name: order.append(name)) for name in "abc"}, Rounds(20, 0))
    assert "".join(order[:6]) == "aabbcc"
    rounds = ["".join(order[i : i + 3]) for i in range(6, len(order), 3)]
    assert len(rounds) == 20
    assert set(rounds) == {"abc", "acb", "bac", "bca", "cab", "cba"}  # every one behind every other, and nobody left out
    assert all(0 < timing.best <= timing.median for timing in times.values())


@pytest.mark.parametrize("threads", [1, 2])
def test_the_limit_moves_all_bytes(threads, monkeypatch):
    from benchmarks import harness

    moved = []
    monkeypatch.setattr(harness.np, "copyto", lambda target, source: moved.append(source.nbytes))
    harness.copier(1001 * 2, threads)()
    assert len(moved) == threads and sum(moved) == 1001


def prepare_four_mebibytes():
    return lambda: np.ones(2**22, np.uint8), 0


def prepare_a_result_of_four_mebibytes():
    return lambda: np.ones(2**22, np.uint8), 2**22


def test_memory_is_measured():
    from benchmarks.harness import extra_memory

    used, returned = extra_memory([prepare_four_mebibytes, prepare_a_result_of_four_mebibytes])
    assert 3.5 < used / 2**20 < 5
    assert returned / 2**20 < 0.5


def test_targets_say_what_is_worst():
    from benchmarks.harness import Target

    assert Target("a", 2.0, {"x": 1.0, "y": 3.0}).report() == ("a", "MISS", "y", "<=", 2.0, 3.0, "1/2")
    assert Target("a", 2.0, {"x": 1.0, "y": 2.0}).report() == ("a", "pass", "y", "<=", 2.0, 2.0, "2/2")
    assert Target("a", 2.0, {"x": 1.0, "y": 3.0}, at_least=True).report() == ("a", "MISS", "x", ">=", 2.0, 1.0, "1/2")
    assert Target("a", 2.0, {}).report()[1] == "not measured"


def test_names_of_cases_tell_them_apart():
    from benchmarks.pool import CASES, memory_jobs, pairs, thread_jobs

    for names in ([case.text for case in CASES], [name for name, _ in memory_jobs()], [job[0] for job in thread_jobs()],
                  [job[:2] for job in pairs()]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("layout", ["first", "last", "strided"])
@pytest.mark.parametrize("form", ["call", "training", "backward"])
def test_forms_agree_in_every_layout(layout, form):
    from benchmarks.pool import Case, Solved, channels_first, data

    case = Case("", "max", 3, (9, 10), 3, 2, 1)
    x = data(case, 2)
    solved, first = Solved.of(case, x, layout), Solved.of(case, x, "first")
    y, saved = cpool.max_pool.forward(x, 3, stride=2, padding=1)
    expected, bytes_moved = first.run(form, True)[0](), x.nbytes + y.nbytes + saved.nbytes * (form != "call")
    for fresh in (False, True):
        run, traffic = solved.run(form, fresh)
        np.testing.assert_array_equal(channels_first(solved, run()), expected)
        assert traffic == bytes_moved
        assert (run() is run()) != fresh


@pytest.mark.parametrize("args", [["pool", "--threads", "0"], ["pool", "--isa", "none"], ["nothing"], []])
def test_what_makes_no_sense_is_an_error(args, capsys):
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_norm(capsys, tmp_path, monkeypatch):
    from benchmarks import norm
    from benchmarks.__main__ import main

    monkeypatch.setattr(norm, "CASES", [(2, 8, 6, 6), (8, 16)])
    main(["norm", "--quick", "--check"])
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "benchmark_norm.json").read_text())
    assert [row["form"] for row in written["rows"]].count("backward") == 3
    assert all(0 < row["ratio"] < np.inf for row in written["rows"])
    assert "8x16" in printed
    assert "two threads" in printed
