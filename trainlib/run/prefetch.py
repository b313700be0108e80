"""Batches computed ahead of the consumer, in order."""

import collections
import concurrent.futures
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(contextlib.AbstractContextManager, Iterator[T], Generic[T]):
    """Iterator over `make_batch(step)` for `step` in range(start, stop), `depth` batches ahead, by `workers` threads.

    `make_batch` is called from several threads at once and must be a pure function of the step, so that a run resumes
    by starting from another step. An error of it is raised at the step it belongs to, and ends the iteration. Use it in
    a `with` block, or call `close`.

    Attributes:
        waited_s: seconds that the consumer has waited for batches, in total.
    """

    def __init__(self, make_batch: Callable[[int], T], start: int, stop: int, *, workers: int = 2, depth: int = 4):
        if workers < 1 or depth < 1:
            raise ValueError(f"prefetch needs at least one worker and one batch ahead, got {workers} and {depth}")
        self.waited_s = 0.0
        pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
        self._pool, self._submitted = pool, (pool.submit(make_batch, step) for step in range(start, stop))
        self._ahead = collections.deque(itertools.islice(self._submitted, depth))

    def __next__(self) -> T:
        if not self._ahead:
            self.close()
            raise StopIteration
        began = time.monotonic()
        try:
            batch = self._ahead.popleft().result()
        except BaseException:
            self.close()
            raise
        finally:
            self.waited_s += time.monotonic() - began
        self._ahead.extend(itertools.islice(self._submitted, 1))
        return batch

    def close(self) -> None:
        """Drops the batches not yet taken and waits for the ones in work. May be called again."""
        self._submitted = iter(())
        self._ahead.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __exit__(self, *exception: object) -> None:
        self.close()
