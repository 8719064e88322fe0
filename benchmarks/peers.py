"""The pooling of other libraries, called as cheaply as each allows: results into given arrays, or into new ones.

A peer is a function from a problem to the calls that it offers, by label. A call returns the result in the peer's own kind of
array, which ``to_numpy`` turns into the shape of channels-first. What a library does not have is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.harness import copier_of

Call = Callable[[], Any]

PACKAGES = {"torch": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino", "scikit-image": "skimage"}


@dataclass(frozen=True)
class Problem:
    """One pooling on channels-first arrays, as cpool has solved it already."""

    op: str                   # max, avg or lp
    kind: str                 # sliding, adaptive or whole
    window: tuple[int, ...]   # adaptive: size of the result
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    p: float
    form: str                 # call, training or backward
    fresh: bool               # new results in every call; else into given arrays
    threads: int
    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray

    @property
    def rank(self) -> int:
        return len(self.window)


def to_numpy(result: Any) -> np.ndarray:
    if isinstance(result, np.ndarray):
        return result
    return (result.to_dense() if result.is_mkldnn else result).detach().numpy()


def installed() -> dict[str, str | None]:
    """Version of every package, None where it is missing."""
    versions: dict[str, str | None] = {}
    for name, module in PACKAGES.items():
        try:
            versions[name] = import_module(module).__version__
            if name == "onnxruntime":
                import_module("onnx")  # which builds its models
        except ImportError:
            versions[name] = None
    return versions


def calls(problem: Problem, versions: dict[str, str | None]) -> Iterator[tuple[str, Call]]:
    """What there is to compare with, by label."""
    if versions["torch"]:
        yield from _torch(problem)
    if versions["onnxruntime"]:
        yield from _onnxruntime(problem)
    if versions["openvino"]:
        yield from _openvino(problem)
    if versions["scikit-image"]:
        yield from _skimage(problem)
    yield from _numpy(problem)


def copies(traffic: int, threads: int, versions: dict[str, str | None]) -> dict[str, Call]:
    """What the limit of a row is the fastest of: NumPy's copy, and PyTorch's, which uses other instructions."""
    source, target = np.ones((2, traffic // 2), np.uint8)
    return copies_of(source, target, threads, versions)


def copies_of(source: np.ndarray, target: np.ndarray, threads: int, versions: dict[str, str | None]) -> dict[str, Call]:
    found = {"copy": copier_of(source, target, threads)}
    if versions["torch"]:
        import torch

        torch.set_num_threads(threads)
        a, b = torch.from_numpy(source), torch.from_numpy(target)
        found["copy by torch"] = lambda: b.copy_(a)
    return found


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def _torch(problem: Problem) -> Iterator[tuple[str, Call]]:
    import torch

    torch.set_num_threads(problem.threads)
    last = {2: torch.channels_last, 3: torch.channels_last_3d}
    layouts = {"torch": torch.contiguous_format} | ({"torch last": last[problem.rank]} if problem.rank in last else {})
    for label, memory in layouts.items():
        call = _torch_call(problem, memory)
        if call is not None:
            yield label, call
    divisible = all(n % out == 0 for n, out in zip(problem.x.shape[2:], problem.y.shape[2:], strict=True))
    if (problem.fresh and problem.op != "lp" and problem.rank == 2 and problem.x.dtype == np.float32
            and (problem.kind == "sliding" or (divisible and problem.op == "avg"))):
        yield "torch mkldnn", _torch_mkldnn(problem)


def _torch_function(problem: Problem) -> Callable[..., Any]:
    """The public function of one array: what a user calls where results are new."""
    import torch.nn.functional as F

    if problem.kind != "sliding":
        size = problem.window if problem.kind == "adaptive" else (1,) * problem.rank
        function = getattr(F, f"adaptive_{problem.op}_pool{problem.rank}d")
        return lambda x: function(x, size)
    function = getattr(F, f"{problem.op}_pool{problem.rank}d")
    if problem.op == "lp":
        window, stride = (problem.window, problem.stride) if problem.rank > 1 else (problem.window[0], problem.stride[0])
        return lambda x: function(x, problem.p, window, stride)
    counting = {"count_include_pad": False} if problem.op == "avg" else {}
    return lambda x: function(x, problem.window, problem.stride, problem.padding, **counting)


def _torch_call(problem: Problem, memory: Any) -> Call | None:
    """Through the functions below torch.nn.functional, which have `out`; pools of one axis are pools of two there."""
    import torch

    if problem.form == "call" and problem.fresh:
        x = torch.from_numpy(problem.x).contiguous(memory_format=memory)
        function = _torch_function(problem)
        return lambda: function(x)
    if problem.op == "lp":
        return None

    lead = (1,) if problem.rank == 1 else ()
    rank = problem.rank + len(lead)
    window, stride, padding = lead + problem.window, lead + problem.stride, (0,) * len(lead) + problem.padding
    shape = problem.x.shape[:2] + lead + problem.x.shape[2:]
    x = torch.from_numpy(problem.x.reshape(shape)).contiguous(memory_format=memory)
    core, aten = torch._C._nn, torch.ops.aten
    sliding, selects = problem.kind == "sliding", problem.op == "max"
    if problem.kind == "whole":
        window = (1,) * rank
    if problem.kind == "whole" and problem.form == "call":
        reduce, dims = torch.amax if selects else torch.mean, tuple(range(2, 2 + rank))
        y = reduce(x, dims, keepdim=True)
        return lambda: reduce(x, dims, keepdim=True, out=y)

    if selects:
        forward = getattr(core, f"max_pool{rank}d_with_indices" if sliding else f"adaptive_max_pool{rank}d")
        arguments = (window, stride, padding) if sliding else (window,)
        y, indices = forward(x, *arguments)
        if problem.form != "backward":
            if problem.fresh:
                return lambda: forward(x, *arguments)[0]
            return lambda: forward(x, *arguments, out=(y, indices))[0]
        if sliding:
            backward = getattr(aten, f"max_pool{rank}d_with_indices_backward")
            arguments = (x, window, stride, padding, (1,) * rank, False, indices)
        else:
            backward, arguments = getattr(aten, f"adaptive_max_pool{rank}d_backward"), (x, indices)
    else:
        forward = getattr(core, f"{'' if sliding else 'adaptive_'}avg_pool{rank}d")
        arguments = (window, stride, padding, False, False) if sliding else (window,)
        if problem.form != "backward":
            y = forward(x, *arguments)
            return lambda: forward(x, *arguments, out=y)
        if sliding:
            backward, arguments = getattr(aten, f"avg_pool{rank}d_backward"), (x, window, stride, padding, False, False, None)
        else:
            backward, arguments = getattr(aten, f"_adaptive_avg_pool{rank}d_backward"), (x,)

    dy = torch.from_numpy(problem.dy.reshape(problem.dy.shape[:2] + lead + problem.dy.shape[2:])).contiguous(
        memory_format=memory)
    if problem.fresh:
        return lambda: backward(dy, *arguments)
    dx = torch.empty_like(x)
    if "grad_input" in backward.overloads():
        return lambda: backward.grad_input(dy, *arguments, grad_input=dx)
    return lambda: backward.out(dy, *arguments, out=dx)


def _torch_mkldnn(problem: Problem) -> Call:
    import torch

    function = _torch_function(problem)
    x = torch.from_numpy(problem.x).to_mkldnn()
    if problem.form == "call":
        return lambda: function(x)
    x.requires_grad_()
    if problem.form == "training":
        return lambda: function(x)
    y, dy = function(x), torch.from_numpy(problem.dy).to_mkldnn()
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True)[0]


# ---- ONNX Runtime and OpenVINO ---------------------------------------------------------------------------------------


def _onnxruntime(problem: Problem) -> Iterator[tuple[str, Call]]:
    from onnx import TensorProto, helper

    if problem.form == "backward" or problem.kind == "adaptive" or (problem.x.dtype != np.float32 and problem.op != "max"):
        return
    name = {"max": "MaxPool", "avg": "AveragePool", "lp": "LpPool"}[problem.op]
    if problem.op == "lp" and problem.p != int(problem.p):
        return
    attributes: dict[str, Any] = {"p": int(problem.p)} if problem.op == "lp" else {}
    if problem.kind == "whole" and problem.form == "call":  # indices come from a window as large as the plane
        name = "Global" + name
    else:
        attributes |= {"kernel_shape": problem.window, "strides": problem.stride, "pads": problem.padding * 2}
    element = helper.np_dtype_to_tensor_dtype(problem.x.dtype)
    results = ["y", "indices"][: 1 + (problem.form == "training")]
    outputs = [helper.make_tensor_value_info("y", element, problem.y.shape),
               helper.make_tensor_value_info("indices", TensorProto.INT64, problem.y.shape)][: len(results)]
    graph = helper.make_graph([helper.make_node(name, ["x"], results, **attributes)], "pool",
                              [helper.make_tensor_value_info("x", element, problem.x.shape)], outputs)
    session = onnx_session(graph, problem.threads)
    if problem.fresh:
        inputs = {"x": problem.x}
        yield "onnxruntime", lambda: session.run(None, inputs)[0]
        return
    y, indices = np.empty_like(problem.y), np.empty(problem.y.shape, np.int64)
    yield "onnxruntime", onnx_call(session, problem.x, dict(zip(results, (y, indices), strict=False)))


def onnx_session(graph: Any, threads: int) -> Any:
    import onnx
    import onnxruntime

    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_call(session: Any, x: np.ndarray, results: dict[str, np.ndarray]) -> Call:
    """A call that reads x and writes given arrays, of which it returns the first."""
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, x.dtype, x.shape, x.ctypes.data)
    for name, array in results.items():
        binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    first = next(iter(results.values()))

    def run() -> np.ndarray:
        session.run_with_iobinding(binding)
        return first

    run.keeps = x, results  # type: ignore[attr-defined]  # the binding knows addresses only
    return run


def _openvino(problem: Problem) -> Iterator[tuple[str, Call]]:
    import openvino
    from openvino import opset14 as ops

    if problem.form == "backward" or problem.op == "lp" or problem.x.dtype != np.float32:  # it computes double in float
        return
    if problem.form == "training" and problem.x.nbytes > 4e6:  # with indices 40 to 300 times slower: large cases take minutes
        return
    x = ops.parameter(problem.x.shape, problem.x.dtype)
    if problem.kind == "whole" and problem.form == "call":
        reduce = ops.reduce_max if problem.op == "max" else ops.reduce_mean
        node = reduce(x, ops.constant(np.arange(2, problem.x.ndim)), True)
    elif problem.kind == "adaptive":
        size = ops.constant(np.array(problem.window))
        node = ops.adaptive_max_pool(x, size, "i32") if problem.op == "max" else ops.adaptive_avg_pool(x, size)
    elif problem.op == "max":
        node = ops.max_pool(x, problem.stride, (1,) * problem.rank, problem.padding, problem.padding, problem.window,
                            index_element_type="i32")
    else:
        node = ops.avg_pool(x, problem.stride, problem.padding, problem.padding, problem.window, True)
    results = node.outputs() if problem.form == "training" else node.outputs()[:1]
    request = openvino_request(openvino.Model([ops.result(result) for result in results], [x]), problem.threads)
    if problem.fresh:
        yield "openvino", lambda: request.infer([problem.x], share_inputs=True)[0]
        return
    y, indices = np.empty_like(problem.y), np.empty(problem.y.shape, np.int32)
    yield "openvino", openvino_call(request, problem.x, (y, indices)[: len(results)])


def openvino_request(model: Any, threads: int) -> Any:
    import openvino

    return openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False}).create_infer_request()


def openvino_call(request: Any, x: np.ndarray, results: Sequence[np.ndarray]) -> Call:
    """A call that reads x and writes given arrays, of which it returns the first."""
    import openvino

    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    for i, array in enumerate(results):
        request.set_output_tensor(i, openvino.Tensor(array, shared_memory=True))

    def run() -> np.ndarray:
        request.infer(share_outputs=True)
        return results[0]

    run.keeps = x  # type: ignore[attr-defined]
    return run


# ---- NumPy and scikit-image ------------------------------------------------------------------------------------------


def _blocks(problem: Problem) -> bool:
    """Whether the windows tile the input, which is what these two can pool."""
    sizes = problem.x.shape[2:]
    return (problem.form == "call" and problem.op != "lp" and problem.kind == "sliding" and problem.window == problem.stride
            and not any(problem.padding) and all(n % w == 0 for n, w in zip(sizes, problem.window, strict=True)))


def _skimage(problem: Problem) -> Iterator[tuple[str, Call]]:
    from skimage.measure import block_reduce

    if _blocks(problem) and problem.fresh:
        block, function = (1, 1, *problem.window), np.max if problem.op == "max" else np.mean
        yield "scikit-image", lambda: block_reduce(problem.x, block, function)


def _numpy(problem: Problem) -> Iterator[tuple[str, Call]]:
    reduce: Any = np.max if problem.op == "max" else np.mean
    if _blocks(problem):
        pairs = zip(problem.y.shape[2:], problem.window, strict=True)
        view = problem.x.reshape(*problem.x.shape[:2], *(length for pair in pairs for length in pair))
        axes, keepdims = tuple(range(3, view.ndim, 2)), False
    elif problem.form == "call" and problem.op != "lp" and problem.kind == "whole":
        view, axes, keepdims = problem.x, tuple(range(2, problem.x.ndim)), True
    else:
        return
    out = None if problem.fresh else np.empty_like(problem.y)
    yield "numpy", lambda: reduce(view, axis=axes, out=out, keepdims=keepdims)
