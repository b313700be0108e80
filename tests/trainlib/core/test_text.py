"""Text files of every editor, lists of names, and suggestions."""

import pytest

from trainlib.core.text import decode, did_you_mean, read_names, read_text

TEXT = "living room/scan 1\nKüche\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_text_of_every_encoding_is_read(encoding):
    assert decode(TEXT.encode(encoding)) == TEXT


def test_a_big_endian_mark_is_known():
    assert decode(b"\xfe\xff" + TEXT.encode("utf-16-be")) == TEXT


@pytest.mark.parametrize("content", [b"a\0b\0\0\0\0\0" + bytes(64), b"\xff\xfea\0b"])
def test_what_is_not_text_is_refused_by_name(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"list.txt: .*UTF-8"):
        read_text(tmp_path / "list.txt")


def test_names_keep_blanks_and_order(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeffb b\r\n\r\n  a\t\r\nb b\r\n".encode())
    assert read_names(tmp_path / "list.txt") == ["b b", "a", "b b"]


def test_the_nearest_word_is_suggested():
    assert did_you_mean("Batchsize", ["seed", "batch_size"]) == "; did you mean 'batch_size'?"
    assert did_you_mean("xyz", ["seed", "batch_size"]) == ""
