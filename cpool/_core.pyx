# cython: language_level=3, binding=False, autotestdict=False, boundscheck=False, wraparound=False, cdivision=True
# SPDX-License-Identifier: BSD-3-Clause
"""Between NumPy arrays and libcpool: converts arguments, allocates results, raises errors. What is right is decided in C."""

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from cpython.number cimport PyIndex_Check
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

ctypedef void (*Body)(void *, int64_t, int64_t, int) noexcept nogil

cdef extern from "cpool/cpool.h" nogil:
    const char *HEADER_VERSION "CPOOL_VERSION"
    int HEADER_ABI_VERSION "CPOOL_ABI_VERSION"
    enum:
        CPOOL_OK, CPOOL_INVALID_TYPE, CPOOL_NO_MEMORY
        CPOOL_INT, CPOOL_UINT, CPOOL_FLOAT, CPOOL_MAX_NDIM
        CPOOL_X, CPOOL_Y, CPOOL_TAPS, CPOOL_INDICES, CPOOL_LENGTHS, CPOOL_U, CPOOL_LOGITS, CPOOL_P, CPOOL_BETA, CPOOL_BIAS
        CPOOL_ALPHA, CPOOL_LAMBDA, CPOOL_REFERENCE, CPOOL_FILTER
        CPOOL_BLEND, CPOOL_WEIGHT, CPOOL_MASK, CPOOL_LEAVES, CPOOL_GATES, CPOOL_GRAD
        CPOOL_MAX, CPOOL_MIN, CPOOL_AVG, CPOOL_LP, CPOOL_UNPOOL, CPOOL_SOFT, CPOOL_LIP, CPOOL_STOCHASTIC
        CPOOL_STOCHASTIC_MEAN, CPOOL_MIXED, CPOOL_MIXED_RANDOM, CPOOL_GATED, CPOOL_RANK, CPOOL_KMAX, CPOOL_DPP, CPOOL_ADA
        CPOOL_TREE, CPOOL_BLUR, CPOOL_FRACTIONAL, CPOOL_S3, CPOOL_DPID
        CPOOL_DPP_PLAIN, CPOOL_DPP_MEAN, CPOOL_DPP_SUM
        CPOOL_REFLECT, CPOOL_REPLICATE, CPOOL_ZERO
        CPOOL_LAYER, CPOOL_MAP, CPOOL_REGION
        CPOOL_ADAPTIVE, CPOOL_WHOLE
        CPOOL_VALID, CPOOL_SAME_UPPER, CPOOL_SAME_LOWER
        CPOOL_CEIL_MODE, CPOOL_COUNT_INCLUDE_PAD, CPOOL_DIVISOR, CPOOL_MEAN, CPOOL_ADD, CPOOL_ASYMMETRIC
        CPOOL_FORWARD, CPOOL_BACKWARD
        CPOOL_MU, CPOOL_VAR, CPOOL_STATS, CPOOL_MOMENTS, CPOOL_SUMS
        CPOOL_STAGE_STATS, CPOOL_STAGE_SUMS, CPOOL_STAGE_APPLY
        CPOOL_RELU
    ctypedef int cpool_status
    ctypedef struct cpool_error:
        size_t struct_size
        int32_t status
        char message[256]
    ctypedef struct cpool_view:
        void *data
        const int64_t *shape
        const int64_t *strides
        int32_t ndim
        uint8_t dtype_code
        uint8_t dtype_bits
        uint16_t dtype_lanes
    ctypedef struct cpool_arg:
        int32_t role
        cpool_view view
    ctypedef struct cpool_pool_params:
        size_t struct_size
        int32_t op
        int32_t rank
        int32_t geometry
        int32_t padding_mode
        int32_t axes[3]
        int32_t channel_axis
        int64_t window[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t pad_before[3]
        int64_t pad_after[3]
        int64_t output_size[3]
        uint32_t flags
        double divisor
        int32_t granularity
        int32_t variant
        int64_t k
        double p_max
        uint64_t seed
        uint64_t offset
        double eps2
        int64_t filter_pad_before[3]
        int64_t filter_pad_after[3]
        int64_t grid[3]
    ctypedef struct cpool_norm_params:
        size_t struct_size
        int32_t op
        int32_t stage
        int32_t channel_axis
        int32_t rank
        int32_t norm_axes[64]
        int64_t groups
        double eps
        uint32_t flags
    ctypedef void (*cpool_parallel_for)(void *, int64_t, int64_t, Body, void *) noexcept
    ctypedef struct cpool_exec:
        size_t struct_size
        void *workspace
        size_t workspace_size
        cpool_parallel_for parallel_for
        void *parallel_ctx
        int32_t workers
        int32_t isa
        cpool_error *error
    ctypedef struct cpool_shape:
        size_t struct_size
        int64_t shape[64]
        int32_t ndim
        uint8_t dtype_code
        uint8_t dtype_bits
    ctypedef struct cpool_info:
        size_t struct_size
        size_t workspace_size
        int32_t workers
    ctypedef struct cpool_threads:
        pass
    cpool_status cpool_pool_describe(const cpool_pool_params *, const cpool_arg *, int32_t, int32_t, cpool_shape *,
                                     cpool_error *)
    cpool_status cpool_pool_query(const cpool_pool_params *, const cpool_arg *, int32_t, int32_t, int32_t, cpool_info *,
                                  cpool_error *)
    cpool_status cpool_pool_forward(const cpool_pool_params *, const cpool_arg *, int32_t, const cpool_exec *)
    cpool_status cpool_pool_backward(const cpool_pool_params *, const cpool_arg *, int32_t, const cpool_exec *)
    cpool_status cpool_taps_to_indices(const cpool_pool_params *, const cpool_arg *, int32_t, const cpool_exec *)
    cpool_status cpool_norm_describe(const cpool_norm_params *, const cpool_arg *, int32_t, int32_t, cpool_shape *,
                                     cpool_error *)
    cpool_status cpool_norm_query(const cpool_norm_params *, const cpool_arg *, int32_t, int32_t, int32_t, cpool_info *,
                                  cpool_error *)
    cpool_status cpool_norm_forward(const cpool_norm_params *, const cpool_arg *, int32_t, const cpool_exec *)
    cpool_status cpool_norm_backward(const cpool_norm_params *, const cpool_arg *, int32_t, const cpool_exec *)
    cpool_status cpool_moments_merge(const cpool_view *, const cpool_view *, const cpool_view *, cpool_error *)
    const char *cpool_isa_name(int32_t)
    bint cpool_isa_available(int32_t)
    cpool_status cpool_isa_best(int32_t *, cpool_error *)
    cpool_threads *cpool_threads_create(int32_t)
    void cpool_threads_run(void *, int64_t, int64_t, Body, void *) noexcept
    const char *cpool_version()
    int32_t cpool_abi_version()

cdef extern from *:
    """
    static const cpool_pool_params core_params_init = CPOOL_POOL_PARAMS_INIT;
    static const cpool_norm_params core_norm_init = CPOOL_NORM_PARAMS_INIT;
    """
    const cpool_pool_params core_params_init
    const cpool_norm_params core_norm_init

__version__ = cpool_version().decode()
if __version__ != HEADER_VERSION.decode() or cpool_abi_version() != HEADER_ABI_VERSION:
    raise ImportError(f"libcpool {__version__} (ABI {cpool_abi_version()}) was loaded by an extension built for "
                      f"{HEADER_VERSION.decode()} (ABI {HEADER_ABI_VERSION}): install cpool again")

import sys
from contextvars import ContextVar
from operator import index
from os import urandom
from threading import local

import numpy as np

from cpool._windows import adaptive, whole

cnp.import_array()

abi_version = cpool_abi_version()
MAX_THREADS = 1024

cdef enum:
    MAX_ARGS = 16
    MAX_KEPT = 6            # arrays of one Saved: with GRAD|Y and a gradient of each and of x these are fewer than MAX_ARGS
    STACK_WORKSPACE = 8192
    CACHED_WORKSPACE = 4 << 20
    KEEP_GIL = 500          # elements of the largest array: work below it ends sooner than the GIL would come back


# ---- A call ----------------------------------------------------------------------------------------------------------

# Arrays are added when every argument has been converted: converting may run code of the caller, which may resize them.

cdef struct Call:
    bint normalizes
    cpool_pool_params params
    cpool_norm_params norm  # where it normalizes, else params
    cpool_error error
    int32_t n
    int64_t largest
    cpool_arg args[MAX_ARGS]
    double numbers[MAX_ARGS]  # parameters, and gradients of parameters, that are Python numbers
    int64_t lengths[MAX_ARGS][2][CPOOL_MAX_NDIM]  # copies of shape and strides: another thread may assign a.shape meanwhile


cdef void begin(Call *call, const cpool_pool_params *params) noexcept:
    call.params = params[0]
    begin_arrays(call, False)


cdef void begin_norm(Call *call, const cpool_norm_params *params) noexcept:
    call.norm = params[0]
    begin_arrays(call, True)


cdef void begin_arrays(Call *call, bint normalizes) noexcept:
    call.normalizes = normalizes
    call.error.struct_size = sizeof(cpool_error)
    call.error.status = CPOOL_OK
    call.error.message[0] = 0
    call.n = 0
    call.largest = 0


cdef int check(cpool_error *error, cpool_status status) except -1:
    if status == CPOOL_OK:
        return 0
    message = error.message.decode("utf-8", "replace")
    raise (TypeError if status == CPOOL_INVALID_TYPE else MemoryError if status == CPOOL_NO_MEMORY else ValueError)(message)


cdef cpool_view *add(Call *call, int32_t role, void *data, int32_t ndim, uint8_t code, int bits) noexcept:
    """Append an argument whose lengths the caller fills in."""
    cdef cpool_arg *arg = &call.args[call.n]
    memset(arg, 0, sizeof(cpool_arg))
    arg.role = role
    arg.view.data = data
    arg.view.shape = call.lengths[call.n][0]
    arg.view.strides = call.lengths[call.n][1]
    arg.view.ndim = ndim
    arg.view.dtype_code = code
    arg.view.dtype_bits = <uint8_t>bits
    arg.view.dtype_lanes = 1
    call.n += 1
    return &arg.view


cdef int add_array(Call *call, int32_t role, cnp.ndarray a, str name) except -1:
    cdef int i, ndim = cnp.PyArray_NDIM(a)
    cdef int64_t *lengths = call.lengths[call.n][0]
    cdef int64_t *strides = call.lengths[call.n][1]
    cdef int code, typenum = cnp.PyArray_TYPE(a)
    cdef cpool_view *view
    if cnp.PyTypeNum_ISFLOAT(typenum):
        code = CPOOL_FLOAT
    elif cnp.PyTypeNum_ISSIGNED(typenum):
        code = CPOOL_INT
    elif cnp.PyTypeNum_ISUNSIGNED(typenum):
        code = CPOOL_UINT
    else:
        raise TypeError(f"{name} has dtype {(<object>a).dtype}, which it cannot have")
    view = add(call, role, cnp.PyArray_DATA(a), ndim, <uint8_t>code, 8 * <int>cnp.PyArray_ITEMSIZE(a))
    for i in range(ndim):
        lengths[i] = cnp.PyArray_DIM(a, i)
        strides[i] = cnp.PyArray_STRIDE(a, i)
    if cnp.PyArray_IS_C_CONTIGUOUS(a):
        view.strides = NULL  # so that nobody has to find out
    call.largest = max(call.largest, <int64_t>cnp.PyArray_SIZE(a))
    return 0


cdef int add_parameter(Call *call, int32_t role, object value, str name) except -1:
    """Append a float, or an array."""
    if isinstance(value, float):
        call.numbers[call.n] = value
        add(call, role, &call.numbers[call.n], 0, CPOOL_FLOAT, 64)
        return 0
    return add_array(call, role, value, name)


cdef int add_shape(Call *call, int32_t role, tuple shape, int typenum, str name) except -1:
    """Append an array of which only the shape is known yet."""
    cdef int i = 0
    cdef int64_t *lengths = call.lengths[call.n][0]
    if len(shape) > CPOOL_MAX_NDIM:
        raise ValueError(f"{name} has {len(shape)} axes; the most are {CPOOL_MAX_NDIM}")
    add(call, role, NULL, <int32_t>len(shape), CPOOL_FLOAT, 64 if typenum == cnp.NPY_DOUBLE else 32).strides = NULL
    for length in shape:
        lengths[i] = integer(length, name, shape)
        i += 1
    return 0


# ---- Settings --------------------------------------------------------------------------------------------------------

cdef int32_t default_threads = 1
cdef dict pools = {}  # by size; never destroyed, since threads may be at work when the interpreter ends
scope = ContextVar("cpool", default=(0, 0))  # threads and instruction set of the innermost `with`; 0: the default
cdef object scoped = scope.get


def set_threads(int n):
    global default_threads
    default_threads = n


def threads():
    return scoped()[0] or default_threads


def isa_number(str name):
    """The number of an instruction set of this machine, or 0."""
    cdef int32_t i = 1
    while cpool_isa_name(i) != NULL:
        if cpool_isa_name(i).decode() == name:
            return i if cpool_isa_available(i) else 0
        i += 1
    return 0


def isa_names():
    """The instruction sets of this machine, simplest first."""
    cdef int32_t i = 1
    names = []
    while cpool_isa_name(i) != NULL:
        if cpool_isa_available(i):
            names.append(cpool_isa_name(i).decode())
        i += 1
    return tuple(names)


def isa_name():
    """The instruction set in effect."""
    cdef int32_t isa = scoped()[1]
    cdef cpool_error error
    error.struct_size = sizeof(error)
    if isa == 0:
        check(&error, cpool_isa_best(&isa, &error))
    return cpool_isa_name(isa).decode()


cdef void *pool_of(int32_t n) except NULL:
    cdef cpool_threads *created
    known = pools.get(n)  # two threads that find none at once cost a pool that never starts its threads
    if known is None:
        created = cpool_threads_create(n)
        if created == NULL:
            raise MemoryError(f"no memory for a pool of {n} threads")
        known = pools[n] = <uintptr_t>created
    return <void *><uintptr_t>known


cdef class _Block:
    """Workspace that a thread keeps from call to call."""
    cdef void *data
    cdef size_t size

    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, size_t size) except -1:
        if size > self.size:
            free(self.data)
            self.size = 0
            self.data = malloc(size)
            if self.data == NULL:
                raise MemoryError(f"no memory for a workspace of {size} bytes")
            self.size = size
        return 0


