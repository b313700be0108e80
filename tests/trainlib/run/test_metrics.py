"""metrics.jsonl over interruptions, and the TensorBoard files."""

import json
import resource

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from trainlib.core.errors import UserError
from trainlib.run.metrics import FILE_NAME, MetricWriter, read_metrics


def write_run(folder, start, stop):
    """A run from step `start` on: a loss each step, an evaluation at even ones."""
    with MetricWriter(folder, start) as writer:
        for step in range(start + 1, stop + 1):
            writer.write(step, {"loss": 1 / step})
            if step % 2 == 0:
                writer.write(step, {"val/mean_iou": np.float32(step / 8), "scenes": np.int64(step)})


def without_time(folder):
    return [{key: value for key, value in line.items() if key != "time"} for line in read_metrics(folder)]


def test_a_resumed_runs_file_equals_the_uninterrupted_ones(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir()
    resumed.mkdir()
    write_run(whole, 0, 8)
    write_run(resumed, 0, 6)
    with open(resumed / FILE_NAME, "a") as file:
        file.write('{"step": 7, "time": 1.5, "lo')
    write_run(resumed, 4, 8)
    assert without_time(resumed) == without_time(whole)
    assert len(without_time(whole)) == 12


def test_a_run_from_the_start_drops_what_came_before(tmp_path):
    write_run(tmp_path, 0, 4)
    write_run(tmp_path, 0, 2)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 2]


def test_lines_are_on_the_disk_before_close(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(3, {"loss": 0.5})
        (line,) = read_metrics(tmp_path)
    assert (line["step"], line["loss"]) == (3, 0.5)
    assert line["time"] > 1.7e9


def test_what_finds_no_room_is_written_later(tmp_path, caplog):
    """Files may not grow beyond 1 KiB for a while, in the middle of a line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MetricWriter(tmp_path) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
        try:
            for step in range(40):
                writer.write(step, {"loss": step / 2})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / FILE_NAME).stat().st_size == 1024
        assert writer.has(3, "loss")
        assert not writer.has(3, "val/mean_iou")
    assert "bytes wait for room" in caplog.text
    assert [line["loss"] for line in read_metrics(tmp_path)] == [step / 2 for step in range(40)]
    (path,) = tmp_path.glob("events.out.tfevents.*")
    assert len(list(records(path.read_bytes()))) == 41


def test_numbers_stay_valid_json(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"nan": float("nan"), "inf": np.float32("inf"), "count": np.int32(7)})

    def refuse(constant):
        raise AssertionError(constant)

    line = json.loads((tmp_path / FILE_NAME).read_text(), parse_constant=refuse)
    assert (line["nan"], line["inf"]) == (None, None)
    assert '"count": 7}' in (tmp_path / FILE_NAME).read_text()


def test_refuses_reserved_names_and_arrays(tmp_path):
    with MetricWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match="time"):
            writer.write(1, {"time": 3.0})
        with pytest.raises(TypeError, match="'words'"):
            writer.write(1, {"words": "seven"})
    assert read_metrics(tmp_path) == []


def test_a_foreign_line_is_named(tmp_path):
    (tmp_path / FILE_NAME).write_text('{"step": 1}\n{"loss": 2}\n')
    with pytest.raises(UserError, match="line 2"):
        MetricWriter(tmp_path, 1)


def test_the_event_files_hold_the_same_numbers(tmp_path):
    write_run(tmp_path, 0, 4)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    events = [Event.FromString(record) for record in records(path.read_bytes())]
    found = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    expected = [
        (line["step"], name, pytest.approx(value))
        for line in read_metrics(tmp_path)
        for name, value in line.items()
        if name not in ("step", "time")
    ]
    assert found == expected


def records(data):
    """Splits a TFRecord file: length u64, crc of it u32, payload, crc of it u32."""
    while data:
        length = int.from_bytes(data[:8], "little")
        payload = data[12 : 12 + length]
        assert masked_crc32c(payload) == int.from_bytes(data[12 + length : 16 + length], "little")
        yield payload
        data = data[16 + length :]
