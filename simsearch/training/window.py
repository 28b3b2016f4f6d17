"""The steps between two looks at the device: their mean figures, and the alarms over them."""

import math
import time

import jax
import numpy as np

from simsearch import errors, progress
from simsearch.config import Config
from simsearch.training import step as step_lib


class Window:
    """Collects step metrics without waiting for them, until `close` fetches them at once."""

    def __init__(self, config: Config) -> None:
        """Starts empty.

        Args:
            config: The run's configuration, for the batch size and the alarms' bounds.
        """
        self._config = config
        self._metrics: list[step_lib.StepMetrics] = []
        self._warned = False
        self.means: dict[str, float] = {}
        self.restart_clock()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look: after `log_every_steps`, and after the very first step.

        The first step compiles; looked at alone, it stays out of the rate of the others.
        """
        return len(self._metrics) >= (self._config.train.log_every_steps if self.means else 1)

    def restart_clock(self) -> None:
        """Leaves the time since the last step, such as a validation's, out of the rate."""
        self._start = time.monotonic()

    def add(self, metrics: step_lib.StepMetrics) -> None:
        """Adds one step's metrics, still on their way from the device."""
        self._metrics.append(metrics)

    def close(self, step: int) -> dict[str, float]:
        """Waits for the device and returns the means over the window, with images per second.

        Args:
            step: The last step of the window.

        Raises:
            RunError: Where a loss is not finite; names its step.
        """
        fetched = jax.device_get(self._metrics)
        rows = step_lib.StepMetrics(*(np.asarray(column) for column in zip(*fetched, strict=True)))
        self._require_finite(rows.loss, first_step=step - len(fetched) + 1)
        means = {name: float(np.mean(column)) for name, column in rows._asdict().items()}
        if self.means:
            images = len(fetched) * self._config.train.batch_size
            means["images_per_second"] = images / max(time.monotonic() - self._start, 1e-9)
        self.means = means
        self._warn_of_collapse(step)
        self._metrics = []
        self.restart_clock()
        return dict(means)

    def _require_finite(self, losses: np.ndarray, *, first_step: int) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            raise errors.RunError(
                f"the loss of step {first_step + int(bad[0])} is {losses[bad[0]]}, not finite; "
                "lower optimizer.learning_rate, set optimizer.clip_norm, or, with "
                "model.dtype=bfloat16, try float32"
            )

    def _warn_of_collapse(self, step: int) -> None:
        loss = self._config.loss
        # What the loss of equal embeddings is: every distance is 0.
        level = math.log(2) if loss.soft_margin else loss.margin
        is_flat = self.means["spread"] < self._config.train.collapse_spread
        is_stuck = self.means["active_fraction"] > 0.99 and (
            abs(self.means["loss"] / level - 1) < 0.005
        )
        if self._warned or not (is_flat or is_stuck):
            return
        self._warned = True
        progress.log.warning(
            "the embeddings have collapsed at step %d: spread %.4f, loss %.4f (%.4f is the loss of "
            "equal embeddings). Lower optimizer.learning_rate, use loss.miner=batch_all or "
            "semi_hard in place of %s, or start from pretrained model.weights.",
            step,
            self.means["spread"],
            self.means["loss"],
            level,
            loss.miner,
        )
