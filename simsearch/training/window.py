"""The steps between two looks at the device: their mean figures, and the alarms over them."""

import time

import jax
import numpy as np

from simsearch import errors, progress
from simsearch.config import Config
from simsearch.training import step as step_lib

# A triplet loss like that of equal embeddings is also what a network that knows no class yet has,
# so that it is an alarm only where the spread is small as well, in `train.collapse_spread`.
_STUCK_SPREADS = 10


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
        self._triplet_means: tuple[float, float] | None = None  # loss, active fraction
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
            NotFiniteError: Where a loss is not finite; names its step.
        """
        fetched = jax.device_get(self._metrics)
        rows = jax.tree.map(lambda *column: np.asarray(column), *fetched)
        self._require_finite(rows.loss, first_step=step - len(fetched) + 1)
        means = {name: float(np.mean(column)) for name, column in _columns(rows).items()}
        if self.means:
            images = len(fetched) * self._config.train.batch_size
            means["images_per_second"] = images / max(time.monotonic() - self._start, 1e-9)
        self.means = means
        term = rows.terms.get("triplet")
        self._triplet_means = term and tuple(float(np.mean(column)) for column in term)
        self._warn_of_collapse(step)
        self._metrics = []
        self.restart_clock()
        return dict(means)

    def _require_finite(self, losses: np.ndarray, *, first_step: int) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            raise errors.NotFiniteError(
                f"the loss of step {first_step + int(bad[0])} is {losses[bad[0]]}, not finite"
            )

    def _warn_of_collapse(self, step: int) -> None:
        is_collapsed = self._is_flat(1) or (self._is_flat(_STUCK_SPREADS) and self._is_stuck())
        was_warned, self._warned = self._warned, is_collapsed
        if was_warned or not is_collapsed:
            return
        advice = ["Lower optimizer.learning_rate", "start from pretrained model.weights"]
        options = self._config.loss
        if options.terms.triplet and options.triplet.miner not in ("batch_all", "semi_hard"):
            advice.insert(1, "use loss.triplet.miner=batch_all or semi_hard")
        triplet = ""
        if self._triplet_means is not None:
            triplet = (
                f", triplet loss {self._triplet_means[0]:.4f} where equal embeddings have "
                f"{self._equal_loss():.4f}"
            )
        progress.log.warning(
            "the embeddings have collapsed at step %d: spread %.4f, loss %.4f%s. %s, or %s.",
            step,
            self.means["spread"],
            self.means["loss"],
            triplet,
            ", ".join(advice[:-1]),
            advice[-1],
        )

    def _is_flat(self, spreads: float) -> bool:
        """Returns whether the embeddings' spread is below so many times the least that is well."""
        return self.means["spread"] < spreads * self._config.train.collapse_spread

    def _is_stuck(self) -> bool:
        """Returns whether the triplet loss sits where it is for equal embeddings."""
        figures = self._triplet_means
        if figures is None:
            return False
        loss, active_fraction = figures
        return active_fraction > 0.99 and abs(loss / self._equal_loss() - 1) < 0.005

    def _equal_loss(self) -> float:
        """Returns the triplet loss of equal embeddings, all of whose distances are 0."""
        options = self._config.loss.triplet
        return float(np.logaddexp(0, options.margin)) if options.soft_margin else options.margin


def _columns(rows: step_lib.StepMetrics) -> dict[str, np.ndarray]:
    """Returns the figures by name, each [steps]; those of single losses where there are several."""
    columns = rows._asdict()
    terms, accuracy = columns.pop("terms"), columns.pop("accuracy")
    if accuracy is not None:
        columns["classifier_accuracy"] = accuracy
    if len(terms) > 1:
        columns |= {f"loss_{name}": figures.loss for name, figures in terms.items()}
    return columns
