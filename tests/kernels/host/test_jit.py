"""The names under which compiled kernels are cached, and arrays that share one allocation."""

import numpy as np

from kernels.host import jit
from kernels.host.simplify.rounds import _round


def test_a_change_in_a_sub_folder_changes_the_checksum(tmp_path):
    source = tmp_path / "kernels" / "host" / "simplify" / "cost.py"
    source.parent.mkdir(parents=True)
    checksums = set()
    for text in ("A = 1\n", "A = 2\n"):
        source.write_text(text)
        jit.checksum.cache_clear()
        checksums.add(jit.checksum(tmp_path / "kernels"))
    jit.checksum.cache_clear()
    assert len(checksums) == 2


def test_the_name_of_a_kernel_holds_the_checksum_of_the_whole_package():
    assert jit.PACKAGE.name == "kernels"
    assert _round.py_func.__qualname__ == f"_round_{jit.checksum(jit.PACKAGE):08x}"


def test_arrays_have_their_forms_and_share_nothing():
    wanted = [((5, 3), np.float64), (7, np.uint8), (0, np.int64), ((0, 4), np.int32), (3, np.int32), ((2, 2), np.int64)]
    arrays = jit.empty_together(*wanted)
    for number, (array, (shape, dtype)) in enumerate(zip(arrays, wanted)):
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.size == 0 or array.ctypes.data % 64 == 0
        array[...] = number + 1
    for number, array in enumerate(arrays):
        assert (array == number + 1).all()


def test_one_allocation():
    first, second = jit.empty_together((10, np.float64), (10, np.int32))
    assert first.base is not None
    assert first.base is second.base
