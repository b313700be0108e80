"""All compiled kernels; importing this file registers them."""

from kernels.cpu_ffi.loops import attention, dense_conv, simd, sparse_conv, weighted_sums
from kernels.cpu_ffi.runtime import thread_pool

LANES = simd.LANES
"""float32 numbers per vector register; features come in whole ones."""

thread_pool.register("gather_gemm", sparse_conv.multiply)
thread_pool.register("slot_gemm", sparse_conv.multiply)
thread_pool.register("gather_outer", sparse_conv.sum_outer)
thread_pool.register("edge_dots", attention.dots)
thread_pool.register("edge_sums", attention.sums)
thread_pool.register("table_sums", weighted_sums.table_sums)
thread_pool.register("segment_sums", weighted_sums.segment_sums)
thread_pool.register("dense_conv", dense_conv.convolve)
thread_pool.register("dense_outer", dense_conv.sum_outer)
