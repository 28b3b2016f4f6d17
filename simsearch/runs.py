"""Version folders: `WORKDIR/version_N` holds everything of one run, and nothing is overwritten."""

import contextlib
import dataclasses
import errno
import fcntl
import json
import operator
import os
import pathlib
import re
import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simsearch import config as config_lib
from simsearch import errors, whole_files
from simsearch.config import files as config_files

_CONFIG, _FACTS = "config.json", "facts.json"
# Fields that may change when a run goes on, elsewhere or after a failure, since they change nothing
# that is trained on (eval.batch_size: the last bit of a validation's cosines).
LOCAL_FIELDS = (
    *("data.path", "data.cache", "data.cache_dir", "data.num_threads", "data.prefetch_batches"),
    *("data.on_corrupt", "eval.batch_size"),
)
_NAME = re.compile(r"version_(0|[1-9][0-9]*)")


@dataclasses.dataclass(frozen=True)
class Version:
    """One run's folder."""

    path: pathlib.Path

    @property
    def number(self) -> int:
        """The N of `version_N`."""
        return int(_NAME.fullmatch(self.path.name)[1])

    @property
    def flags(self) -> str:
        """The flags that name this version on the command line."""
        return " ".join([*workdir_flags(self.path.parent), f"--version={self.number}"])

    @property
    def config(self) -> config_lib.Config:
        """The configuration that the version was trained with."""
        return config_files.load_stored((self.path / _CONFIG).read_text())

    def move(self, config: config_lib.Config) -> None:
        """Stores the same configuration with other local fields, where they are others now."""
        if config != self.config:
            write_text(self.path / _CONFIG, config_lib.to_json(config))

    @property
    def checkpoint_dir(self) -> pathlib.Path:
        """Orbax checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics_file(self) -> pathlib.Path:
        """One JSON record a line, training and validation."""
        return self.path / "metrics.jsonl"

    @property
    def calibration_file(self) -> pathlib.Path:
        """From cosines to probabilities, as `retrieval.calibration` stores it."""
        return self.path / "calibration.json"

    @property
    def trained_images_file(self) -> pathlib.Path:
        """Which images it was trained on, as `commands.trained_images` stores them."""
        return self.path / "trained_images.npz"

    @property
    def discriminant_file(self) -> pathlib.Path:
        """The last layer, as `retrieval.discriminant` stores it."""
        return self.path / "discriminant.npz"

    @property
    def eval_dir(self) -> pathlib.Path:
        """Evaluation figures, pictures and cached embeddings."""
        return self.path / "eval"

    def read_facts(self) -> dict[str, Any]:
        """Returns what the run was made from: the classes, the origin of the weights."""
        try:
            return json.loads((self.path / _FACTS).read_text())
        except FileNotFoundError:
            return {}

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the version for training; the system lets go of it however the process ends.

        Raises:
            UsageError: Where another process is training this version.
        """
        with open(self.path / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise errors.UsageError(
                    f"{self.path} is being trained by another process; wait for it or stop it"
                ) from error
            yield


def local_fields(config: config_lib.Config) -> dict[str, Any]:
    """Returns the values, by name, of the fields that may be others when a training goes on."""
    return {name: operator.attrgetter(name)(config) for name in LOCAL_FIELDS}


def workdir_flags(workdir: str | os.PathLike) -> list[str]:
    """Returns the flag that names a folder of versions, none for the usual one."""
    path = pathlib.Path(workdir)
    return [] if path == pathlib.Path("runs") else [f"--workdir={shlex.quote(str(workdir))}"]


def create(
    workdir: str | os.PathLike,
    config: config_lib.Config,
    *,
    facts: Mapping[str, Any] | None = None,
) -> Version:
    """Makes the next version folder, with what is known of it already inside when it appears.

    Args:
        workdir: Folder of the versions.
        config: The version's configuration.
        facts: What the run is made from: the classes, the origin of the weights.

    Raises:
        UsageError: Where the folder cannot be written.
    """
    root = pathlib.Path(workdir)
    try:
        root.mkdir(parents=True, exist_ok=True)
        draft = pathlib.Path(tempfile.mkdtemp(prefix=".new_version_", dir=root))
        draft.chmod(0o755)
        write_text(draft / _CONFIG, config_lib.to_json(config))
        write_json(draft / _FACTS, facts or {})
        while True:
            path = root / f"version_{1 + max(_numbers(root), default=-1)}"
            try:
                draft.rename(path)
                return Version(path)
            except OSError:
                # Another process took the number in between; any other cause ends the loop.
                if not path.exists():
                    shutil.rmtree(draft, ignore_errors=True)
                    raise
    except OSError as error:
        raise errors.UsageError(
            f"--workdir={workdir} must be a folder that can be written: {error.strerror}"
        ) from error


def exists(workdir: str | os.PathLike, number: int) -> bool:
    """Returns whether a folder has a version of this number."""
    return number in _numbers(pathlib.Path(workdir))


def find(workdir: str | os.PathLike, number: int | None = None) -> Version:
    """Returns a version by number, the newest where no number is given.

    Raises:
        UsageError: Where there is none; lists those there are.
    """
    numbers = _numbers(pathlib.Path(workdir))
    if not numbers:
        command = " ".join(["python main.py --config train", *workdir_flags(workdir)])
        raise errors.UsageError(
            f"no version found in {workdir}; train one with `{command}`, or name another folder "
            "with --workdir"
        )
    if number is None:
        number = max(numbers)
    if number not in numbers:
        there = ", ".join(map(str, sorted(numbers)))
        raise errors.UsageError(f"--version={number} is not in {workdir}; there: {there}")
    return Version(pathlib.Path(workdir) / f"version_{number}")


def find_all(workdir: str | os.PathLike, numbers: Sequence[int]) -> list[Version]:
    """Returns the versions of `--versions`.

    Raises:
        UsageError: Where one is not there; lists those there are.
    """
    there = sorted(_numbers(pathlib.Path(workdir)))
    missing = [str(number) for number in numbers if number not in there]
    if there and missing:
        raise errors.UsageError(
            f"--versions={','.join(map(str, numbers))}: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not in {workdir}; there: "
            f"{', '.join(map(str, there))}"
        )
    return [find(workdir, number) for number in numbers]


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file that is either whole or not there, whenever process or power end."""
    with whole_files.writing(path) as file:
        file.write(text.encode())


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all, that every reader takes: NaN is a ValueError."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_arrays(path: pathlib.Path, **arrays: Any) -> None:
    """Writes an .npz file that is either whole or not there, whenever process or power end."""
    with whole_files.writing(path) as file:
        np.savez(file, **arrays)


def read_arrays(
    path: pathlib.Path, names: Iterable[str], *, advice: str
) -> dict[str, np.ndarray] | None:
    """Returns the arrays of an .npz file by name, None where there is no file.

    Args:
        path: The file.
        names: Of arrays that it must have.
        advice: What to do where it is damaged.

    Raises:
        RunError: Where it is damaged, lacks one of them, or the disk would not give it.
    """
    try:
        # Not by its path: numpy leaves a file open that it cannot read.
        with open(path, "rb") as file, np.load(file) as stored:
            found = dict(stored)
    except FileNotFoundError:
        return None
    # What a damaged archive makes of zipfile and numpy has many names, EINVAL among them: a place
    # that the file has not. The disk's other errors say nothing of the file.
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise errors.RunError(f"{path} cannot be read: {error.strerror}") from error
        raise errors.RunError(f"{path} is damaged; {advice}") from error
    if not found.keys() >= set(names):
        raise errors.RunError(f"{path} is of another release of this program; {advice}")
    return found


def _numbers(root: pathlib.Path) -> list[int]:
    if not root.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in root.iterdir())
    return [int(match[1]) for match in matches if match]