class _Local(local):
    def __init__(self):
        self.block = _Block()


_blocks = _Local()

cdef cpool_status describe(Call *call, int32_t role, cpool_shape *shape) noexcept:
    if call.normalizes:
        return cpool_norm_describe(&call.norm, call.args, call.n, role, shape, &call.error)
    return cpool_pool_describe(&call.params, call.args, call.n, role, shape, &call.error)


cdef cpool_status query(Call *call, int direction, int32_t workers, cpool_info *info) noexcept:
    memset(info, 0, sizeof(cpool_info))
    info.struct_size = sizeof(cpool_info)
    if call.normalizes:
        return cpool_norm_query(&call.norm, call.args, call.n, direction, workers, info, &call.error)
    return cpool_pool_query(&call.params, call.args, call.n, direction, workers, info, &call.error)


cdef cpool_status enter(Call *call, int direction, const cpool_exec *how) noexcept nogil:
    if call.normalizes:
        if direction == CPOOL_FORWARD:
            return cpool_norm_forward(&call.norm, call.args, call.n, how)
        return cpool_norm_backward(&call.norm, call.args, call.n, how)
    if direction == CPOOL_FORWARD:
        return cpool_pool_forward(&call.params, call.args, call.n, how)
    return cpool_pool_backward(&call.params, call.args, call.n, how)


