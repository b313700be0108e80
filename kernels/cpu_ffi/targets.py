"""All compiled kernels; importing this file registers them."""

from kernels.cpu_ffi import attention, dense_conv, micro_kernels, sharing, sparse_conv, trilinear

LANES = micro_kernels.LANES
"""float32 numbers per vector register; features come in whole ones."""

sharing.register("gather_gemm", sparse_conv.multiply)
sharing.register("slot_gemm", sparse_conv.multiply)
sharing.register("gather_outer", sparse_conv.sum_outer)
sharing.register("edge_dots", attention.dots)
sharing.register("edge_sums", attention.sums)
sharing.register("table_sums", trilinear.table_sums)
sharing.register("segment_sums", trilinear.segment_sums)
sharing.register("dense_conv", dense_conv.convolve)
sharing.register("dense_outer", dense_conv.sum_outer)
