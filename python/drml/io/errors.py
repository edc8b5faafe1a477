"""The exceptions for faults in what the user gave."""


class UserError(Exception):
    """A fault in what the user gave: a file, an option or a data set.

    The message is one line that names the file, the fault and the way out. The command line prints it
    without a traceback and exits with status 1.
    """


class UsageError(UserError):
    """An option that is wrong whatever the files contain; the command line exits with status 2."""
