"""The two failures that a user can cause, each told in one line."""


class UsageError(ValueError):
    """A request that cannot be carried out as it was asked; the command line exits with 2.

    The message says what was expected, what came and what to do, in one line.
    """


class RunError(RuntimeError):
    """A run that could not be finished; the command line exits with 1.

    The message says what was expected, what came and what to do, in one line.
    """


class NotFiniteError(RunError):
    """A training whose loss is not a number any more: its own values are the cause."""
