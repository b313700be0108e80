"""The names under which compiled kernels are cached."""

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
