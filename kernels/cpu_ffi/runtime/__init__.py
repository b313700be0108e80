"""How Numba's machine code becomes an XLA FFI target: ABI, memory, threads, cache, registry."""
