"""Files of weights, as arrays by torch's names."""

import pathlib
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from simsearch import errors

# What torch.compile and its wrappers for several devices put before each name.
_PREFIX = re.compile(r"^(module\.|_orig_mod\.)+")
_NESTED = ("state_dict", "model")  # where training scripts put a model's own dictionary


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a .safetensors, .npz, .pth or .pt file.

    Raises:
        UsageError: Where it is a torch file and there is no torch.
        ValueError, OSError, KeyError, EOFError: Where it cannot be read.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix in (".pth", ".pt"):
        return _read_torch(path)
    raise ValueError(f"{path.suffix or 'no suffix'} is none of .safetensors, .npz, .pth, .pt")


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error
    except AttributeError as error:  # That is how it says that NumPy has no such numbers.
        raise ValueError(f"it holds numbers of a kind that NumPy has not: {error}") from error


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        try:
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise ValueError("it holds a single array without a name, as a .npy file does")
            with stored:
                return dict(stored)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ValueError("it is damaged, or cut off") from error


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise errors.UsageError(
            f"reading {path} needs PyTorch: `pip install torch`, or convert it to .safetensors"
        ) from error
    try:
        # Arrays alone: a checkpoint must not be able to run code.
        stored: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "it is damaged, or holds Python objects beside arrays, which are never loaded; save "
            "model.state_dict() alone, or as .safetensors"
        ) from error
    except Exception as error:
        raise ValueError(str(error)) from error
    if not isinstance(stored, Mapping):
        raise ValueError(f"it holds a {type(stored).__name__}, not a dictionary of arrays")
    for key in _NESTED:
        stored = stored[key] if isinstance(stored.get(key), Mapping) else stored
    arrays = {
        key: array
        for key, array in stored.items()
        if isinstance(key, str) and isinstance(array, torch.Tensor)
    }
    try:
        return {_PREFIX.sub("", key): _to_numpy(array) for key, array in arrays.items()}
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"it holds arrays that are not plain: {error}") from error


def _to_numpy(tensor: Any) -> np.ndarray:
    if tensor.is_complex() or tensor.is_quantized:
        raise TypeError(f"numbers of the kind {tensor.dtype}")
    return tensor.detach().float().numpy()
