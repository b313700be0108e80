"""Worker processes that may die: the task one was killed on is reported, all others are done."""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from trainlib.core.progress import ItemProgress


class WorkerDied(NamedTuple):
    """The process that worked on a task ended, with its exit status or minus the signal that killed it."""

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code == -signal.SIGTERM or self.exit_code >= 0:
            return f"its worker process ended with exit code {self.exit_code}"
        hint = ", perhaps for lack of memory" if self.exit_code == -9 else ""
        return f"its worker process was killed by signal {-self.exit_code}{hint}"


class _Worker:
    """A spawned process and the task it has."""

    def __init__(self, function: Callable):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()
        self.task: int | None = None

    def give(self, number: int, task: Any) -> None:
        self.task = number
        with contextlib.suppress(BrokenPipeError):  # it is dead already; the next wait finds its end of the pipe closed
            self.connection.send(task)

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def run_in_workers(function: Callable, tasks: Sequence, workers: int) -> Iterator[tuple[int, Any]]:
    """Yields (number, function(task)) as the tasks are done, or (number, WorkerDied) where a process died.

    A dead process is replaced. Closing the generator stops all processes. `function` must be importable: it is pickled
    by name. With 0 `workers` the tasks run in this process.
    """
    if workers == 0:
        for number, task in enumerate(tasks):
            yield number, function(task)
        return
    waiting = list(reversed(range(len(tasks))))
    team = []
    try:
        while waiting or any(worker.task is not None for worker in team):
            for worker in [w for w in team if w.task is None][: len(waiting)]:
                number = waiting.pop()
                worker.give(number, tasks[number])
            while waiting and len(team) < workers:
                number = waiting.pop()
                team.append(_Worker(function))
                team[-1].give(number, tasks[number])
            busy = {worker.connection: worker for worker in team if worker.task is not None}
            for connection in wait(list(busy)):
                worker = busy[connection]
                number, worker.task = worker.task, None
                try:
                    result = connection.recv()
                except (EOFError, ConnectionResetError):
                    team.remove(worker)
                    worker.process.join()
                    result = WorkerDied(worker.process.exitcode)
                yield number, result
    finally:
        for worker in team:
            worker.stop()


def run_all(
    function: Callable,
    tasks: Sequence,
    workers: int,
    *,
    died: Callable,
    show: Callable,
    error: bool,
    **progress_options,
) -> list:
    """The results of all tasks in their order, with progress.

    Args:
        died: makes the result of a task whose process died, from the task and a text of cause and remedy.
        show: the lines to print for a result as it comes, "" for none; with `error` on the standard error.
        progress_options: of `ItemProgress`.
    """
    results: dict[int, Any] = {}
    running = run_in_workers(function, tasks, min(workers, len(tasks)))
    with contextlib.closing(running), ItemProgress(len(tasks), **progress_options) as progress:
        for number, result in running:
            if isinstance(result, WorkerDied):
                result = died(tasks[number], f"{result}. Try fewer --workers.")
            results[number] = result
            if text := show(result):
                progress.write(text, error=error)
            progress.advance()
    return [results[number] for number in range(len(tasks))]


def _serve(connection: Connection, function: Callable) -> None:
    """A worker's life: tasks until the other end closes. Ctrl-C is the parent's to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionError):
            return
        result = function(task)
        try:
            connection.send(result)
        except ConnectionError:  # the parent was killed
            return
