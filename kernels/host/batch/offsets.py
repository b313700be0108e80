"""Renumbering of indices when the rows of several scenes are put one after the other, and sorting by row number."""

from collections.abc import Sequence

import numpy as np

from kernels.host.jit import compiled

INT32_MAX = 2**31 - 1


def row_starts(what: str, counts: Sequence[int], rows: int, spare: int = 1) -> list[int]:
    """First row of every scene and, last, the number of all real rows.

    Args:
        what: name of the rows, for the message.
        counts: B numbers of real rows.
        rows: rows with padding.
        spare: padding rows needed at least.

    Returns:
        B + 1 integers.

    Raises:
        ValueError: the rows do not suffice or exceed int32.
    """
    starts = [0]
    for count in counts:
        starts.append(starts[-1] + int(count))
    if starts[-1] + spare > rows:
        needed = f"{starts[-1]} + {spare}" if spare else f"{starts[-1]}"
        raise ValueError(f"{len(counts)} scenes need {needed} {what}, but only {rows} are given")
    if rows > INT32_MAX:
        raise ValueError(f"{rows} {what} exceed int32")
    return starts


def join_indices(
    tables: Sequence[np.ndarray],
    shape: tuple[int, ...],
    counts: Sequence[int],
    starts: Sequence[int],
    fill: int,
    absent_allowed: bool = True,
) -> np.ndarray:
    """Tables of row numbers, one after the other, each shifted to where its scene's rows start.

    Args:
        tables: B x int32 [n_b, ...], row numbers in 0..counts[b]-1, -1 absent.
        shape: shape of the result, its first length at least the sum of n_b.
        counts: B numbers of rows that the tables point into.
        starts: where those rows start (a longer list is fine).
        fill: value of absent and padding entries.
        absent_allowed: whether -1 may occur.

    Returns:
        int32 array of that shape.

    Raises:
        ValueError: a table of another shape, or an entry outside the rows of its scene.
    """
    scenes = [(count, count, start, 0) for count, start in zip(counts, starts)]
    return _join(tables, shape, scenes, fill, absent_allowed)


def join_edge_ids(
    tables: Sequence[np.ndarray],
    shape: tuple[int, ...],
    slots: tuple[Sequence[int], Sequence[int]],
    entries: tuple[Sequence[int], Sequence[int]],
    num_slots: int,
    fill: int,
) -> np.ndarray:
    """Tables of flat edge ids, one after the other; in each scene slots come first, overflow entries after them.

    Args:
        tables: B x int32 [n_b, ...], flat edge ids, -1 absent.
        shape: shape of the result, its first length at least the sum of n_b.
        slots: for each scene how many slots (vertices * K) it has, and where they start in the batch.
        entries: for each scene how many overflow entries it has, and where they start in the batch's list.
        num_slots: slots of the batch, real and padding; its overflow entries follow them.
        fill: value of absent and padding entries.

    Returns:
        int32 array of that shape.

    Raises:
        ValueError: a table of another shape, or an id outside the edges of its scene.
    """
    scenes = [
        (slot_count, slot_count + entry_count, slot_start, num_slots + entry_start - slot_count)
        for slot_count, slot_start, entry_count, entry_start in zip(*slots, *entries)
    ]
    return _join(tables, shape, scenes, fill, absent_allowed=True)


def argsort_rows(keys: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Stable argsort of row numbers, by counting.

    Args:
        keys: int32 [N], each in 0..num_rows-1.
        num_rows: number of rows that the keys point into.

    Returns:
        order int32 [N] and `keys[order]` int32 [N].

    Raises:
        ValueError: a key outside the rows.
    """
    keys = np.ascontiguousarray(keys, np.int32)
    starts = np.zeros(num_rows + 1, np.int32)
    order, sorted_keys = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    wrong = _counting_sort(keys, starts, order, sorted_keys)
    if wrong >= 0:
        raise ValueError(f"entry {wrong} points at row {keys[wrong]} of {num_rows}")
    return order, sorted_keys


def _join(
    tables: Sequence[np.ndarray],
    shape: tuple[int, ...],
    scenes: Sequence[tuple[int, int, int, int]],
    fill: int,
    absent_allowed: bool,
) -> np.ndarray:
    if len(tables) != len(scenes):
        raise ValueError(f"{len(tables)} tables, but counts of {len(scenes)} scenes")
    if sum(map(len, tables)) > shape[0]:
        raise ValueError(f"tables of {sum(map(len, tables))} rows do not fit {shape[0]}")
    joined = np.empty(shape, np.int32)
    row, lowest = 0, -1 if absent_allowed else 0
    for scene, table in enumerate(tables):
        if table.shape[1:] != shape[1:] or table.dtype != np.int32:
            raise ValueError(f"scene {scene}: rows must be int32 {shape[1:]}, got {table.dtype} {table.shape[1:]}")
        split, limit, shift, shift_above = scenes[scene]
        values = np.ascontiguousarray(table).reshape(-1)
        part = joined[row : row + len(table)].reshape(-1)
        if _renumber(values, (split, limit, lowest), (shift, shift_above), fill, part):
            wrong = int(np.flatnonzero((values < lowest) | (values >= limit))[0])
            place = wrong * len(table) // values.size
            raise ValueError(f"scene {scene}, row {place}: entry {values[wrong]} is outside the {limit} of the scene")
        row += len(table)
    joined[row:] = fill
    return joined


@compiled
def _renumber(values, bounds, shifts, fill, out):
    """Shifts values below `split` by one amount, those above by another; returns whether an entry is out of range."""
    split, limit, lowest = bounds
    shift, shift_above = shifts
    wrong = False
    for entry in range(values.shape[0]):
        value = values[entry]
        wrong |= (value < lowest) | (value >= limit)
        shifted = value + (shift if value < split else shift_above)
        out[entry] = shifted if value >= 0 else fill
    return wrong


@compiled
def _counting_sort(keys, starts, order, sorted_keys):
    """Fills order and sorted_keys; returns the first entry outside the rows, or -1."""
    num_rows = starts.shape[0] - 1
    for entry in range(keys.shape[0]):
        if not 0 <= keys[entry] < num_rows:
            return entry
        starts[keys[entry] + 1] += 1
    for row in range(num_rows):
        starts[row + 1] += starts[row]
    for entry in range(keys.shape[0]):
        place = starts[keys[entry]]
        starts[keys[entry]] = place + 1
        order[place] = entry
        sorted_keys[place] = keys[entry]
    return -1
