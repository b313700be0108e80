"""Progress over many items: a bar on a terminal, a few lines in a log."""

import contextlib
import sys
import time

LINES = 10
PAUSE_S = 2.0  # lines of a log are at least so far apart


class ItemProgress:
    """Counts items: `with ItemProgress(len(files), "file") as progress: ...; progress.advance()`.

    On a terminal it shows tqdm's bar, and what is logged or written meanwhile appears above it. In a file or a pipe it
    writes at most LINES lines, one per tenth and no two within PAUSE_S, so that short work writes none.
    """

    def __init__(self, total: int, unit: str, *, label: str = "", shown: bool = True, leave: bool = True):
        """Starts a bar of items called `unit`, after a `label`, unless `shown` is False. With `leave` the bar stays."""
        self._total, self._unit, self._label = total, unit, label
        self._leave, self._done, self._tenth = leave, 0, 0
        self._is_shown = shown and total > 0
        self._start = self._last = time.monotonic()
        self._bar = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "ItemProgress":
        if self._is_shown and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm
            from tqdm.contrib.logging import logging_redirect_tqdm

            self._open.enter_context(logging_redirect_tqdm())
            bar = tqdm(total=self._total, unit=self._unit, desc=self._label or None, leave=self._leave)
            self._bar = self._open.enter_context(bar)
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()
        self._bar = None

    def advance(self) -> None:
        """Counts one item as done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
            return
        tenth, now = LINES * self._done // max(1, self._total), time.monotonic()
        if self._is_shown and tenth > self._tenth and now - self._last >= PAUSE_S:
            self._tenth, self._last = tenth, now
            label = f"{self._label}: " if self._label else ""
            line = f"{label}{self._unit} {self._done} of {self._total}, {now - self._start:.0f} s"
            print(line, file=sys.stderr, flush=True)

    def write(self, text: str, *, error: bool = False) -> None:
        """Prints lines on the standard output, or the standard error, above the bar if there is one."""
        stream = sys.stderr if error else sys.stdout
        if self._bar is None:
            print(text, file=stream)
        else:
            self._bar.write(text, file=stream)
