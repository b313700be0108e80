"""Batches computed ahead of the consumer, in order."""

import collections
import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T], Iterator[T]):
    """Iterator over `make_batch(step)` for `step` in range(start, stop), computed by threads and given in order.

    A batch is a pure function of its step, so a run resumes by starting from another step. An error of `make_batch` is
    raised at the step it belongs to, and ends the iteration. Use it in a `with` block, or call `close`.
    """

    def __init__(self, make_batch: Callable[[int], T], start: int, stop: int, workers: int, depth: int):
        if workers < 1 or depth < 1:
            raise ValueError(f"prefetch needs at least one worker and one batch ahead, got {workers} and {depth}")
        self.waited_s = 0.0
        """Seconds that the consumer has waited for batches, in total."""
        self._make_batch = make_batch
        self._steps = iter(range(start, stop))
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
        self._ahead: collections.deque[concurrent.futures.Future[T]] = collections.deque()
        for _ in range(depth):
            self._submit()

    def _submit(self) -> None:
        step = next(self._steps, None)
        if step is not None:
            self._ahead.append(self._pool.submit(self._make_batch, step))

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
        self._submit()
        return batch

    def close(self) -> None:
        """Drops the batches not yet taken and waits for the ones in work. May be called again."""
        self._steps = iter(())
        self._ahead.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Prefetch[T]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def prefetch(make_batch: Callable[[int], T], start: int, stop: int, workers: int = 2, depth: int = 4) -> Prefetch[T]:
    """Computes `make_batch(step)` for `step` in range(start, stop) with `workers` threads, `depth` batches ahead.

    `make_batch` is called from several threads at once and must be a pure function of the step.
    """
    return Prefetch(make_batch, start, stop, workers, depth)
