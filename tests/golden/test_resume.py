"""Stopped runs of an earlier time continue to the stored end, on 1, 2 and 4 devices."""

import pytest

from tests.golden import resume
from tests.golden.files import machine, read_json

STORED = read_json("resumed.json")
COUNTED = ("val/", "forgotten", "mask/changed")
"""Figures that count vertices, images or weights by rank: a last bit can move one of them by a whole unit."""


@pytest.fixture(scope="module", params=resume.DEVICES)
def ended(request, tmp_path_factory):
    """(what was stored for a number of devices, what the runs end with now)."""
    found = resume.resume(tmp_path_factory.mktemp("resumed"), request.param)
    return STORED["ends"][str(request.param)], found


@pytest.mark.parametrize("run", resume.TRAIN)
def test_a_stopped_run_continues_to_the_stored_arrays(ended, run):
    """To the bit on the processor and with the jax that the golden file names, else by their norms.

    The stored ends on 1, 2 and 4 devices differ by the order of their sums alone: norms by 4.4e-5 of their value or by
    1.7e-6 at most. Another processor or XLA reorders sums too; it gets twice and six times that.
    """
    stored, found = (ends[run]["arrays"] for ends in ended)
    assert list(found) == list(stored)
    if machine() == STORED["machine"]:
        differing = [name for name in stored if stored[name].split()[0] != found[name].split()[0]]
        assert not differing, f"{len(differing)} of {len(stored)} arrays have other bits"
    norms = [{name: float(text.split()[1]) for name, text in arrays.items()} for arrays in (found, stored)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("run", resume.TRAIN)
def test_a_stopped_run_writes_the_stored_metrics(ended, run):
    """To the bit on the processor and with the jax of the golden file; else within 1e-4, 50 times what 1, 2 and 4
    devices differ by."""
    stored, found = (ends[run]["metrics"] for ends in ended)
    assert [list(line) for line in found] == [list(line) for line in stored]
    if machine() == STORED["machine"]:
        assert found == stored
    for now, before in zip(found, stored):
        for name in before:
            if not name.startswith(COUNTED):
                assert now[name] == pytest.approx(before[name], rel=1e-4), (name, before["step"])
