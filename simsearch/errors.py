"""The failures that a user can cause, each told in one line."""

import contextlib
from collections.abc import Iterator


class UsageError(ValueError):
    """A request that cannot be carried out as it was asked; the command line exits with 2.

    The message says what was expected, what came and what to do, in one line.
    """


class RunError(RuntimeError):
    """A run that could not be finished; the command line exits with 1.

    The message says what was expected, what came and what to do, in one line.
    """


class CorruptImage(ValueError):
    """Bytes that are no readable image; the message is the reason, short and in one line.

    A file of many is passed over by whoever reads them all, so it is no `UsageError` by itself.
    """


class NotFiniteError(RunError):
    """A training whose loss is not a number any more: its own values are the cause."""

    def __init__(self, what: str) -> None:
        """Says what is not finite, and what helps."""
        super().__init__(
            f"{what}; lower optimizer.learning_rate, set optimizer.clip_norm, or, with "
            "model.dtype=bfloat16, try float32"
        )


class OutOfMemoryError(RunError):
    """A run that asked for more memory than the device, or the machine, has."""


@contextlib.contextmanager
def naming_image(name: str) -> Iterator[None]:
    """Says in the block's CorruptImage which image it is; "" says nothing."""
    try:
        yield
    except CorruptImage as error:
        if not name:
            raise
        raise CorruptImage(f"{name}: {error}") from error


@contextlib.contextmanager
def out_of_memory(advice: str) -> Iterator[None]:
    """Tells it in one line where the block, or the function, runs out of memory.

    Args:
        advice: What to do then.

    Raises:
        OutOfMemoryError: Instead of what Python, NumPy or jax raise.
    """
    try:
        yield
    except RunError:
        raise
    # Jax's own error is a RuntimeError; to name it here would have every mode wait for jax.
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = one_line(error, most=200).removeprefix("RESOURCE_EXHAUSTED: ").rstrip(".")
        raise OutOfMemoryError(f"the memory does not suffice: {reason}; {advice}") from error


def one_line(said: object, *, most: int = 300) -> str:
    """Returns what a library says as one line of so many characters, its type where it is mute."""
    return " ".join(str(said).split())[:most] or type(said).__name__
