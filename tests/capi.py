"""The C interface by ctypes: workspace, workers, taps and addresses, which Python does not give access to."""

import ctypes
from ctypes import POINTER, c_char, c_double, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np

import cpool

X, Y, TAPS, INDICES, LENGTHS, U, LOGITS, P, BETA, GRAD = 1, 2, 3, 4, 5, 6, 7, 8, 9, 256
ALPHA, LAMBDA, REFERENCE, FILTER, BIAS, BLEND, WEIGHT, MASK = range(10, 18)
LEAVES, GATES = 23, 24
MAX, MIN, AVG, LP, UNPOOL, SOFT, LIP, STOCHASTIC, STOCHASTIC_MEAN, MIXED, MIXED_RANDOM, GATED, RANK, KMAX = range(1, 15)
DPP, ADA, TREE, BLUR, FRACTIONAL, S3, DPID = 15, 16, 17, 18, 19, 20, 21
ROLES = {"x": X, "taps": TAPS, "indices": INDICES, "logits": LOGITS, "p": P, "beta": BETA, "alpha": ALPHA, "lam": LAMBDA,
         "reference": REFERENCE, "filter": FILTER, "bias": BIAS, "a": BLEND, "weight": WEIGHT, "mask": MASK,
         "leaves": LEAVES, "gates": GATES}
MU, VAR, STATS, MOMENTS, SUMS = 18, 19, 20, 21, 22
BATCH_NORM, INSTANCE_NORM, GROUP_NORM, LAYER_NORM, RMS_NORM = 1, 2, 3, 4, 5
STAGE_STATS, STAGE_SUMS, STAGE_APPLY = 1, 2, 3
SLIDING, ADAPTIVE, WHOLE = 0, 1, 2
FORWARD, BACKWARD = 0, 1
CEIL_MODE, COUNT_INCLUDE_PAD, DIVISOR, MEAN, ADD, ASYMMETRIC = 1, 2, 4, 8, 16, 32
AXIS_DEFAULT, SIZE_DEFAULT = -(2**31), -(2**63)
OK, INVALID_VALUE, INVALID_TYPE, NO_MEMORY, UNSUPPORTED = range(5)

Body = ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_int64, c_int)
ParallelFor = ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_int64, Body, c_void_p)


class Error(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("status", c_int32), ("role", c_int32), ("message", c_char * 256),
                ("reserved", c_int64 * 4)]


class View(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("ndim", c_int32),
                ("dtype_code", c_uint8), ("dtype_bits", c_uint8), ("dtype_lanes", c_uint16), ("reserved", c_int64 * 4)]


class Arg(ctypes.Structure):
    _fields_ = [("role", c_int32), ("reserved", c_int32), ("view", View)]


class Params(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("op", c_int32), ("rank", c_int32), ("geometry", c_int32), ("padding_mode", c_int32),
                ("axes", c_int32 * 3), ("channel_axis", c_int32), ("window", c_int64 * 3), ("stride", c_int64 * 3),
                ("dilation", c_int64 * 3), ("pad_before", c_int64 * 3), ("pad_after", c_int64 * 3),
                ("output_size", c_int64 * 3), ("flags", c_uint32), ("reserved_flags", c_uint32), ("divisor", c_double),
                ("granularity", c_int32), ("variant", c_int32), ("k", c_int64), ("p_max", c_double), ("seed", c_uint64),
                ("offset", c_uint64), ("eps2", c_double), ("filter_pad_before", c_int64 * 3), ("filter_pad_after", c_int64 * 3),
                ("grid", c_int64 * 3), ("reserved", c_int64 * 8)]


class NormParams(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("op", c_int32), ("stage", c_int32), ("channel_axis", c_int32), ("rank", c_int32),
                ("norm_axes", c_int32 * 64), ("groups", c_int64), ("eps", c_double), ("flags", c_uint32),
                ("reserved_flags", c_uint32), ("reserved", c_int64 * 8)]


