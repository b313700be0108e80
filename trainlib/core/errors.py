"""Errors that a person at the terminal can act on; the mains print them without a traceback."""

import os


class UserError(Exception):
    """Something outside the program is wrong: a file, a folder, a setting. The message names cause and remedy."""

    exit_code = 1


class InputError(UserError, ValueError):
    """A file that was given cannot be used: which file, why, and what to do about it."""

    def __init__(self, file: str | os.PathLike, cause: str, remedy: str):
        super().__init__(str(file), cause, remedy)
        self.file, self.cause, self.remedy = str(file), cause, remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.cause}. {self.remedy}"


class UsageError(UserError):
    """The command line itself is wrong."""

    exit_code = 2


class CheckpointError(UserError):
    """A checkpoint cannot be written, found, read or used."""


class Stopped(Exception):
    """Ends a run whose state has been saved, or that has nothing to lose; the mains exit with code 75."""
