"""Versioned checkpoints: the newest to go on from and the best to use; the only door to Orbax."""

import contextlib
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from simsearch import errors, monitors, runs

# Orbax warns of what was asked for, opening to read, in words that sound like missing permissions.
_READ_ONLY = ("CheckpointManagerOptions.read_only=True", "Given directory is read only")
logging.getLogger("absl").addFilter(lambda record: not record.getMessage().startswith(_READ_ONLY))

FORMAT_VERSION = 2
# Beside the metrics: when they were measured.
_STEP = "step"


class Store:
    """The checkpoints of one version folder.

    Each holds `variables` (what the network is), `training` (what only training needs) and `about`
    (format version, configuration); where losses have class vectors, `proxies`; and, where it was
    validated, its metrics.
    """

    def __init__(
        self, directory: str | os.PathLike, *, monitor: str, read_only: bool = False
    ) -> None:
        """Opens the folder; a checkpoint that a killed process left half written is not seen.

        Args:
            directory: The folder; made where it is missing, unless read only.
            monitor: Name of the metric, one of `monitors.NAMES`, that decides which checkpoint
                is best.
            read_only: Whether nothing may be changed.

        Raises:
            RunError: Where what is stored there is damaged.
        """
        self._directory = pathlib.Path(directory).absolute()

        def order(metrics: Mapping[str, float]) -> tuple[float, float]:
            # Of equal ones the first is the best, as where the patience is counted.
            return monitors.rank(monitor, metrics), -metrics.get(_STEP, 0)

        newest = preservation_policy.LatestN(n=1)
        # `max_to_keep` with `best_fn` would delete the newest, and a resume would go backwards.
        best = preservation_policy.BestN(
            get_metric_fn=order,
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=order,
            preservation_policy=preservation_policy.AnyPreservationPolicy([newest, best]),
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
        )
        try:
            self._manager = ocp.CheckpointManager(
                self._directory,
                options=options,
                item_names=("variables", "proxies", "training", "about"),
            )
        except ValueError as error:  # A step's metrics are no JSON.
            said = errors.one_line(error)
            raise errors.RunError(
                f"the checkpoints in {self._directory} could not be read: {said}; one of the steps "
                "is damaged: move its folder away, or restore it from a copy"
            ) from error

    def save(
        self,
        step: int,
        *,
        variables: Any,
        proxies: Mapping[str, Any] | None = None,
        training: Any | None,
        about: Mapping[str, Any],
        metrics: Mapping[str, float] | None,
    ) -> None:
        """Starts to write a checkpoint; the write goes on while training does.

        Args:
            step: Steps done.
            variables: The network's.
            proxies: Class vectors by loss; empty where there are none.
            training: What else is needed to go on; None: nobody will.
            about: What to say of it, as JSON has it.
            metrics: Validation figures; None: it was not validated.

        Raises:
            RunError: Where this or the write before it failed, as on a full disk.
        """
        # An item without an array is none to Orbax.
        optional = {
            name: ocp.args.StandardSave(item)
            for name, item in (("proxies", proxies), ("training", training))
            if item
        }
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    **optional,
                    variables=ocp.args.StandardSave(variables),
                    about=ocp.args.JsonSave({"format_version": FORMAT_VERSION, **about}),
                ),
                metrics={**metrics, _STEP: step} if metrics is not None else None,
                force=True,
            )
        except Exception as error:
            raise self._failed(error) from error

    def wait(self) -> None:
        """Returns when every checkpoint that was started is whole on disk.

        Raises:
            RunError: Where a write failed.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Waits, and lets go of the folder, also where a write failed."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def newest_step(self) -> int | None:
        """Returns the step to go on from, None where nothing was saved yet."""
        return self._manager.latest_step()

    def num_stored(self) -> int:
        """Returns how many checkpoints there are."""
        return len(self._manager.all_steps())

    def best_step(self) -> int | None:
        """Returns the step with the best metric, the newest where none was validated."""
        best = self._manager.best_step()
        return self.newest_step() if best is None else best

    def metrics(self, step: int) -> dict[str, float]:
        """Returns the validation metrics that were stored with a step."""
        stored = self._manager.metrics(step) or {}
        return {name: value for name, value in stored.items() if name != _STEP}

    def restore_variables(self, step: int) -> Any:
        """Returns the network's variables of a step, without tracing the network for their shapes.

        Args:
            step: A step that was saved.

        Raises:
            UsageError: Where a newer program wrote the checkpoint.
        """
        return self._restore(step, variables=None)["variables"]

    def restore_proxies(self, step: int, like: Any) -> Any:
        """Returns the losses' class vectors of a step; `like` and errors as of `restore`."""
        return self._restore(step, proxies=like)["proxies"]

    def restore(self, step: int, **likes: Any) -> dict[str, Any]:
        """Returns all that was saved but `about` by its name.

        Args:
            step: A step that was saved.
            likes: For each name a tree of arrays or ShapeDtypeStructs of the same shapes; an empty
                one comes back.

        Raises:
            UsageError: Where a newer program wrote the checkpoint.
        """
        found = self._restore(step, **{name: like for name, like in likes.items() if like})
        return {name: found[name] if like else like for name, like in likes.items()}

    def _restore(self, step: int, **likes: Any) -> Any:
        """Returns what was saved by these names, each like a tree; None: of the shapes it has."""
        try:
            self._check_format(step)
            args = {}
            for name, like in likes.items():
                shapes = self._saved_shapes(step, name) if like is None else like
                args[name] = ocp.args.StandardRestore(jax.tree.map(_on_first_device, shapes))
            return self._manager.restore(step, args=ocp.args.Composite(**args))
        except (errors.UsageError, MemoryError):
            raise
        except Exception as error:  # TensorStore raises it bare.
            if interrupt := _interrupt_behind(error):
                raise interrupt from None
            said = errors.one_line(error)
            message = f"checkpoint {step} in {self._directory} could not be read: {said}"
            if others := [other for other in self._manager.all_steps() if other != step]:
                message += f"; if it is damaged, move its folder away to use step {max(others)}"
            raise errors.RunError(message) from error

    def _saved_shapes(self, step: int, name: str) -> Any:
        saved = ocp.StandardCheckpointHandler().metadata(self._directory / str(step) / name)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), saved.tree)

    def about(self, step: int) -> dict[str, Any]:
        """Returns what a step's checkpoint carries beside the arrays."""
        args = ocp.args.Composite(about=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["about"]

    def _check_format(self, step: int) -> None:
        found = self.about(step)["format_version"]
        if found > FORMAT_VERSION:
            raise errors.UsageError(
                f"checkpoint {step} in {self._directory} has format {found} and this program reads "
                f"up to {FORMAT_VERSION}; update simsearch"
            )

    def _failed(self, error: Exception) -> errors.RunError | KeyboardInterrupt:
        if interrupt := _interrupt_behind(error):
            return interrupt
        reason = errors.one_line(error)
        # Where in a long message it stands is up to the library.
        if "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error):
            reason = "no space left on the disk; free some and resume with --version"
        return errors.RunError(f"a checkpoint could not be written to {self._directory}: {reason}")


def check_space(directory: str | os.PathLike, state: Any, *, num_stored: int) -> None:
    """Raises RunError where the disk cannot hold the newest, the best and one being written.

    Args:
        directory: On the disk in question.
        state: Tree of all arrays of a checkpoint.
        num_stored: Checkpoints that it holds already.
    """
    needed = max(1, 3 - num_stored) * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise errors.RunError(
            f"checkpoints need {needed / 1e6:,.0f} MB in {directory} and {free / 1e6:,.0f} MB are "
            "free; free some, or name another folder with --workdir"
        )


def open_to_read(directory: str | os.PathLike, *, monitor: str) -> Store:
    """Returns the store of a folder that holds a checkpoint.

    Raises:
        UsageError: Where it holds none.
    """
    path = pathlib.Path(directory)
    store = Store(path, monitor=monitor, read_only=True) if path.is_dir() else None
    if store is None or store.newest_step() is None:
        raise errors.UsageError(
            f"{path.parent} holds no checkpoint yet; train it further with "
            f"`python main.py --mode=train {runs.Version(path.parent).flags}`"
        )
    return store


@contextlib.contextmanager
def best_of(version: runs.Version) -> Iterator[tuple[Store, int]]:
    """Opens a version's checkpoints to read, and gives them with the step of the best.

    Raises:
        UsageError: Where there is none.
    """
    monitor = version.config.train.monitor
    with contextlib.closing(open_to_read(version.checkpoint_dir, monitor=monitor)) as store:
        yield store, store.best_step()


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Returns the Ctrl-C that a library made an error of its own of, None where it was none."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _on_first_device(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
