"""Which of several forms of the same work is the fastest here."""

import time
from collections.abc import Callable, Sequence


def fastest(call: Callable[[Callable], object], forms: Sequence[Callable], repeats: int = 3) -> Callable:
    """The form whose best `call(form)` of a few is the shortest, after one call to warm up."""

    def seconds(form: Callable) -> float:
        times = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            call(form)
            times.append(time.perf_counter() - start)
        return min(times[1:])

    return min(forms, key=seconds)
