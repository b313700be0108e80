"""Arrays that share one allocation."""

import numpy as np

from kernels.host.memory import empty_together


def test_arrays_have_their_forms_and_share_nothing():
    wanted = [((5, 3), np.float64), (7, np.uint8), (0, np.int64), ((0, 4), np.int32), (3, np.int32), ((2, 2), np.int64)]
    arrays = empty_together(*wanted)
    for number, (array, (shape, dtype)) in enumerate(zip(arrays, wanted)):
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.size == 0 or array.ctypes.data % 64 == 0
        array[...] = number + 1
    for number, array in enumerate(arrays):
        assert (array == number + 1).all()


def test_one_allocation():
    first, second = empty_together((10, np.float64), (10, np.int32))
    assert first.base is not None
    assert first.base is second.base