class Exec(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("workspace", c_void_p), ("workspace_size", c_size_t), ("parallel_for", c_void_p),
                ("parallel_ctx", c_void_p), ("workers", c_int32), ("isa", c_int32), ("error", POINTER(Error)),
                ("reserved", c_int64 * 4)]


class Shape(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("shape", c_int64 * 64), ("ndim", c_int32), ("dtype_code", c_uint8),
                ("dtype_bits", c_uint8), ("dtype_lanes", c_uint16), ("reserved", c_int64 * 4)]


class Info(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("workspace_size", c_size_t), ("workers", c_int32), ("reserved_int", c_int32),
                ("required", c_uint64), ("optional", c_uint64), ("kept", c_uint64), ("reserved", c_int64 * 4)]


def sized(kind):
    return kind(ctypes.sizeof(kind))


library = ctypes.CDLL(str(Path(cpool.__file__).parent / "lib" / "libcpool.so.1"))
_call = [POINTER(Params), POINTER(Arg), c_int32]
library.cpool_pool_describe.argtypes = [*_call, c_int32, POINTER(Shape), POINTER(Error)]
library.cpool_pool_query.argtypes = [*_call, c_int32, c_int32, POINTER(Info), POINTER(Error)]
for _name in ("cpool_pool_forward", "cpool_pool_backward", "cpool_taps_to_indices"):
    getattr(library, _name).argtypes = [*_call, POINTER(Exec)]
_norm = [POINTER(NormParams), POINTER(Arg), c_int32]
library.cpool_norm_describe.argtypes = [*_norm, c_int32, POINTER(Shape), POINTER(Error)]
library.cpool_norm_query.argtypes = [*_norm, c_int32, c_int32, POINTER(Info), POINTER(Error)]
for _name in ("cpool_norm_forward", "cpool_norm_backward"):
    getattr(library, _name).argtypes = [*_norm, POINTER(Exec)]
library.cpool_moments_merge.argtypes = [POINTER(View)] * 3 + [POINTER(Error)]
library.cpool_isa_name.restype = ctypes.c_char_p
library.cpool_threads_create.restype = c_void_p
library.cpool_threads_destroy.argtypes = [c_void_p]

ISAS = {library.cpool_isa_name(isa).decode(): isa for isa in range(1, 7) if library.cpool_isa_available(isa)}
THREADS_RUN = ctypes.cast(library.cpool_threads_run, c_void_p).value


class CpoolError(Exception):
    def __init__(self, status, error):
        super().__init__(error.message.decode())
        self.status = status
        self.role = error.role


def make_params(op, window, *, stride=None, padding=0, dilation=1, axes=None, geometry=SLIDING, flags=0, divisor=0.0):
    """Parameters of rank len(window), numbers standing for the same number along each axis."""
    rank = len(window)

    def each(value):
        return (c_int64 * 3)(*(value if isinstance(value, tuple) else (value,) * rank))

    params = sized(Params)
    params.op, params.rank, params.geometry, params.flags, params.divisor = op, rank, geometry, flags, divisor
    params.axes = (c_int32 * 3)(*([AXIS_DEFAULT] * 3 if axes is None else axes))
    params.channel_axis = AXIS_DEFAULT
    params.window = each(window)
    params.eps2 = 1e-3
    params.stride = each(SIZE_DEFAULT if stride is None else stride)
    params.dilation = each(dilation)
    params.pad_before = params.pad_after = each(padding)
    params.output_size = params.filter_pad_before = params.filter_pad_after = params.grid = each(SIZE_DEFAULT)
    return params


def make_norm_params(op, *, stage=0, channel_axis=1, axes=(-1,), groups=1, eps=1e-5, flags=0):
    params = sized(NormParams)
    params.op, params.stage, params.channel_axis, params.groups, params.eps, params.flags = (
        op, stage, channel_axis, groups, eps, flags)
    params.rank = len(axes)
    for i, axis in enumerate(axes):
        params.norm_axes[i] = axis
    return params


