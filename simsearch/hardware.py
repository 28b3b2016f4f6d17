"""What computes, said in words before the first step, with what was left unused."""

import importlib.metadata
import os
import shutil
import subprocess

import jax

from simsearch import parallel, progress


def log_devices(num_devices: int = 0) -> None:
    """Logs the devices in use, and warns where jax and the machine's hardware do not match.

    Args:
        num_devices: How many are used; 0: all.
    """
    devices = parallel.local_devices(num_devices)
    progress.log.info("jax %s on %s", jax.__version__, parallel.describe_devices(devices))
    if devices[0].platform in ("gpu", "cuda", "rocm"):
        return
    if graphics_cards := _nvidia_cards():
        forced = os.environ.get("JAX_PLATFORMS")
        cause = (
            f"JAX_PLATFORMS={forced} keeps jax off it"
            if forced
            else "install jax for it with `make clean install`, or with `pip install -r "
            "requirements-cuda.txt` (requirements-cuda12.txt for a driver before 580)"
        )
        progress.log.warning(
            "this machine has %s but jax computes on the CPU; %s.", graphics_cards[0], cause
        )
    elif _has_cuda_plugin():
        progress.log.warning(
            "jax is installed for CUDA but no NVIDIA GPU answers (`nvidia-smi` fails), so it "
            "computes on the CPU; check the driver, or go on with small work."
        )


def enable_compilation_cache(directory: str) -> None:
    """Keeps compiled programs on disk: a step that took 30 s to compile starts at once next time.

    Args:
        directory: Where they are kept; made where it is missing.
    """
    jax.config.update("jax_compilation_cache_dir", directory)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _nvidia_cards() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.strip().splitlines()


def _has_cuda_plugin() -> bool:
    names = (name.lower() for name in importlib.metadata.packages_distributions())
    return any(name.startswith("jax_cuda") for name in names)
