"""The pieces of ``cpool demo``. What needs the [demo] extra is reported as skipped where that is missing."""

import io
import sys
from itertools import count

import numpy as np
import pytest

import cpool
from cpool import demo, example_convnet, survey
from cpool.example_convnet import Adam, BatchNorm, Convolution, Network, Relu, cross_entropy

PACKAGES = ["matplotlib", "PIL", "sklearn", "threadpoolctl"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def numerical_gradient(loss, array, step=1e-6):
    """Central differences of loss() in every element of an array that it reads."""
    gradient = np.empty_like(array)
    for position in np.ndindex(array.shape):
        kept = array[position]
        array[position] = kept + step
        above = loss()
        array[position] = kept - step
        below = loss()
        array[position] = kept
        gradient[position] = (above - below) / (2 * step)
    return gradient


def test_convolution_is_the_sum_it_says():
    rng = np.random.default_rng(1)
    layer = Convolution(rng, 2, 3, dtype=np.float64)
    layer.bias[:] = rng.normal(size=3)
    x = rng.normal(size=(2, 4, 5, 2))
    expected = np.zeros((2, 4, 5, 3)) + layer.bias
    for n, i, j, a, b in np.ndindex(2, 4, 5, 3, 3):
        row, column = i + a - 1, j + b - 1
        if 0 <= row < 4 and 0 <= column < 5:
            expected[n, i, j] += x[n, row, column] @ layer.weight[a, b]
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-12, atol=1e-12)


def test_convolution_of_even_size_is_an_error():
    with pytest.raises(ValueError, match=r"odd.*got 2"):
        Convolution(np.random.default_rng(1), 1, 1, size=2)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_gradients_of_convolution(size):
    rng = np.random.default_rng(2)
    layer = Convolution(rng, 2, 3, size, dtype=np.float64)
    x, dy = rng.normal(size=(2, 4, 5, 2)), rng.normal(size=(2, 4, 5, 3))
    layer.forward(x)
    dx = layer.backward(dy)
    for array, gradient in zip([x, *layer.parameters], [dx, *layer.gradients], strict=True):
        expected = numerical_gradient(lambda: float((layer.forward(x) * dy).sum()), array)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_of_the_network(batch_norm):
    rng = np.random.default_rng(3)
    network = Network(rng, channels=(2, 3), classes=4, dtype=np.float64, batch_norm=batch_norm)
    x, labels = rng.normal(size=(3, 8, 8, 1)), np.array([0, 3, 1])
    _, dscores = cross_entropy(network.forward(x), labels)
    dx = network.backward(dscores)
    analytical = [dx, *network.gradients]
    for array, gradient in zip([x, *network.parameters], analytical, strict=True):
        expected = numerical_gradient(lambda: cross_entropy(network.forward(x), labels)[0], array)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)
    assert network.pooling_seconds > 0
    assert (network.batch_norm_seconds > 0) == batch_norm


def test_inference_is_by_running_statistics():
    rng = np.random.default_rng(3)
    layer = BatchNorm(2)
    x = rng.normal(5, 2, size=(4, 3, 3, 2)).astype(np.float32)
    for _ in range(200):
        layer.forward(x)
    np.testing.assert_allclose(layer.running.mean, x.mean(axis=(0, 1, 2)), rtol=1e-5)
    one = layer.infer(x[:1])
    np.testing.assert_array_equal(one, layer.infer(x)[:1])


def test_relu_has_no_gradient_at_zero():
    layer = Relu()
    np.testing.assert_array_equal(layer.forward(np.array([-1.0, 0.0, 2.0])), [0, 0, 2])
    np.testing.assert_array_equal(layer.backward(np.ones(3)), [0, 0, 1])


def test_adam_finds_a_minimum():
    target, found = np.array([3.0, -2.0]), np.zeros(2)
    adam = Adam([found], rate=0.1)
    for _ in range(300):
        adam.step([2 * (found - target)])
    np.testing.assert_allclose(found, target, atol=1e-2)