cdef int execute(Call *call, int direction) except -1:
    cdef cpool_info info
    cdef cpool_exec how
    cdef cpool_status status
    cdef char stack[STACK_WORKSPACE]
    cdef _Block block
    cdef int32_t workers, isa
    workers, isa = scoped()
    if workers == 0:
        workers = default_threads
    memset(&how, 0, sizeof(how))
    how.struct_size = sizeof(how)
    how.error = &call.error
    how.isa = isa
    if call.largest <= KEEP_GIL:  # one worker, and nearly always little workspace: where it is too little, that is said in time
        how.workers = 1
        how.workspace = stack
        how.workspace_size = STACK_WORKSPACE
        status = enter(call, direction, &how)
        if status != CPOOL_NO_MEMORY:
            return check(&call.error, status)
    check(&call.error, query(call, direction, workers, &info))
    how.workers = info.workers
    if info.workers > 1:
        how.parallel_for = cpool_threads_run
        how.parallel_ctx = pool_of(info.workers)
    if info.workspace_size <= STACK_WORKSPACE:
        how.workspace = stack
        how.workspace_size = STACK_WORKSPACE
    else:  # no Python code runs on this thread from here to the end of the work, so a nested call cannot meet the block in use
        block = _blocks.block if info.workspace_size <= CACHED_WORKSPACE else _Block()
        block.reserve(info.workspace_size)
        how.workspace = block.data
        how.workspace_size = block.size
    if call.largest <= KEEP_GIL:
        status = enter(call, direction, &how)
    else:
        with nogil:
            status = enter(call, direction, &how)
    return check(&call.error, status)


# ---- Converting ------------------------------------------------------------------------------------------------------

cdef str show(object value):
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python converts
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."


cdef int64_t integer(object value, str name, object argument) except? -1:
    """One integer of an argument; messages show all of it."""
    cdef int64_t result
    if not PyLong_CheckExact(value):
        if isinstance(value, (bool, np.bool_)) or not PyIndex_Check(value):
            raise TypeError(f"{name}={show(argument)} must be made of integers, not of {type(value).__name__}")
        try:
            value = index(value)
        except TypeError:
            raise TypeError(f"{name}={show(argument)} must be made of integers, not of {type(value).__name__}") from None
    try:
        result = value
    except OverflowError:
        result = INT64_MIN
    if result == INT64_MIN:  # which is CPOOL_SIZE_DEFAULT and no size
        raise ValueError(f"{name}={show(argument)} is out of range: sizes are at most 2**63 - 1")
    return result


cdef int sizes(int64_t *to, object value, int rank, str name) except -1:
    """One integer for all spatial axes, or one for each."""
    cdef int i
    cdef int64_t same
    if isinstance(value, (tuple, list)):
        if len(value) != rank:
            raise ValueError(f"{name}={show(value)} has {len(value)} entries for {rank} spatial axes")
        for i in range(rank):
            to[i] = integer(value[i], name, value)
    else:
        same = integer(value, name, value)
        for i in range(rank):
            to[i] = same
    return 0


cdef bint truth(object value, str name) except -1:
    if value is False or value is True:
        return value is True
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{name}={show(value)} must be True or False")


cdef double real(object value, str name) except? -1:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (float, int, np.floating, np.integer)):
        raise TypeError(f"{name}={show(value)} must be a number")
    try:
        return <double>value
    except OverflowError:
        raise ValueError(f"{name}={show(value)} is too large for a float") from None


cdef int32_t axis(object value, str name, object argument) except? -1:
    cdef int64_t position = integer(value, name, argument)
    if position <= INT32_MIN + 1 or position > INT32_MAX:  # where C keeps its own constants, too
        raise ValueError(f"{name}={show(argument)} names an axis that x does not have")
    return <int32_t>position


cdef int pairs(int64_t *before, int64_t *after, object padding, int rank, str name) except -1:
    """A pair of integers for each spatial axis, or an integer in its place, or one integer for all."""
    cdef int i
    if isinstance(padding, (tuple, list)) and any([isinstance(pair, (tuple, list)) for pair in padding]):
        if len(padding) != rank:
            raise ValueError(f"{name}={show(padding)} has {len(padding)} entries for {rank} spatial axes")
        for i in range(rank):
            pair = padding[i]
            if not isinstance(pair, (tuple, list)):
                pair = (pair, pair)
            if len(pair) != 2:
                raise ValueError(f"{name}={show(padding)} must hold (before, after) pairs, not {show(pair)}")
            before[i] = integer(pair[0], name, padding)
            after[i] = integer(pair[1], name, padding)
    else:
        sizes(before, padding, rank, name)
        for i in range(rank):
            after[i] = before[i]
    return 0


cdef int fill_padding(cpool_pool_params *params, object padding) except -1:
    if isinstance(padding, str):
        modes = {"valid": CPOOL_VALID, "same": CPOOL_SAME_UPPER, "same_upper": CPOOL_SAME_UPPER, "same_lower": CPOOL_SAME_LOWER}
        if padding not in modes:
            raise ValueError(f"padding={show(padding)} must be one of {', '.join(map(repr, modes))}, or numbers")
        params.padding_mode = modes[padding]
    else:
        pairs(params.pad_before, params.pad_after, padding, params.rank, "padding")
    return 0


cdef int rank_of(object window, object axes, int ndim, str name, object written) except -1:
    """The number of spatial axes: as many as the window has entries, else as there are axes, else 2 for matrices and images."""
    if isinstance(window, (tuple, list)):
        rank = len(window)
    elif axes is not None:
        rank = len(axes) if isinstance(axes, (tuple, list)) else 1
    elif ndim == 2 or ndim == 4:
        rank = 2
    elif ndim == 0:
        raise ValueError("x is 0-d; pooling needs at least one axis")
    else:
        ranks = [1] if ndim == 1 else [1, 2] if ndim == 3 else [2, 3]
        ways = [show(tuple(range(-r, 0)) if written is whole else (written,) * r) for r in ranks]
        ways = [f"{'axes=' if written is whole else ''}{way} the last {['', 'axis', 'two', 'three'][r]}"
                for way, r in zip(ways, ranks)]
        raise ValueError(f"{name}={show(written)} is ambiguous for {ndim}-d x: "
                         + ", ".join(ways).replace(" the", " pools the", 1))
    if not 1 <= rank <= 3:
        argument, value = (name, window) if isinstance(window, (tuple, list)) else ("axes", axes)
        raise ValueError(f"{argument}={show(value)} has {rank} entries; 1 to 3 axes can be spatial")
    return rank


cdef int fill(cpool_pool_params *params, int32_t op, int ndim, object window, object stride, object padding, object dilation,
              object ceil_mode, object axes, object channel_axis) except -1:
    """Start the parameters of a call: what all operators share."""
    cdef int i
    params[0] = core_params_init
    params.op = op
    if PyLong_CheckExact(window) or isinstance(window, (tuple, list)):
        params.rank = rank_of(window, axes, ndim, "window", window)
        sizes(params.window, window, params.rank, "window")
    elif window is whole:
        params.geometry = CPOOL_WHOLE
        params.rank = rank_of(None, axes, ndim, "window", whole)
    elif isinstance(window, adaptive):
        params.geometry = CPOOL_ADAPTIVE
        params.rank = rank_of(window.sizes, axes, ndim, "output_size", window.sizes)
        sizes(params.window, window.sizes, params.rank, "output_size")
    else:
        if isinstance(window, (bool, np.bool_)) or not PyIndex_Check(window):
            raise TypeError(f"window={show(window)} must be an integer, a tuple of integers, cpool.adaptive(...) or "
                            "cpool.whole")
        params.rank = rank_of(window, axes, ndim, "window", window)
        sizes(params.window, window, params.rank, "window")
    if stride is not None:
        sizes(params.stride, stride, params.rank, "stride")
    if not PyLong_CheckExact(padding) or padding != 0:
        fill_padding(params, padding)
    if not PyLong_CheckExact(dilation) or dilation != 1:
        sizes(params.dilation, dilation, params.rank, "dilation")
    if truth(ceil_mode, "ceil_mode"):
        params.flags |= CPOOL_CEIL_MODE
    if axes is not None:
        named = axes if isinstance(axes, (tuple, list)) else (axes,)
        if len(named) != params.rank:
            raise ValueError(f"axes={show(axes)} has {len(named)} entries for {params.rank} spatial axes")
        for i in range(params.rank):
            params.axes[i] = axis(named[i], "axes", axes)
    if channel_axis is not None:
        params.channel_axis = axis(channel_axis, "channel_axis", channel_axis)
    return 0


