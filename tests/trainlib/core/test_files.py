"""JSON documents are written whole, and only those that every reader of JSON takes."""

import json

import pytest

from trainlib.core.files import write_json


def test_a_document_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"mean": 0.5, "few": None})
    assert json.loads(path.read_text()) == {"mean": 0.5, "few": None}
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, {"mean": value})
    assert json.loads(path.read_text()) == {"mean": 0.5, "few": None}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
