"""Errors that a person at the terminal can act on; `flags.run_main` prints them without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a folder, a setting. The message says what and what to do."""

    exit_code = 1


class UsageError(UserError):
    """The command line itself is wrong."""

    exit_code = 2


class CheckpointError(UserError):
    """A checkpoint cannot be written, found, read or used."""


class DiskFull(CheckpointError):
    """There is no room for a checkpoint."""