def test_training_learns_a_small_task():
    """In which quarter of a noisy picture is the bright dot?"""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 320)
    images = rng.uniform(0, 0.5, (320, 8, 8, 1)).astype(np.float32)
    rows, columns = 4 * (labels // 2) + rng.integers(0, 4, 320), 4 * (labels % 2) + rng.integers(0, 4, 320)
    images[np.arange(320), rows, columns] = 1
    network = Network(rng, classes=4)
    demo.train(network, images[:256], labels[:256], epochs=15, stream=io.StringIO())
    assert demo.accuracy(network, images[256:], labels[256:]) > 0.9


def test_progress_in_a_pipe_is_lines_and_on_a_terminal_one_line():
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        demo.progress(1, 2, "half", stream)
        demo.progress(2, 2, "all", stream)
    assert pipe.getvalue() == f"[{'#' * 15}{'.' * 15}] 1/2  half\n[{'#' * 30}] 2/2  all\n"
    assert terminal.getvalue().count("\r") == 2
    assert terminal.getvalue().endswith("all\n")
    assert terminal.getvalue().count("\n") == 1


def pooling_operators():
    names = [name for name in dir(cpool) if repr(getattr(cpool, name)).startswith("<cpool operator ")
             and hasattr(getattr(cpool, name), "output_shape")]
    assert "max_pool" in names
    return names


def test_every_operator_has_a_panel():
    x = np.random.default_rng(5).random((120, 160, 3), dtype=np.float32)
    pictures = list(demo.panels(x))
    labels = " ".join(label for label, _ in pictures)
    operators = pooling_operators()
    functions = ["global_avg_pool", "global_max_pool", "adaptive_avg_pool", "adaptive_max_pool"]
    assert [name for name in operators + functions if f" {name}(" not in f" {labels}"] == []
    for label, picture in pictures:
        assert (picture.ndim, picture.shape[2], picture.dtype) == (3, 3, np.float32), label
        assert 0 <= picture.min() <= picture.max() <= 1 + 1e-5, label


@pytest.mark.parametrize("main", [demo.main, survey.main], ids=["demo", "survey"])
@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_extra_is_named_with_the_command_to_run(package, main, monkeypatch, tmp_path):
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit, match=rf"{package}.*pip install 'cpool\[demo\]'"):
        main(tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_sheet_is_written(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the [demo] extra")
    rng = np.random.default_rng(6)
    pictures = [("first", rng.random((20, 30, 3))), ("small", rng.random((2, 3, 3))), ("one colour", rng.random((1, 1, 3)))]
    demo.write_sheet(tmp_path / "sheet.png", pictures, columns=2)
    written = (tmp_path / "sheet.png").read_bytes()
    assert written.startswith(b"\x89PNG\r\n")
    assert len(written) > 2000


def test_batch_norm_learns_faster():
    pytest.importorskip("sklearn", reason="needs the [demo] extra")
    images, _, labels, _ = demo.digits()
    plain, normed = (demo.loss_after(demo.STEPS, images, labels, batch_norm=on) for on in (False, True))
    assert normed <= plain / 2


def test_the_real_data():
    pytest.importorskip("sklearn", reason="needs the [demo] extra")
    pytest.importorskip("PIL", reason="needs the [demo] extra")
    train_x, test_x, train_y, test_y = demo.digits()
    assert (train_x.shape, train_y.shape) == ((1347, 8, 8, 1), (1347,))
    assert (test_x.shape, test_y.shape) == ((450, 8, 8, 1), (450,))
    assert (train_x.dtype, train_x.min(), train_x.max()) == (np.float32, 0, 1)
    picture = demo.photograph()
    assert (picture.shape, picture.dtype) == ((427, 640, 3), np.float32)
    assert 0 <= picture.min() < picture.max() <= 1


# ---- The survey ------------------------------------------------------------------------------------------------------


def small_data():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 10, 24)
    images = rng.random((24, 8, 8, 1), dtype=np.float32)
    return images[:16], images[16:], labels[:16], labels[16:]


def test_every_operator_with_a_gradient_is_in_the_survey():
    not_halving = {"max_unpool"}
    names = {row.label.split(",")[0] for row in survey.ROWS}
    expected = {name for name in pooling_operators() if hasattr(getattr(cpool, name), "backward")} - not_halving
    assert names == expected


@pytest.mark.parametrize("row", survey.ROWS, ids=lambda row: row.label)
def test_gradients_of_the_rows(row):
    """Of a layer with respect to its input and what it learns, as far as it draws nothing."""
    rng = np.random.default_rng(3)
    layer = row.layer(2)
    x = rng.permutation(2 * 4 * 4 * 2).reshape(2, 4, 4, 2) / 16 + 0.5
    layer.parameters = [p.astype(np.float64) for p in layer.parameters]
    if isinstance(layer, survey.LipPool):
        layer.logits.weight, layer.logits.bias = layer.parameters
    y = layer.forward(x)
    dy = rng.normal(size=y.shape)
    analytical = [layer.backward(dy), *layer.gradients]
    assert layer.infer(x).shape == y.shape
    for array, gradient in zip([x, *layer.parameters], analytical, strict=True):
        assert gradient.shape == array.shape
        if not isinstance(layer, survey.RandomPool):
            expected = numerical_gradient(lambda: float((layer.forward(x) * dy).sum()), array)
            np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert layer.seconds > 0


def test_a_survey_is_the_same_from_the_same_start(monkeypatch):
    clock = count()  # goes on by one with each look at it: what is timed counts here, not how long it takes
    for module in (survey, example_convnet):
        monkeypatch.setattr(module, "perf_counter", lambda: next(clock))
    rows, stream = survey.ROWS[:2], io.StringIO()
    results = survey.survey(rows, small_data(), seeds=(1, 2), epochs=1, stream=stream)
    assert stream.getvalue().count("\n") == 4 and "4/4" in stream.getvalue()
    again = survey.survey(rows, small_data(), seeds=(1, 2), epochs=1, stream=io.StringIO())
    assert [(a.label, *a.accuracy) for a in results] == [(b.label, *b.accuracy) for b in again]
    for result in results:
        assert (result.pooling > 0).all() and (result.pooling < result.seconds).all()
    first, second = (Network(np.random.default_rng(1), pool=row.layer) for row in rows)
    for a, b in zip(first.parameters, second.parameters, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_table_and_the_sheet_of_a_survey(tmp_path):
    results = [survey.Result("max_pool", np.array([0.5, 0.7]), np.array([2.0, 4.0]), np.array([0.5, 1.0])),
               survey.Result("a longer name", np.array([0.25]), np.array([1.0]), np.array([0.125]))]
    assert survey.table(results).splitlines() == [
        "operator        test accuracy  training   in pooling",
        "max_pool       60.00% ± 14.14    3.00 s  0.75 s, 25%",
        "a longer name   25.00% ± 0.00    1.00 s  0.12 s, 12%",
    ]
    pytest.importorskip("matplotlib", reason="needs the [demo] extra")
    rng = np.random.default_rng(6)
    pictures = [("first", rng.random((20, 30, 3))), ("small", rng.random((2, 3, 3)))]
    survey.write_sheet(tmp_path / "sheet.png", results, pictures, "about")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG\r\n")