cdef int refuse_masked(object value, str name) except -1:
    ma = sys.modules.get("numpy.ma")  # while it is not imported, nothing is masked
    if ma is not None and isinstance(value, ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: write {name}.filled(...)")
    return 0


cdef cnp.ndarray as_array(object value, str name):
    """What is not a plain array of the machine's own byte order and alignment, as one; the dtype stays."""
    refuse_masked(value, name)
    try:
        value = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} cannot be made an array: {error}") from None
    if not cnp.PyArray_ISBEHAVED_RO(value):
        value = np.array(value, value.dtype.newbyteorder("="))
    return value


cdef cnp.ndarray as_values(object value, str name):
    cdef cnp.ndarray a
    cdef int typenum
    if cnp.PyArray_CheckExact(value) and cnp.PyArray_ISBEHAVED_RO(value):
        a = value
    else:
        a = as_array(value, name)
    typenum = cnp.PyArray_TYPE(a)
    if typenum == cnp.NPY_FLOAT or typenum == cnp.NPY_DOUBLE:
        return a
    dtype = (<object>a).dtype
    cast = f"{name}.astype(np.float32)" if isinstance(value, np.ndarray) else f"np.asarray({name}, np.float32)"
    raise TypeError(f"{name} has dtype {dtype}; cpool computes in float32 and float64"
                    + (f": write {cast}" if dtype.kind in "biuf" else ""))


cdef cnp.ndarray as_indices(object value, str name, str what):
    cdef cnp.ndarray a = as_array(value, name)
    dtype = (<object>a).dtype
    if dtype.kind == "i" and (dtype.itemsize == 8 or not isinstance(value, np.ndarray)):
        return (<object>a).astype(np.int64, copy=False)
    raise TypeError(f"{name} has dtype {dtype}; {what} are int64"
                    + (f": write {name}.astype(np.int64)" if dtype.kind in "iu" else ""))


cdef object own(object a):
    """A copy. Axes that repeat an element go on to do so: they may be longer than memory, and are checked later."""
    if 0 not in a.strides:
        return a.copy()
    once = a[tuple([slice(0, 1) if stride == 0 else slice(None) for stride in a.strides])]
    return np.broadcast_to(once.copy(), a.shape)


cdef object as_parameter(object value, str name):
    """A float, or an array of the caller's that nobody else writes."""
    if isinstance(value, (np.ndarray, tuple, list)) or (isinstance(value, np.floating) and not isinstance(value, float)):
        if not isinstance(value, np.ndarray) and np.asarray(value).dtype.kind in "iu":
            value = np.asarray(value, np.float64)
        return own(as_values(value, name))  # the caller's optimizer writes it before backward reads it
    return real(value, name)


cdef uint64_t counter(object value, str name) except? 0:
    if isinstance(value, (bool, np.bool_)) or not PyIndex_Check(value):
        raise TypeError(f"{name}={show(value)} must be an integer" + (", a Generator or None" if name == "seed" else ""))
    number = index(value)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{name}={show(value)} must be 0 to 2**64 - 1")
    return <uint64_t>number


cdef uint64_t key(object seed) except? 0:
    if seed is None:
        return <uint64_t>int.from_bytes(urandom(8), "little")
    if isinstance(seed, np.random.Generator):
        return <uint64_t>int(seed.integers(1 << 64, dtype=np.uint64))
    return counter(seed, "seed")


cdef cnp.ndarray as_out(object out, int typenum):
    """The array behind `out`, None for None; its shape is checked in C."""
    if out is None:
        return None
    if isinstance(out, tuple):
        if len(out) != 1:
            raise ValueError(f"out is a tuple of {len(out)}; there is one result")
        out = out[0]
    refuse_masked(out, "out")
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array, not {type(out).__name__}")
    if cnp.PyArray_TYPE(out) != typenum or cnp.PyArray_ISBYTESWAPPED(out):
        wanted = np.dtype("f4" if typenum == cnp.NPY_FLOAT else "f8")
        raise TypeError(f"out has dtype {out.dtype.str}; the result has {wanted.str}")
    if not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError("out is read-only")
    if not cnp.PyArray_ISALIGNED(out):
        raise ValueError("out is misaligned; results are written to aligned arrays only")
    return out


# ---- Allocating ------------------------------------------------------------------------------------------------------

cdef cnp.ndarray empty(const int64_t *shape, int ndim, int typenum, cnp.ndarray like):
    """A new array whose axes lie in memory in the order of those of `like`, as the results of ufuncs do."""
    cdef cnp.npy_intp dims[CPOOL_MAX_NDIM]
    cdef cnp.npy_intp strides[CPOOL_MAX_NDIM]
    cdef int order[CPOOL_MAX_NDIM]
    cdef int i, j, place
    cdef size_t stride
    cdef cnp.npy_intp a, b
    for i in range(ndim):
        dims[i] = <cnp.npy_intp>shape[i]
        if dims[i] != shape[i]:
            raise MemoryError(f"a result with an axis of length {shape[i]} cannot be allocated")
    if cnp.PyArray_IS_C_CONTIGUOUS(like) or cnp.PyArray_NDIM(like) != ndim:
        return cnp.PyArray_EMPTY(ndim, dims, typenum, 0)
    for i in range(ndim):  # insertion sort, slowest first; an axis that never steps may lie anywhere and moves only with others
        place = i
        for j in range(i - 1, -1, -1):
            a = abs(cnp.PyArray_STRIDE(like, order[j])) if cnp.PyArray_DIM(like, order[j]) > 1 else 0
            b = abs(cnp.PyArray_STRIDE(like, i)) if cnp.PyArray_DIM(like, i) > 1 else 0
            if a != 0 and b != 0:
                if a >= b:
                    break
                place = j
        for j in range(i, place, -1):
            order[j] = order[j - 1]
        order[place] = i
    stride = 8 if typenum == cnp.NPY_DOUBLE or typenum == cnp.NPY_INT64 else 4 if typenum != cnp.NPY_UINT8 else 1
    for j in range(ndim - 1, -1, -1):  # unsigned: a product that overflows is refused by the allocation
        strides[order[j]] = <cnp.npy_intp>stride
        stride *= <size_t>max(dims[order[j]], 1)
    return cnp.PyArray_New(np.ndarray, ndim, dims, typenum, strides, NULL, 0, 0, None)


cdef cnp.ndarray new_result(Call *call, int32_t role, cnp.ndarray like):
    cdef cpool_shape shape
    cdef int typenum
    shape.struct_size = sizeof(shape)
    check(&call.error, describe(call, role, &shape))
    if shape.dtype_code == CPOOL_FLOAT:
        typenum = cnp.NPY_FLOAT32 if shape.dtype_bits == 32 else cnp.NPY_FLOAT64
    elif shape.dtype_code == CPOOL_UINT:
        typenum = cnp.NPY_UINT8
    else:
        typenum = cnp.NPY_INT32 if shape.dtype_bits == 32 else cnp.NPY_INT64
    return empty(shape.shape, shape.ndim, typenum, like)


# ---- Forward ---------------------------------------------------------------------------------------------------------

# The arrays that a Saved may keep, by the names in its pickle and in messages of what is wrong with it.
cdef dict ROLES = {"x": CPOOL_X, "taps": CPOOL_TAPS, "indices": CPOOL_INDICES, "logits": CPOOL_LOGITS, "p": CPOOL_P,
                   "beta": CPOOL_BETA, "alpha": CPOOL_ALPHA, "lam": CPOOL_LAMBDA, "reference": CPOOL_REFERENCE,
                   "filter": CPOOL_FILTER, "bias": CPOOL_BIAS, "a": CPOOL_BLEND, "weight": CPOOL_WEIGHT, "mask": CPOOL_MASK,
                   "leaves": CPOOL_LEAVES, "gates": CPOOL_GATES}