# What a `saved` is made from: numbers, and lengths along each axis, by the names of the parameters.
NUMBERS = ("op", "rank", "geometry", "padding_mode", "channel_axis", "flags", "divisor", "granularity", "variant", "k", "p_max",
           "seed", "offset", "eps2")
LENGTHS_ALONG = ("axes", "window", "stride", "dilation", "pad_before", "pad_after", "output_size", "filter_pad_before",
                 "filter_pad_after", "grid")


def kept_by(saved):
    """The parameters that a `saved` holds, and its arrays by role."""
    _, numbers, lengths, _, _, kept = saved.__reduce__()[1]
    params = sized(Params)
    for name, value in zip(NUMBERS, numbers, strict=True):
        setattr(params, name, value)
    for i, values in enumerate(lengths):
        for name, value in zip(LENGTHS_ALONG, values, strict=True):
            getattr(params, name)[i] = value
    return params, {ROLES[name]: np.asarray(value) for name, value in kept.items()}


FIELDS = ["op", "numbers", "lengths", "shape", "wide", "kept"]


def forged(saved, **fields):
    """The same with other fields, or other arrays kept."""
    restore, arguments = saved.__reduce__()
    state = dict(zip(FIELDS, arguments, strict=True))
    kept = {name: fields.pop(name) for name in list(fields) if name not in FIELDS}
    if kept:
        state["kept"] = state["kept"] | kept
    return restore(*(state | fields).values())


class Call:
    """A call of the library with arrays by role."""

    family = "pool"

    def __init__(self, params, arrays):
        self.params = params
        self.arrays = arrays
        self.args = (Arg * len(arrays))()
        for arg, (role, a) in zip(self.args, arrays.items(), strict=True):
            code = {"i": 0, "u": 1, "f": 2}[a.dtype.kind]
            shape, strides = (c_int64 * a.ndim)(*a.shape), (c_int64 * a.ndim)(*a.strides)
            arg.role = role
            arg.view = View(a.ctypes.data, shape, strides, a.ndim, code, 8 * a.itemsize, 1)

    def _check(self, status, error):
        if status != OK:
            raise CpoolError(status, error)

    def describe(self, role):
        """Shape and dtype."""
        shape, error = sized(Shape), sized(Error)
        entry = getattr(library, f"cpool_{self.family}_describe")
        self._check(entry(self.params, self.args, len(self.args), role, shape, error), error)
        return tuple(shape.shape[: shape.ndim]), np.dtype(f"{'iuf'[shape.dtype_code]}{shape.dtype_bits // 8}")

    def query(self, direction, workers=1):
        info, error = sized(Info), sized(Error)
        entry = getattr(library, f"cpool_{self.family}_query")
        self._check(entry(self.params, self.args, len(self.args), direction, workers, info, error), error)
        return info

    def run(self, entry, *, isa=None, workspace=None, workers=1, parallel_for=None, ctx=None):
        """Call an entry by name, with all the memory that it may want where no workspace is given."""
        if workspace is None:
            workspace = np.empty(workers << 22, np.uint8)
        error, how = sized(Error), sized(Exec)
        how.workspace, how.workspace_size = workspace.ctypes.data, workspace.nbytes
        how.workers = workers
        how.isa = ISAS[isa] if isa is not None else 0
        how.parallel_for = parallel_for if parallel_for is None or isinstance(parallel_for, int) else ctypes.cast(
            parallel_for, c_void_p).value
        how.parallel_ctx = ctx
        how.error = ctypes.pointer(error)
        self._check(getattr(library, entry)(self.params, self.args, len(self.args), how), error)

    def forward(self, **how):
        self.run(f"cpool_{self.family}_forward", **how)

    def backward(self, **how):
        self.run(f"cpool_{self.family}_backward", **how)


class NormCall(Call):
    """A normalization."""

    family = "norm"


def hostile(workers):
    """A parallel_for that gives out single units, the last one first, and changes the worker every time."""

    @ParallelFor
    def run(ctx, n, grain, body, arg):
        for i in reversed(range(n)):
            body(arg, i, i + 1, i % workers)

    return run
