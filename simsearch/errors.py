"""The failures that a user can cause, each told in one line."""


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

    def __init__(self, what: str) -> None:
        """Says what is not finite, and what helps."""
        super().__init__(
            f"{what}; lower optimizer.learning_rate, set optimizer.clip_norm, or, with "
            "model.dtype=bfloat16, try float32"
        )


def one_line(said: object, *, most: int = 300) -> str:
    """Returns what a library says as one line of so many characters, its type where it is mute."""
    return " ".join(str(said).split())[:most] or type(said).__name__
