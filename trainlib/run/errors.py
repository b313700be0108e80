"""Errors that a person at the terminal can act on; `flags.run_main` prints them without a traceback."""

from trainlib.core.errors import UsageError, UserError

__all__ = ["CheckpointError", "DiskFull", "UsageError", "UserError"]


class CheckpointError(UserError):
    """A checkpoint cannot be written, found, read or used."""


class DiskFull(CheckpointError):
    """There is no room for a checkpoint."""
