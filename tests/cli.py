"""The command line as a user runs it: a process of its own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def command(*arguments: str) -> list[str]:
    """Returns the command line of main.py."""
    return [sys.executable, str(ROOT / "main.py"), *arguments]


def environment(**changes: str) -> dict[str, str]:
    """Returns this process's environment, without a hub and with changes."""
    # Nothing answers on port 9: a test that asks for the real hub fails at once.
    return os.environ | {"JAX_PLATFORMS": "cpu", "HF_ENDPOINT": "http://127.0.0.1:9"} | changes


def run(*arguments: str, cwd: pathlib.Path | None = None, **changes: str):
    """Runs main.py to its end and returns the finished process, its output as text."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**changes),
        timeout=300,
    )


def tiny(shapes: pathlib.Path, cache: pathlib.Path, *more: str) -> list[str]:
    """Returns the flags of a run of seconds on the shapes."""
    return [
        "--config=train",
        "--config.data.source=folder",
        f"--config.data.path={shapes}",
        f"--config.data.cache_dir={cache}",
        "--config.data.image_size=24",
        "--config.data.resize_mode=squash",
        "--config.model.backbone=resnet18",
        "--config.model.weights=none",
        "--config.model.embedding_size=16",
        "--config.train.batch_size=12",
        "--config.train.num_epochs=2",
        "--config.train.log_every_steps=1",
        "--config.eval.batch_size=16",
        *more,
    ]
