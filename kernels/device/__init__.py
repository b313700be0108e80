"""Sparse convolution, one-ring attention, read-out and pooling in JAX."""

from kernels.lazy import door

_PLACES = {
    "Rings": "one_ring",
    "Trilinear": "trilinear",
    "Trace": "pooling",
    "submanifold_conv": "sparse_conv.api",
    "strided_conv": "sparse_conv.api",
    "transposed_conv": "sparse_conv.api",
    "one_ring_attention": "attention.api",
    "gather_sources": "one_ring",
    "gather_targets": "one_ring",
    "one_ring_mean": "one_ring",
    "one_ring_max": "one_ring",
    "one_ring_vector_attention": "one_ring",
    "trilinear_read_out": "trilinear",
    "mean_pool": "pooling",
    "unpool": "pooling",
    "conv2d": "image_conv",
}
__getattr__, __dir__ = door(__name__, _PLACES)
