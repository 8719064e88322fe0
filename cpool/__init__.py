"""Pooling and batch normalization, forward and backward, at memory speed, without a framework.

An operator is called like a ufunc on arrays of float32 or float64, in whatever layout they are:

>>> import numpy as np, cpool
>>> x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
>>> y = cpool.max_pool(x, 3, stride=2, padding=1)
>>> y.shape
(1, 3, 4, 4)

Its ``forward`` also returns what its ``backward`` needs:

>>> y, saved = cpool.max_pool.forward(x, 3, stride=2, padding=1)
>>> dx = cpool.max_pool.backward(np.ones_like(y), saved)
>>> dx.shape
(1, 3, 8, 8)
"""

from cpool._config import (
    get_include,
    get_num_threads,
    isa,
    isas,
    num_threads,
    set_num_threads,
    show_config,
    using_isa,
)
from cpool._core import __version__
from cpool._windows import adaptive, whole
from cpool.literature import (
    ada_pool,
    clipped_weights,
    dpp_pool,
    dynamic_k,
    gated_pool,
    kmax_pool,
    lip_pool,
    mixed_pool,
    rank_pool,
    soft_pool,
    softmax_weights,
    stochastic_pool,
    tree_pool,
)
from cpool.norm import (
    Moments,
    RunningStats,
    Sums,
    batch_norm,
    fold_batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    moments,
    rms_norm,
)
from cpool.pooling import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    l2_pool,
    lp_pool,
    max_pool,
    max_unpool,
    min_pool,
)
from cpool.resampling import blur_pool, dpid_pool, fractional_max_pool, s3_pool

__all__ = [
    "Moments",
    "RunningStats",
    "Sums",
    "__version__",
    "ada_pool",
    "adaptive",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "batch_norm",
    "blur_pool",
    "clipped_weights",
    "dpid_pool",
    "dpp_pool",
    "dynamic_k",
    "fold_batch_norm",
    "fractional_max_pool",
    "gated_pool",
    "get_include",
    "get_num_threads",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "instance_norm",
    "isa",
    "isas",
    "kmax_pool",
    "l2_pool",
    "layer_norm",
    "lip_pool",
    "lp_pool",
    "max_pool",
    "max_unpool",
    "min_pool",
    "mixed_pool",
    "moments",
    "num_threads",
    "rank_pool",
    "rms_norm",
    "s3_pool",
    "set_num_threads",
    "show_config",
    "soft_pool",
    "softmax_weights",
    "stochastic_pool",
    "tree_pool",
    "using_isa",
    "whole",
]
