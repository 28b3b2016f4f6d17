"""A log of the images that could not be read, shared by the threads that read them."""

from __future__ import annotations

import threading

from simsearch import errors


class CorruptLog:
    """Collects the name and the reason of every unreadable image, each name once.

    Attributes:
        is_failure: Whether they were a failure, whose error named them.
    """

    def __init__(self) -> None:
        """Starts an empty log."""
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}
        self._may_pass = False
        self.is_failure = False

    def add(self, name: str, reason: str, *, may_pass: bool = False) -> None:
        """Records that image `name` cannot be read; the first reason stays.

        Args:
            name: What the source calls the image.
            reason: Why, in a few words.
            may_pass: Whether it lay with the disk or the network, and not with the image.
        """
        with self._lock:
            self._reasons.setdefault(name, reason)
            self._may_pass |= may_pass

    def __len__(self) -> int:
        """Returns the number of different unreadable images."""
        with self._lock:
            return len(self._reasons)

    @property
    def may_pass(self) -> bool:
        """Whether some may be readable the next time, so that nothing may be concluded for good."""
        with self._lock:
            return self._may_pass

    @property
    def reasons(self) -> dict[str, str]:
        """A copy of the log: the reason of each image, by name in sorted order."""
        with self._lock:
            return dict(sorted(self._reasons.items()))

    def check(self, on_corrupt: str) -> None:
        """Raises RunError with the first images where there are any and `on_corrupt` is "fail"."""
        if on_corrupt == "fail" and len(self):
            self.is_failure = True
            raise errors.RunError(
                f"{self.summary().removeprefix('skipped ')}; mend or remove them, or go on "
                "without them with --config.data.on_corrupt=skip"
            )

    def summary(self, *, num_named: int = 5) -> str:
        """Returns one line: how many images were skipped, the first few with their reasons."""
        reasons = self.reasons
        if not reasons:
            return "no unreadable images"
        named = [f"{name} ({reason})" for name, reason in list(reasons.items())[:num_named]]
        more = len(reasons) - len(named)
        tail = f", and {more} more" if more else ""
        noun = "image" if len(reasons) == 1 else "images"
        return f"skipped {len(reasons)} unreadable {noun}: {', '.join(named)}{tail}"
