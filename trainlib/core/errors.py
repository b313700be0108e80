"""Errors that a person at the terminal can act on; the mains print them without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a folder, a setting. The message names cause and remedy."""

    exit_code = 1


class InputError(UserError, ValueError):
    """A file that was given holds what it must not: the root of MeshError and SceneError."""


class UsageError(UserError):
    """The command line itself is wrong."""

    exit_code = 2


class CheckpointError(UserError):
    """A checkpoint cannot be written, found, read or used."""


class Stopped(Exception):
    """Ends a run whose state has been saved, or that has nothing to lose; the mains exit with code 75."""