@cython.final
cdef class Saved:
    """What ``forward`` keeps for ``backward``: immutable, and picklable.

    Attributes
    ----------
    op : operator
        The operator whose ``forward`` made it.
    nbytes : int
        Bytes of the arrays that it keeps alive.
    indices : ndarray of int64
        Where the selected elements are in the flattened spatial plane, -1 for none: of ``max_pool``, ``min_pool`` and
        ``stochastic_pool``, ``fractional_max_pool`` and ``s3_pool``. Their positions along the axis: of ``kmax_pool``. The
        positions given to ``max_unpool``.
    mask : ndarray of uint8
        What a random ``mixed_pool`` drew, 1 for the maximum.
    seed, offset : int
        Of the draws of ``stochastic_pool``, ``fractional_max_pool``, ``s3_pool`` and a random ``mixed_pool``: given again, the
        same is drawn.
    """
    cdef cpool_pool_params params
    cdef tuple shape   # of x
    cdef int typenum   # of x
    cdef dict kept     # arrays by name in ROLES; a parameter may be a float
    cdef readonly object op

    def __init__(self):
        raise TypeError("a saved object comes from forward, not from its class")

    @property
    def nbytes(self):
        return sum([a.nbytes for a in (self.kept or {}).values() if isinstance(a, np.ndarray)])

    cdef object missing(self, str what):
        return AttributeError(f"{getattr(self.op, '__name__', None)} {what}")

    @property
    def indices(self):
        cdef Call call
        cdef cpool_exec how
        cdef cpool_status status
        cdef cnp.ndarray result
        kept = self.kept or {}
        if "indices" in kept:
            return kept["indices"]
        if "taps" not in kept:
            raise self.missing("selects no elements here: it has no indices")
        begin(&call, &self.params)
        add_shape(&call, CPOOL_X, self.shape, self.typenum, "x")
        add_array(&call, CPOOL_TAPS, kept["taps"], "saved")
        result = new_result(&call, CPOOL_INDICES, kept["taps"])
        add_array(&call, CPOOL_INDICES, result, "indices")
        memset(&how, 0, sizeof(how))
        how.struct_size = sizeof(how)
        how.error = &call.error
        with nogil:
            status = cpool_taps_to_indices(&call.params, call.args, call.n, &how)
        check(&call.error, status)
        return result

    @property
    def mask(self):
        if "mask" not in (self.kept or {}):
            raise self.missing("draws no mask here")
        return self.kept["mask"]

    cdef int check_random(self) except -1:
        if self.params.op not in (CPOOL_STOCHASTIC, CPOOL_MIXED_RANDOM, CPOOL_FRACTIONAL, CPOOL_S3):
            raise self.missing("draws nothing here: it has no seed and no offset")
        return 0

    @property
    def seed(self):
        self.check_random()
        return self.params.seed

    @property
    def offset(self):
        self.check_random()
        return self.params.offset

    def __repr__(self):
        return f"<cpool saved of {getattr(self.op, '__name__', None)}, {self.nbytes} bytes>"

    def __reduce__(self):
        cdef cpool_pool_params *p = &self.params
        numbers = (p.op, p.rank, p.geometry, p.padding_mode, p.channel_axis, p.flags, p.divisor, p.granularity, p.variant, p.k,
                   p.p_max, p.seed, p.offset, p.eps2)
        lengths = [(p.axes[i], p.window[i], p.stride[i], p.dilation[i], p.pad_before[i], p.pad_after[i], p.output_size[i],
                    p.filter_pad_before[i], p.filter_pad_after[i], p.grid[i])
                   for i in range(3)]
        return restore, (self.op, numbers, lengths, self.shape, self.typenum == cnp.NPY_DOUBLE, self.kept)


cdef object kept_array(object value):
    if value is None:
        return None
    if not isinstance(value, np.ndarray):
        raise TypeError(f"saved is damaged: it holds {show(value)} for an array")
    return as_array(value, "an array of saved")


cdef object kept_value(str name, object value):
    if isinstance(value, float):
        return real(value, f"{name} of saved")
    if value is None:
        raise TypeError(f"saved is damaged: it holds no {name}")
    return kept_array(value)


def restore(op, numbers, lengths, shape, wide, kept):
    """A pickled Saved. It may be damaged or forged: only kinds are checked here, the rest in C at every use."""
    if not isinstance(wide, bool):
        raise TypeError(f"saved is damaged: it holds {show(wide)} for whether it is of float64")
    cdef Saved saved = Saved.__new__(Saved)
    cdef cpool_pool_params *to = &saved.params
    cdef int i
    to[0] = core_params_init
    (to.op, to.rank, to.geometry, to.padding_mode, to.channel_axis, to.flags, to.divisor, to.granularity, to.variant, to.k,
     to.p_max, to.seed, to.offset, to.eps2) = numbers
    for i, along in zip(range(3), lengths):
        (to.axes[i], to.window[i], to.stride[i], to.dilation[i], to.pad_before[i], to.pad_after[i], to.output_size[i],
         to.filter_pad_before[i], to.filter_pad_after[i], to.grid[i]) = along
    saved.op = op
    saved.shape = tuple([integer(length, "shape of saved", shape) for length in shape])
    saved.typenum = cnp.NPY_DOUBLE if wide else cnp.NPY_FLOAT
    if not isinstance(kept, dict) or len(kept) > MAX_KEPT or any([name not in ROLES for name in kept]):
        raise ValueError(f"saved is damaged: it keeps {show(kept)}")
    saved.kept = {name: kept_value(name, value) for name, value in kept.items()}
    return saved


cdef object forward(Call *call, object op, bint keep, cnp.ndarray x, cnp.ndarray y, str further, dict kept):
    """Provide the results of a call that has its inputs, and compute them. `further`: one that ``backward`` reads, or None."""
    cdef Saved saved
    if y is None:
        y = new_result(call, CPOOL_Y, x)
    if keep and further is not None:
        kept[further] = new_result(call, ROLES[further], x)
        add_array(call, ROLES[further], kept[further], further)
    add_array(call, CPOOL_Y, y, "out")
    execute(call, CPOOL_FORWARD)
    if not keep:
        return y
    saved = Saved.__new__(Saved)
    saved.params = call.params
    saved.op = op
    saved.shape = (<object>x).shape
    saved.typenum = cnp.PyArray_TYPE(x)
    saved.kept = kept
    return y, saved


