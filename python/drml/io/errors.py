"""The one exception that means: the user's input is at fault, and here is the way out."""


class UserError(Exception):
    """A fault in what the user gave: a file, an option, a data set.

    The message names the file, the fault and the way out, on one line; the command line prints it
    without a traceback and exits with status 1.
    """


class UsageError(UserError):
    """An option is wrong whatever the files hold; the command line exits with status 2."""
