"""Errors that a person at the terminal can act on; the mains print them without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a folder, a setting. The message says what and what to do."""

    exit_code = 1


class UsageError(UserError):
    """The command line itself is wrong."""

    exit_code = 2