def select(op, bint keep, bint largest, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill(&params, CPOOL_MAX if largest else CPOOL_MIN, cnp.PyArray_NDIM(a), window, stride, padding, dilation, ceil_mode, axes,
         channel_axis)
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    return forward(&call, op, keep, a, y, "taps", {})


def average(op, bint keep, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, count_include_pad,
            divisor_override, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill(&params, CPOOL_AVG, cnp.PyArray_NDIM(a), window, stride, padding, dilation, ceil_mode, axes, channel_axis)
    if truth(count_include_pad, "count_include_pad"):
        params.flags |= CPOOL_COUNT_INCLUDE_PAD
    if divisor_override is not None:
        params.divisor = real(divisor_override, "divisor_override")
        params.flags |= CPOOL_DIVISOR
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    return forward(&call, op, keep, a, y, None, {})


def power(op, bint keep, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, p, norm, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill(&params, CPOOL_LP, cnp.PyArray_NDIM(a), window, stride, padding, dilation, ceil_mode, axes, channel_axis)
    if norm == "mean":
        params.flags |= CPOOL_MEAN
    elif norm != "sum":
        raise (ValueError if isinstance(norm, str) else TypeError)(f"norm={show(norm)} must be 'sum' or 'mean'")
    p = as_parameter(p, "p")
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    add_parameter(&call, CPOOL_P, p, "p")
    return forward(&call, op, keep, a, y, None, {"x": a, "p": p})


def tapwise(op, bint keep, x, window, stride, padding, dilation, ceil_mode, axes, channel_axis, str kind, dict given, out,
            random=None, detail=None):
    """What works window by window: `given` are its further inputs by name, None for one that is optional; `random` says how
    to draw, as (granularity or None, p_max, seed, offset); `detail` how to weigh, as (symmetric, normalize, eps2,
    filter_padding)."""
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    operators = {"soft": CPOOL_SOFT, "lip": CPOOL_LIP, "stochastic": CPOOL_STOCHASTIC, "expected": CPOOL_STOCHASTIC_MEAN,
                 "mixed": CPOOL_MIXED, "mixed at random": CPOOL_MIXED_RANDOM, "gated": CPOOL_GATED, "rank": CPOOL_RANK,
                 "detail": CPOOL_DPP, "ada": CPOOL_ADA, "tree": CPOOL_TREE}
    fill(&params, operators[kind], cnp.PyArray_NDIM(a), window, stride, padding, dilation, ceil_mode, axes, channel_axis)
    if random is not None:
        granularity, p_max, seed, offset = random
        granularities = {"layer": CPOOL_LAYER, "map": CPOOL_MAP, "region": CPOOL_REGION}
        if granularity is not None:
            if not isinstance(granularity, str) or granularity not in granularities:
                raise (ValueError if isinstance(granularity, str) else TypeError)(
                    f"random={show(granularity)} must be None or one of {', '.join(map(repr, granularities))}")
            params.granularity = granularities[granularity]
            params.p_max = real(p_max, "p_max")
        params.seed = key(seed)
        params.offset = counter(offset, "offset")
    if detail is not None:
        symmetric, normalize, eps2, filter_padding = detail
        normalizations = {"none": CPOOL_DPP_PLAIN, "mean": CPOOL_DPP_MEAN, "sum": CPOOL_DPP_SUM}
        if not isinstance(normalize, str) or normalize not in normalizations:
            raise (ValueError if isinstance(normalize, str) else TypeError)(
                f"normalize={show(normalize)} must be one of {', '.join(map(repr, normalizations))}")
        params.variant = normalizations[normalize]
        params.eps2 = real(eps2, "eps2")
        if not truth(symmetric, "symmetric"):
            params.flags |= CPOOL_ASYMMETRIC
        if filter_padding is not None:
            pairs(params.filter_pad_before, params.filter_pad_after, filter_padding, params.rank, "filter_padding")
    inputs = {}
    for name, value in given.items():
        if value is not None or name not in ("bias", "u", "filter", "reference"):
            inputs[name] = as_values(value, name) if name in ("logits", "u", "reference") else as_parameter(value, name)
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    for name, value in inputs.items():
        add_parameter(&call, CPOOL_U if name == "u" else ROLES[name], value, name)
    if kind == "stochastic":
        return forward(&call, op, keep, a, y, "taps", {})
    return forward(&call, op, keep, a, y, "mask" if kind == "mixed at random" else None, {"x": a} | inputs)


cdef int fill_kmax(cpool_pool_params *params, object k, object along) except -1:
    params[0] = core_params_init
    params.op = CPOOL_KMAX
    params.rank = 1
    params.k = integer(k, "k", k)
    params.axes[0] = axis(along, "axis", along)
    return 0


def largest(op, bint keep, x, k, along, lengths, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill_kmax(&params, k, along)
    limits = None if lengths is None else as_indices(lengths, "lengths", "lengths")
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    if limits is not None:
        add_array(&call, CPOOL_LENGTHS, limits, "lengths")
    return forward(&call, op, keep, a, y, "indices", {})


def largest_output_shape(x_shape, k, along):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill_kmax(&params, k, along)
    return shape_of(&params, x_shape)


cdef int fill_unpool(cpool_pool_params *params, int ndim, object window, object stride, object padding, object dilation,
                     object axes, object channel_axis, object output_size, object duplicates) except -1:
    fill(params, CPOOL_UNPOOL, ndim, window, stride, padding, dilation, False, axes, channel_axis)
    if output_size is not None:
        sizes(params.output_size, output_size, params.rank, "output_size")
    if duplicates == "add":
        params.flags |= CPOOL_ADD
    elif duplicates != "overwrite":
        raise (ValueError if isinstance(duplicates, str) else TypeError)(
            f"duplicates={show(duplicates)} must be 'overwrite' or 'add'")
    return 0


def unpool(op, bint keep, x, indices, window, stride, padding, dilation, axes, channel_axis, output_size, duplicates, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    cdef cnp.ndarray positions = as_indices(indices, "indices", "positions")
    fill_unpool(&params, cnp.PyArray_NDIM(a), window, stride, padding, dilation, axes, channel_axis, output_size, duplicates)
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    add_array(&call, CPOOL_INDICES, positions, "indices")
    return forward(&call, op, keep, a, y, None, {"indices": positions})


cdef int fill_blur(cpool_pool_params *params, int ndim, object window, object stride, object border, object axes,
                   object channel_axis) except -1:
    fill(params, CPOOL_BLUR, ndim, window, stride, 0, 1, False, axes, channel_axis)
    borders = {"reflect": CPOOL_REFLECT, "replicate": CPOOL_REPLICATE, "zero": CPOOL_ZERO}
    if not isinstance(border, str) or border not in borders:
        raise (ValueError if isinstance(border, str) else TypeError)(
            f"border={show(border)} must be one of {', '.join(map(repr, borders))}")
    params.variant = borders[border]
    return 0


def blur(op, bint keep, x, window, stride, border, axes, channel_axis, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill_blur(&params, cnp.PyArray_NDIM(a), window, stride, border, axes, channel_axis)
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    return forward(&call, op, keep, a, y, None, {})


cdef int fill_fractional(cpool_pool_params *params, int ndim, object window, object output_size, object axes,
                         object channel_axis) except -1:
    fill(params, CPOOL_FRACTIONAL, ndim, window, None, 0, 1, False, axes, channel_axis)
    sizes(params.output_size, output_size, params.rank, "output_size")
    return 0


cdef int fill_thinned(cpool_pool_params *params, int ndim, object window, object stride, object padding, object dilation,
                      object axes, object channel_axis, object grid) except -1:
    fill(params, CPOOL_S3, ndim, window, stride, padding, dilation, False, axes, channel_axis)
    if grid is not None:
        sizes(params.grid, grid, params.rank, "grid")
    return 0


cdef object sample(cpool_pool_params *params, object op, bint keep, cnp.ndarray a, object seed, object offset, object u,
                   object out):
    cdef Call call
    params.seed = key(seed)
    params.offset = counter(offset, "offset")
    numbers = None if u is None else as_values(u, "u")
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, params)
    add_array(&call, CPOOL_X, a, "x")
    if numbers is not None:
        add_array(&call, CPOOL_U, numbers, "u")
    return forward(&call, op, keep, a, y, "indices", {})


def fractional(op, bint keep, x, window, output_size, axes, channel_axis, seed, offset, u, out):
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill_fractional(&params, cnp.PyArray_NDIM(a), window, output_size, axes, channel_axis)
    return sample(&params, op, keep, a, seed, offset, u, out)


def thinned(op, x, window, stride, padding, dilation, axes, channel_axis, grid, seed, offset, u, out):
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill_thinned(&params, cnp.PyArray_NDIM(a), window, stride, padding, dilation, axes, channel_axis, grid)
    return sample(&params, op, True, a, seed, offset, u, out)


def thinned_mean(op, x, window, stride, padding, dilation, axes, channel_axis, out):
    """What `thinned` gives on the average."""
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill_thinned(&params, cnp.PyArray_NDIM(a), window, stride, padding, dilation, axes, channel_axis, None)
    shape_of(&params, (<object>a).shape)
    along = tuple([params.window[i] if stride is None else params.stride[i] for i in range(params.rank)])
    if out is not None and np.shares_memory(as_out(out, cnp.PyArray_TYPE(a)), a):
        raise ValueError("out shares memory with x")
    every = select(op, False, True, a, window, 1, padding, dilation, False, axes, channel_axis, None)
    return average(op, False, every, along, None, tuple([size // 2 for size in along]), 1, False, axes, channel_axis, False,
                   None, out)


cdef int fill_shrink(cpool_pool_params *params, int ndim, object factor, object axes, object channel_axis) except -1:
    if not PyIndex_Check(factor) and not isinstance(factor, (tuple, list)):
        raise TypeError(f"factor={show(factor)} must be an integer or a tuple of integers")
    rank = rank_of(factor, axes, ndim, "factor", factor)
    sizes(params.window, factor, rank, "factor")
    along = factor if isinstance(factor, (tuple, list)) else (factor,) * rank
    fill(params, CPOOL_DPID, ndim, along, None, 0, 1, False, axes, channel_axis)
    return 0


def shrink(op, x, factor, lam, axes, channel_axis, out):
    cdef Call call
    cdef cpool_pool_params params
    cdef cnp.ndarray a = as_values(x, "x")
    fill_shrink(&params, cnp.PyArray_NDIM(a), factor, axes, channel_axis)
    lam = as_parameter(lam, "lam")
    y = as_out(out, cnp.PyArray_TYPE(a))
    begin(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    add_parameter(&call, CPOOL_LAMBDA, lam, "lam")
    return forward(&call, op, False, a, y, None, {})


# ---- Shapes ----------------------------------------------------------------------------------------------------------

cdef tuple shape_of(const cpool_pool_params *params, object x_shape):
    cdef Call call
    cdef cpool_shape shape
    begin(&call, params)
    add_shape(&call, CPOOL_X, tuple(x_shape), cnp.NPY_FLOAT, "x_shape")
    shape.struct_size = sizeof(shape)
    check(&call.error, describe(&call, CPOOL_Y, &shape))
    return tuple([shape.shape[i] for i in range(shape.ndim)])


cdef tuple as_shape(object x_shape):
    if not isinstance(x_shape, (tuple, list)):
        raise TypeError(f"x_shape={show(x_shape)} must be a tuple of integers")
    return tuple(x_shape)


def output_shape(x_shape, window, stride, padding, dilation, ceil_mode, axes, channel_axis):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill(&params, CPOOL_MAX, len(x_shape), window, stride, padding, dilation, ceil_mode, axes, channel_axis)
    return shape_of(&params, x_shape)


def unpool_output_shape(x_shape, window, stride, padding, dilation, axes, channel_axis, output_size):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill_unpool(&params, len(x_shape), window, stride, padding, dilation, axes, channel_axis, output_size, "overwrite")
    return shape_of(&params, x_shape)


def blur_output_shape(x_shape, window, stride, axes, channel_axis):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill_blur(&params, len(x_shape), window, stride, "reflect", axes, channel_axis)
    return shape_of(&params, x_shape)


def fractional_output_shape(x_shape, window, output_size, axes, channel_axis):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill_fractional(&params, len(x_shape), window, output_size, axes, channel_axis)
    return shape_of(&params, x_shape)


def thinned_output_shape(x_shape, window, stride, padding, dilation, axes, channel_axis, grid):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill_thinned(&params, len(x_shape), window, stride, padding, dilation, axes, channel_axis, grid)
    return shape_of(&params, x_shape)


def shrink_output_shape(x_shape, factor, axes, channel_axis):
    cdef cpool_pool_params params
    x_shape = as_shape(x_shape)
    fill_shrink(&params, len(x_shape), factor, axes, channel_axis)
    return shape_of(&params, x_shape)


# ---- Backward --------------------------------------------------------------------------------------------------------

def keeps(saved, name):
    """Whether it is something saved, with an input of this name."""
    return isinstance(saved, Saved) and name in ((<Saved>saved).kept or {})


def backward(op, dy, saved, tuple inputs, tuple wanted, out):
    """The gradients with respect to the inputs named, None for those that are not wanted, or were not given."""
    cdef Call call
    cdef Saved s
    cdef cnp.ndarray dy_array = as_values(dy, "dy")
    cdef cnp.ndarray dx = None
    cdef cpool_info info
    if not isinstance(saved, Saved):
        raise TypeError(f"saved must be what {op.__name__}.forward returned, not {type(saved).__name__}")
    s = saved
    if s.op is not op:
        raise ValueError(f"saved is of {getattr(s.op, '__name__', None)}; {op.__name__}.backward needs that of "
                         f"{op.__name__}.forward")
    if out is not None and "x" not in wanted:
        raise ValueError("out receives the gradient of x, which wrt leaves out")
    dx = as_out(out, s.typenum)
    gradients = {name: None for name in inputs}
    places = {}
    begin(&call, &s.params)
    add_array(&call, CPOOL_GRAD | CPOOL_Y, dy_array, "dy")
    for name, value in s.kept.items():
        add_parameter(&call, ROLES[name], value, "saved")
    for name in wanted:
        if name == "x" or name not in s.kept:
            continue
        if isinstance(s.kept[name], float):
            places[name] = call.n
            gradient = 0.0
        else:
            gradient = gradients[name] = np.empty_like(s.kept[name])
        add_parameter(&call, CPOOL_GRAD | <int32_t>ROLES[name], gradient, name)
    if "x" in wanted:
        if dx is None:  # nothing is allocated for a call that cannot be
            add_shape(&call, CPOOL_GRAD | CPOOL_X, s.shape, s.typenum, "saved")
            check(&call.error, query(&call, CPOOL_BACKWARD, 1, &info))
            call.n -= 1
            dx = empty(call.lengths[call.n][0], <int>len(s.shape), s.typenum, dy_array)
        add_array(&call, CPOOL_GRAD | CPOOL_X, dx, "out")
        gradients["x"] = dx
    execute(&call, CPOOL_BACKWARD)
    for name, place in places.items():
        gradients[name] = np.float64(call.numbers[<int>place])
    return tuple(gradients.values())


# ---- Normalization ---------------------------------------------------------------------------------------------------

@cython.final
cdef class NormSaved:
    """What ``forward`` of a normalization keeps for ``backward``: immutable, and picklable.

    Attributes
    ----------
    op : operator
        The operator whose ``forward`` made it.
    nbytes : int
        Bytes of the arrays that it keeps alive: x, and a few numbers per group.
    """
    cdef cpool_norm_params params
    cdef object x, stats, mean, var, weight, bias  # arrays or None
    cdef readonly object op

    def __init__(self):
        raise TypeError("a saved object comes from forward, not from its class")

    @property
    def nbytes(self):
        arrays = self.x, self.stats, self.mean, self.var, self.weight, self.bias
        return sum([a.nbytes for a in arrays if a is not None])

    @property
    def parameters(self):
        """Which of weight and bias there are."""
        return tuple([name for name, a in (("weight", self.weight), ("bias", self.bias)) if a is not None])

    def __repr__(self):
        return f"<cpool saved of {getattr(self.op, '__name__', None)}, {self.nbytes} bytes>"

    def __reduce__(self):
        cdef cpool_norm_params *p = &self.params
        numbers = p.op, p.stage, p.channel_axis, p.groups, p.eps, p.flags
        return restore_norm, (self.op, numbers, tuple([p.norm_axes[i] for i in range(p.rank)]), self.x, self.stats, self.mean,
                              self.var, self.weight, self.bias)


def restore_norm(op, numbers, axes, x, stats, mean, var, weight, bias):
    """A pickled NormSaved. It may be damaged or forged: only kinds are checked here, the rest in C at every use."""
    cdef NormSaved saved = NormSaved.__new__(NormSaved)
    cdef cpool_norm_params *to = &saved.params
    to[0] = core_norm_init
    to.op, to.stage, to.channel_axis, to.groups, to.eps, to.flags = numbers
    fill_axes(to, tuple(axes))
    saved.op = op
    saved.x, saved.stats, saved.mean, saved.var, saved.weight, saved.bias = [
        kept_array(a) for a in (x, stats, mean, var, weight, bias)]
    if saved.x is None:
        raise TypeError("saved is damaged: it holds no x")
    return saved


cdef int fill_axes(cpool_norm_params *params, object axes) except -1:
    cdef int i
    named = axes if isinstance(axes, (tuple, list)) else (axes,)
    if len(named) > CPOOL_MAX_NDIM:
        raise ValueError(f"axes={show(axes)} has {len(named)} entries; the most are {CPOOL_MAX_NDIM}")
    params.rank = <int32_t>len(named)
    for i in range(params.rank):
        params.norm_axes[i] = axis(named[i], "axes", axes)
    return 0


cdef int fill_norm(cpool_norm_params *params, int32_t op, object channel_axis, object axes, object groups, object eps,
                   object relu) except -1:
    params[0] = core_norm_init
    params.op = op
    params.eps = real(eps, "eps")
    if channel_axis is not None:
        params.channel_axis = axis(channel_axis, "channel_axis", channel_axis)
    if axes is not None:
        fill_axes(params, axes)
    if groups is not None:
        params.groups = integer(groups, "groups", groups)
    if truth(relu, "relu"):
        params.flags |= CPOOL_RELU
    return 0


cdef object parameter(object value, str name, bint keep):
    """An array of parameters or None; to keep, a copy, since the caller's optimizer may write it before backward reads it."""
    return None if value is None else as_values(value, name).copy() if keep else as_values(value, name)


cdef int add_given(Call *call, int32_t role, object a, str name) except -1:
    if a is not None:
        add_array(call, role, a, name)
    return 0


cdef cnp.ndarray packed_moments(object moments):
    """Moments as C wants them: [4, n]."""
    mean = np.asarray(moments.mean, np.float64)
    return np.stack([np.broadcast_to(np.float64(moments.count), mean.shape), mean, moments.m2, moments.rest])


def normalize(op, bint keep, int32_t code, x, weight, bias, mean, var, moments, running, eps, channel_axis, axes, groups, relu,
              out):
    """y; to keep, also saved and the moments [4, n] of the batch where they are to update `running`."""
    cdef Call call
    cdef cpool_norm_params params
    cdef cpool_shape shape
    cdef NormSaved saved
    cdef object stats = None
    cdef object batch = None
    cdef cnp.ndarray a = as_values(x, "x")
    cdef cnp.ndarray y
    fill_norm(&params, code, channel_axis, axes, groups, eps, relu)
    weight, bias = parameter(weight, "weight", keep), parameter(bias, "bias", keep)
    mean, var = parameter(mean, "mean", keep), parameter(var, "var", keep)
    y = as_out(out, cnp.PyArray_TYPE(a))
    if moments is not None:
        params.stage = CPOOL_STAGE_APPLY
        batch = packed_moments(moments)
    begin_norm(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    add_given(&call, CPOOL_WEIGHT, weight, "weight")
    add_given(&call, CPOOL_BIAS, bias, "bias")
    add_given(&call, CPOOL_MU, mean, "mean")
    add_given(&call, CPOOL_VAR, var, "var")
    add_given(&call, CPOOL_MOMENTS, batch, "moments")
    if running is not None:
        shape.struct_size = sizeof(shape)
        check(&call.error, describe(&call, CPOOL_MOMENTS, &shape))
        if moments is None:
            batch = np.empty((4, shape.shape[1]))
            add_array(&call, CPOOL_MOMENTS, batch, "moments")
        running._expect(shape.shape[1], moments.count if moments is not None else a.size // max(shape.shape[1], 1))
    if keep and mean is None and var is None:
        stats = new_result(&call, CPOOL_STATS, a)
        add_array(&call, CPOOL_STATS, stats, "stats")
    if y is None:
        y = new_result(&call, CPOOL_Y, a)
    add_array(&call, CPOOL_Y, y, "out")
    execute(&call, CPOOL_FORWARD)
    if not keep:
        return y
    saved = NormSaved.__new__(NormSaved)
    saved.params = params
    saved.op = op
    saved.x, saved.stats, saved.mean, saved.var, saved.weight, saved.bias = a, stats, mean, var, weight, bias
    return y, saved, batch


def batch_moments(x, int32_t code, channel_axis):
    """Moments [4, n] of the channels of x."""
    cdef Call call
    cdef cpool_norm_params params
    cdef cnp.ndarray a = as_values(x, "x")
    cdef cnp.ndarray result
    fill_norm(&params, code, channel_axis, None, None, 0.0, False)
    params.stage = CPOOL_STAGE_STATS
    begin_norm(&call, &params)
    add_array(&call, CPOOL_X, a, "x")
    result = new_result(&call, CPOOL_MOMENTS, a)
    add_array(&call, CPOOL_MOMENTS, result, "moments")
    execute(&call, CPOOL_FORWARD)
    return result


def merge_moments(a, b):
    """Merge moments (objects with count, mean, m2, rest) into [4, n]."""
    cdef Call call
    cdef cnp.ndarray first = packed_moments(a)
    cdef cnp.ndarray second = packed_moments(b)
    cdef cnp.ndarray result = np.empty_like(first)
    begin_norm(&call, &core_norm_init)
    for array in first, second, result:
        add_array(&call, CPOOL_MOMENTS, array, "moments")
    check(&call.error, cpool_moments_merge(&call.args[0].view, &call.args[1].view, &call.args[2].view, &call.error))
    return result


cdef NormSaved as_norm_saved(object op, object saved, str method):
    if not isinstance(saved, NormSaved):
        raise TypeError(f"saved must be what {op.__name__}.forward returned, not {type(saved).__name__}")
    if saved.op is not op:
        raise ValueError(f"saved is of {getattr(saved.op, '__name__', None)}; {op.__name__}.{method} needs that of "
                         f"{op.__name__}.forward")
    return saved


cdef int begin_backward(Call *call, NormSaved s, cnp.ndarray dy) except -1:
    begin_norm(call, &s.params)
    add_array(call, CPOOL_X, s.x, "saved")
    add_array(call, CPOOL_GRAD | CPOOL_Y, dy, "dy")
    add_given(call, CPOOL_STATS, s.stats, "saved")
    add_given(call, CPOOL_MU, s.mean, "saved")
    add_given(call, CPOOL_VAR, s.var, "saved")
    add_given(call, CPOOL_WEIGHT, s.weight, "saved")
    add_given(call, CPOOL_BIAS, s.bias, "saved")
    return 0


def norm_sums(op, dy, saved):
    """Sums [3, n] of a part of a batch."""
    cdef Call call
    cdef cnp.ndarray dy_array = as_values(dy, "dy")
    cdef cnp.ndarray result
    cdef NormSaved s = as_norm_saved(op, saved, "sums")
    if s.stats is None:
        raise ValueError("saved was normalized by mean= and var=, constants that have no gradient: there is nothing to sum")
    begin_backward(&call, s, dy_array)
    call.norm.stage = CPOOL_STAGE_SUMS
    result = new_result(&call, CPOOL_SUMS, dy_array)
    add_array(&call, CPOOL_SUMS, result, "sums")
    execute(&call, CPOOL_BACKWARD)
    return result


def norm_backward(op, dy, saved, sums, wanted, out):
    """The gradients with respect to x, weight and bias, None for those that are absent or not wanted."""
    cdef Call call
    cdef cnp.ndarray dy_array = as_values(dy, "dy")
    cdef cnp.ndarray dx = None
    cdef NormSaved s = as_norm_saved(op, saved, "backward")
    if out is not None and "x" not in wanted:
        raise ValueError("out receives the gradient of x, which wrt leaves out")
    if sums is None and s.params.stage == CPOOL_STAGE_APPLY:
        raise ValueError(f"saved was normalized by moments=: give sums=, the sum over all parts of what {op.__name__}.sums "
                         "returns")
    dx = as_out(out, cnp.PyArray_TYPE(s.x))
    begin_backward(&call, s, dy_array)
    call.norm.stage = 0
    if sums is not None:
        call.norm.stage = CPOOL_STAGE_APPLY
        sums = np.ascontiguousarray(sums, np.float64)
        add_array(&call, CPOOL_SUMS, sums, "sums")
    dweight, dbias = [np.empty_like(a) if a is not None and name in wanted else None
                      for a, name in ((s.weight, "weight"), (s.bias, "bias"))]
    add_given(&call, CPOOL_GRAD | CPOOL_WEIGHT, dweight, "the gradient of weight")
    add_given(&call, CPOOL_GRAD | CPOOL_BIAS, dbias, "the gradient of bias")
    if "x" in wanted:
        if dx is None:
            dx = new_result(&call, CPOOL_GRAD | CPOOL_X, s.x)
        add_array(&call, CPOOL_GRAD | CPOOL_X, dx, "out")
    execute(&call, CPOOL_BACKWARD)
    return dx, dweight, dbias
